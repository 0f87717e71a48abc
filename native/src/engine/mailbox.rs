//! The queue of events towards one Python event loop, and the descriptor that wakes it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

use crate::engine::event::Event;
use crate::peer::PeerShared;

/// An event and the peer that it concerns.
pub type Letter = (Arc<PeerShared>, Event);

/// Events that wait for one event loop. What peers may leave here is bounded by the peers: channel
/// data by `PeerShared::unread`, frames by `PeerShared::frames_waiting`, the rest is small and rare.
pub struct Mailbox {
    pub id: u64,
    letters: Mutex<VecDeque<Letter>>,
    wake: OwnedFd,
}

impl Mailbox {
    pub fn new(id: u64) -> io::Result<Self> {
        Ok(Self {
            id,
            letters: Mutex::new(VecDeque::new()),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
        })
    }

    /// The descriptor that becomes readable when there is something to take.
    pub fn descriptor(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    /// Leaves an event; wakes the reader only when the queue was empty.
    pub fn put(&self, peer: &Arc<PeerShared>, event: Event) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = letters.is_empty();
        letters.push_back((Arc::clone(peer), event));
        drop(letters);
        if was_empty {
            self.ring();
        }
    }

    /// Takes at most `count` events, and stops early after `bytes` of payload. Rings again when
    /// something is left, so that the reader comes back after it let others run.
    pub fn take(&self, count: usize, bytes: usize) -> Vec<Letter> {
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::with_capacity(count.min(letters.len()));
        let mut size = 0;
        while taken.len() < count && size < bytes {
            let Some(letter) = letters.pop_front() else {
                return taken;
            };
            size += letter.1.size();
            taken.push(letter);
        }
        let left = !letters.is_empty();
        drop(letters);
        if left {
            self.ring();
        }
        taken
    }

    pub fn ring(&self) {
        // A full counter means that the reader is being woken already.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn low(key: u64) -> Event {
        Event::ChannelLow { key }
    }

    fn rung(mailbox: &Mailbox) -> bool {
        rustix::io::read(&mailbox.wake, &mut [0u8; 8]).is_ok()
    }

    #[test]
    fn rings_once_until_emptied() {
        let mailbox = Mailbox::new(0).unwrap();
        let peer = Arc::new(PeerShared::new(1, 0));
        mailbox.put(&peer, low(1));
        assert!(rung(&mailbox));
        mailbox.put(&peer, low(2));
        assert!(!rung(&mailbox));
        assert_eq!(mailbox.take(10, 1000).len(), 2);
        mailbox.put(&peer, low(3));
        assert!(rung(&mailbox));
    }

    #[test]
    fn rings_again_for_what_is_left() {
        let mailbox = Mailbox::new(0).unwrap();
        let peer = Arc::new(PeerShared::new(1, 0));
        for key in 0..3 {
            mailbox.put(&peer, low(key));
        }
        assert_eq!(mailbox.take(2, 1000).len(), 2);
        assert!(rung(&mailbox));
        assert_eq!(mailbox.take(2, 1000).len(), 1);
        assert!(!rung(&mailbox));
    }

    #[test]
    fn stops_after_enough_bytes() {
        let mailbox = Mailbox::new(0).unwrap();
        let peer = Arc::new(PeerShared::new(1, 0));
        for key in 0..3 {
            mailbox.put(&peer, Event::ChannelData { key, binary: true, data: vec![0; 600] });
        }
        assert_eq!(mailbox.take(10, 1000).len(), 2);
    }
}
