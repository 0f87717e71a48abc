//! What a viewer's path carries, judged once a second from what its receiver reports: loss and round trip,
//! by transport-wide feedback or receiver reports.
//!
//! A stream that is forwarded has a few rates, not any rate; so this only has to tell that the present one
//! does not fit, about how much does, and when to try more. str0m's bandwidth estimate, which a sender with
//! an encoder needs, costs more than the forwarding itself (docs/decisions), and is used where it is on.

use std::time::{Duration, Instant};

/// More loss than this is the path's queue overflowing; less is repaired, and left to the repairs.
const MUCH_LOSS: f32 = 0.2;
/// One report of this much is enough.
const WORST_LOSS: f32 = 0.4;
/// So much more than the shortest round trip is a queue that stands. Feedback alone adds up to 100 ms.
const MUCH_DELAY: Duration = Duration::from_millis(300);
/// Reports of it before it counts: a receiver may have been busy for a moment.
const BAD_DELAY: u32 = 3;
/// A round trip that shortens by more than this, in seconds a second, is a queue that drains.
const DRAINS: f64 = -0.05;
/// After a change, what was sent before is still reported.
const SETTLE: Duration = Duration::from_secs(2);
/// Quiet before more is tried: at first, and at most after tries that failed.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A try that did not fail for so long has succeeded.
const PROVEN: Duration = Duration::from_secs(30);
const LEAST: u64 = 50_000;

#[derive(Default)]
pub struct Path {
    /// Bits a second; None: no sign of a bound.
    budget: Option<u64>,
    shortest: Option<Duration>,
    last: Option<(Duration, Instant)>,
    bad: u32,
    changed: Option<Instant>,
    tried: Option<Instant>,
    wait: Option<Duration>,
}

/// One second's report.
#[derive(Clone, Copy)]
pub struct Sample {
    /// Bits a second that were sent.
    pub sent: u64,
    pub loss: Option<f32>,
    pub round_trip: Option<Duration>,
}

impl Path {
    /// What is reported now says more of this machine than of the path.
    pub fn ignore(&mut self) {
        self.bad = 0;
        self.last = None;
    }

    pub fn budget(&self) -> Option<u64> {
        self.budget
    }

    pub fn sample(&mut self, sample: Sample, now: Instant) {
        let loss = sample.loss.unwrap_or(0.0).clamp(0.0, 1.0);
        let grown = sample.round_trip.map_or(0.0, |trip| self.growth(trip, now));
        let shortest = self.shortest.unwrap_or_default();
        let late = sample.round_trip.is_some_and(|trip| trip > shortest + MUCH_DELAY.max(shortest));
        if late && loss < MUCH_LOSS && grown < DRAINS {
            // A queue that gets shorter is left alone.
            return;
        }
        self.bad = if loss >= MUCH_LOSS || late { self.bad + 1 } else { 0 };
        let settled = self.changed.is_none_or(|at| now >= at + SETTLE);
        if self.bad == 0 {
            self.try_more(now);
        } else if settled
            && (self.bad >= BAD_DELAY || loss >= MUCH_LOSS && self.bad >= 2 || loss >= WORST_LOSS)
        {
            // A queue that grows by half a second in a second takes in half of what comes.
            let arrived = sample.sent as f64 * f64::from(1.0 - loss) * (1.0 - grown.clamp(0.2, 0.8));
            self.reduce(arrived as u64, now);
        }
    }

    fn growth(&mut self, trip: Duration, now: Instant) -> f64 {
        self.shortest = Some(self.shortest.map_or(trip, |shortest| shortest.min(trip)));
        let before = self.last.replace((trip, now));
        let Some((last, at)) = before else { return 0.0 };
        let passed = now.saturating_duration_since(at).as_secs_f64().max(0.1);
        (trip.as_secs_f64() - last.as_secs_f64()) / passed
    }

