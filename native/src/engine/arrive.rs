//! Datagrams on their way to str0m: whose they are, and which wait until Python has caught up.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use str0m::Input;
use str0m::net::{Protocol, Receive};

use crate::net::ReadBuffers;
use crate::peer::{Peer, State};
use crate::reach::RELAY_KEYS;

/// Channel bytes that Python has not read: above, SCTP packets are held back, so that the far end's
/// window closes; below, they flow again.
const HOLD_ABOVE: usize = 8 << 20;
pub const RESUME_BELOW: usize = 2 << 20;
/// Held packets; more than a full window (4 MiB), so that only duplicates are lost.
const MOST_HELD: usize = 6 << 20;
/// SCTP packets that str0m takes in before it is asked what follows from them: one acknowledgement, one
/// look at every timer. DTLS keeps 30 at most.
const TOGETHER: usize = 16;
/// Addresses that the far end may send from.
const MOST_SOURCES: usize = 64;

/// A datagram that waits until Python has caught up.
pub struct Held {
    pub local: SocketAddr,
    pub source: SocketAddr,
    pub bytes: Vec<u8>,
}

impl Peer {
    /// Reads socket `index` until it is empty or others must have their turn.
    pub fn read(&mut self, index: usize, buffers: &mut ReadBuffers) {
        if index >= RELAY_KEYS {
            return self.read_relay(index - RELAY_KEYS, buffers);
        }
        let Some(socket) = self.sockets.get(index) else { return };
        let reader = socket.reader();
        let local = socket.local;
        reader.read(buffers, |now, source, datagram| self.receive(now, local, source, datagram));
    }

    pub fn receive(&mut self, now: Instant, local: SocketAddr, source: SocketAddr, datagram: &[u8]) {
        self.counters.packets_received += 1;
        self.counters.bytes_received += datagram.len() as u64;
        if is_stun(datagram) && self.reach.take_answer(local, source, datagram) {
            return;
        }
        if is_dtls(datagram) && self.must_hold() {
            if self.held_bytes + datagram.len() <= MOST_HELD {
                self.held_bytes += datagram.len();
                self.held.push_back(Held { local, source, bytes: datagram.to_vec() });
            }
            return;
        }
        self.input(now, local, source, datagram);
    }

    fn input(&mut self, now: Instant, destination: SocketAddr, source: SocketAddr, datagram: &[u8]) {
        let known = self.knows(source);
        let Some(rtc) = &mut self.rtc else { return };
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, datagram) else {
            self.counters.discarded += 1;
            return;
        };
        let input = Input::Receive(now, receive);
        if rtc.accepts(&input) {
            self.consent.hear(now);
            if let Some(place) = self.config.place.as_ref().filter(|_| is_stun(datagram)) {
                place.claim(destination, source, now);
            }
            if is_stun(datagram) {
                self.pairs.received(destination, source, datagram, now);
            }
            if is_stun(datagram) && self.sources.len() < MOST_SOURCES && !self.sources.contains(&source) {
                self.sources.push(source);
            }
        } else if is_stun(datagram) || !known {
            self.counters.discarded += 1;
            return;
        }
        let taken = rtc.handle_input(input);
        if is_stun(datagram) {
            self.expect_checks(now);
        }
        if let Err(error) = &taken {
            // Anyone who knows our addresses can send nonsense; what really broke shows in `drain`.
            self.counters.discarded += 1;
            tracing::debug!(peer = self.shared.id, %error, "input");
        }
        if taken.is_ok() && is_dtls(datagram) && self.state == State::Connected {
            self.undrained += 1;
            if self.undrained < TOGETHER {
                return;
            }
        }
        self.drain();
    }

    /// Whether the far end may send from `source`. Its first DTLS flight is often here before our own
    /// check of the pair is answered; refused, it would come again only a second later.
    fn knows(&self, source: SocketAddr) -> bool {
        self.sources.contains(&source) || self.remote_candidates.iter().any(|c| c.addr() == source)
    }

    /// Whether Python is so far behind that SCTP must wait. Says so to Python first, and looks again
    /// after that: Python may have read everything between the two.
    fn must_hold(&mut self) -> bool {
        if self.shared.holding.load(SeqCst) {
            return true;
        }
        if self.shared.unread.load(SeqCst) <= HOLD_ABOVE {
            return false;
        }
        self.shared.holding.store(true, SeqCst);
        if self.shared.unread.load(SeqCst) > RESUME_BELOW {
            return true;
        }
        self.shared.holding.store(false, SeqCst);
        false
    }

    pub fn resume(&mut self, now: Instant) {
        self.shared.holding.store(false, SeqCst);
        while let Some(held) = self.held.pop_front() {
            self.held_bytes -= held.bytes.len();
            self.input(now, held.local, held.source, &held.bytes);
        }
    }
}

/// RFC 7983: the first byte tells the protocols of one port apart.
fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

pub fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3))
}
