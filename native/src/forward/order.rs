//! One incoming stream in its order: what was lost on the source's link is waited for, and repaired there,
//! before any viewer sees a gap.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a missing packet of video is waited for: some round trips of NACK and repair.
const WAIT_VIDEO: Duration = Duration::from_millis(300);
/// Audio is not repaired; this only puts right what overtook.
const WAIT_AUDIO: Duration = Duration::from_millis(20);
/// More than these do not wait.
const MOST_HELD: usize = 512;

/// Packets by their extended sequence number, handed on in order.
pub struct Order<T> {
    wait: Duration,
    next: Option<u64>,
    held: BTreeMap<u64, T>,
    /// When the oldest gap was noticed.
    since: Option<Instant>,
    /// Packets that came after they were given up, or twice.
    pub late: u64,
    /// Packets that never came.
    pub lost: u64,
}

impl<T> Order<T> {
    pub fn new(audio: bool) -> Self {
        let wait = if audio { WAIT_AUDIO } else { WAIT_VIDEO };
        Self { wait, next: None, held: BTreeMap::new(), since: None, late: 0, lost: 0 }
    }

    /// Takes a packet, and hands on what is in order now: (packet, packets missing before it).
    pub fn push(&mut self, number: u64, packet: T, now: Instant, mut each: impl FnMut(T, u64)) {
        let next = *self.next.get_or_insert(number);
        if number < next {
            self.late += 1;
            return;
        }
        if number == next && self.held.is_empty() {
            self.next = Some(number + 1);
            return each(packet, 0);
        }
        if self.held.insert(number, packet).is_some() {
            self.late += 1;
        }
        self.release(&mut each);
        while self.held.len() > MOST_HELD {
            self.skip(&mut each);
        }
        self.note(now);
    }

    /// Gives up what has been missing for too long.
    pub fn on_timeout(&mut self, now: Instant, mut each: impl FnMut(T, u64)) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.skip(&mut each);
            self.since = None;
            self.note(now);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.wait)
    }

    fn note(&mut self, now: Instant) {
        self.since = if self.held.is_empty() { None } else { self.since.or(Some(now)) };
    }

    fn release(&mut self, each: &mut impl FnMut(T, u64)) {
        let before = self.next;
        while let Some(entry) = self.held.first_entry() {
            if Some(*entry.key()) != self.next {
                break;
            }
            self.next = self.next.map(|next| next + 1);
            each(entry.remove(), 0);
        }
        if self.next != before {
            // What is missing now has been missing for less long.
            self.since = None;
        }
    }

    fn skip(&mut self, each: &mut impl FnMut(T, u64)) {
        let Some((number, packet)) = self.held.pop_first() else { return };
        let missing = number - self.next.unwrap_or(number);
        self.lost += missing;
        self.next = Some(number + 1);
        each(packet, missing);
        self.release(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(order: &mut Order<u64>, number: u64, now: Instant) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        order.push(number, number, now, |packet, missing| out.push((packet, missing)));
        out
    }

    #[test]
    fn what_overtook_waits() {
        let (mut order, now) = (Order::new(false), Instant::now());
        assert_eq!(pushed(&mut order, 7, now), [(7, 0)]);
        assert_eq!(pushed(&mut order, 9, now), []);
        assert_eq!(pushed(&mut order, 10, now), []);
        assert_eq!(pushed(&mut order, 8, now), [(8, 0), (9, 0), (10, 0)]);
        assert_eq!(order.deadline(), None);
        assert_eq!(pushed(&mut order, 8, now), []);
        assert_eq!(order.late, 1);
    }

    #[test]
    fn what_never_comes_is_given_up_once() {
        let (mut order, now) = (Order::new(false), Instant::now());
        for number in [1, 4, 5, 8] {
            pushed(&mut order, number, now);
        }
        let mut out = Vec::new();
        order.on_timeout(now + WAIT_VIDEO / 2, |packet, missing| out.push((packet, missing)));
        assert_eq!(out, []);
        order.on_timeout(now + WAIT_VIDEO, |packet, missing| out.push((packet, missing)));
        assert_eq!(out, [(4, 2), (5, 0)]);
        assert_eq!(order.deadline(), Some(now + WAIT_VIDEO * 2));
        assert_eq!(order.lost, 2);
    }

    #[test]
    fn what_waits_is_bounded() {
        let (mut order, now) = (Order::new(false), Instant::now());
        pushed(&mut order, 0, now);
        let mut out = 0;
        for number in 2..2000 {
            out += pushed(&mut order, number, now).len();
        }
        assert!(order.held.len() <= MOST_HELD);
        assert!(out > 1400);
    }
}