    fn reduce(&mut self, arrived: u64, now: Instant) {
        if self.tried.take().is_some_and(|at| now < at + PROVEN) {
            let wait = self.wait.unwrap_or(FIRST_WAIT);
            self.wait = Some((2 * wait).min(LONGEST_WAIT));
        }
        let most = self.budget.map_or(u64::MAX, |budget| budget * 7 / 10);
        self.budget = Some(arrived.min(most).max(LEAST));
        self.changed = Some(now);
    }

    fn try_more(&mut self, now: Instant) {
        let Some(budget) = self.budget else { return };
        let wait = self.wait.unwrap_or(FIRST_WAIT);
        if self.tried.is_some_and(|at| now >= at + PROVEN) {
            self.wait = None;
            self.tried = None;
        }
        if self.changed.is_none_or(|at| now >= at + wait) {
            // At first all of it: what is over was a moment's trouble more often than a slow path.
            self.budget = self.wait.map(|_| budget.saturating_mul(3) / 2);
            self.changed = Some(now);
            self.tried = Some(now);
        }
    }

    /// More than `all` is not needed: the path has no bound that matters.
    pub fn lift_above(&mut self, all: u64) {
        if self.budget.is_some_and(|budget| budget / 2 > all) {
            self.budget = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: u64 = 1_000_000;

    /// A link of so many bits a second, with a queue of so many bits, sent what the path allows of `FULL`
    /// for so many seconds. Returns what was sent in each.
    fn run(path: &mut Path, capacity: u64, queue: u64, seconds: u64, now: &mut Instant) -> Vec<u64> {
        let mut waiting = 0;
        (0..seconds)
            .map(|_| {
                *now += Duration::from_secs(1);
                let sent = path.budget().map_or(FULL, |budget| budget.min(FULL));
                let held = waiting + sent;
                waiting = held.saturating_sub(capacity).min(queue);
                let lost = (held - waiting).saturating_sub(capacity);
                let delay = Duration::from_secs_f64(0.02 + waiting as f64 / capacity as f64);
                let loss = lost as f32 / sent.max(1) as f32;
                path.sample(Sample { sent, loss: Some(loss), round_trip: Some(delay) }, *now);
                path.lift_above(FULL);
                sent
            })
            .collect()
    }

    #[test]
    fn a_wide_path_and_moderate_loss_bound_nothing() {
        let (mut path, mut now) = (Path::default(), Instant::now());
        assert!(run(&mut path, 5_000_000, 1_000_000, 30, &mut now).iter().all(|sent| *sent == FULL));
        for _ in 0..30 {
            now += Duration::from_secs(1);
            path.sample(Sample { sent: FULL, loss: Some(0.12), round_trip: None }, now);
        }
        assert_eq!(path.budget(), None);
    }

    #[test]
    fn a_policer_and_a_long_queue_are_both_found() {
        for queue in [0, 60_000, 5_000_000] {
            let (mut path, mut now) = (Path::default(), Instant::now());
            let sent = run(&mut path, 300_000, queue, 60, &mut now);
            assert!(sent[5] <= 400_000, "{queue}: {sent:?}");
            let mean = sent[20..].iter().sum::<u64>() / 40;
            assert!((100_000..400_000).contains(&mean), "{queue}: {mean}");
        }
    }

    #[test]
    fn it_comes_back_when_the_path_does() {
        let (mut path, mut now) = (Path::default(), Instant::now());
        run(&mut path, 300_000, 60_000, 10, &mut now);
        assert!(path.budget().is_some());
        let sent = run(&mut path, 5_000_000, 60_000, 60, &mut now);
        assert_eq!(*sent.last().unwrap(), FULL);
        assert_eq!(path.budget(), None);
    }

    #[test]
    fn tries_that_fail_come_less_often() {
        let (mut path, mut now) = (Path::default(), Instant::now());
        let sent = run(&mut path, 300_000, 0, 300, &mut now);
        let over = |part: &[u64]| part.iter().filter(|sent| **sent > 375_000).count();
        assert!(over(&sent[200..]) < over(&sent[..100]), "{sent:?}");
    }
}
