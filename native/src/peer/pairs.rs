//! The candidate pairs that were tried, as the connectivity checks on them show (RFC 8445, section 6.1.2.6):
//! str0m keeps its own list to itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// More are not told of: they are what a hostile far end would make us remember.
const MOST: usize = 256;
/// Checks come once a second at the least; where none was answered and no more are sent, the pair is given up.
const GIVEN_UP: Duration = Duration::from_secs(2);

/// One pair: our socket's or relay's address, and the far end's.
pub struct Pair {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub requests_sent: u64,
    pub responses_received: u64,
    pub requests_received: u64,
    pub responses_sent: u64,
    /// Of the last answered check.
    pub round_trip: Option<Duration>,
    /// The shortest so far: of the path without a queue.
    pub least_round_trip: Option<Duration>,
    asked: Option<([u8; 12], Instant)>,
    last_asked: Option<Instant>,
}

impl Pair {
    /// W3C's RTCStatsIceCandidatePairState.
    pub fn state(&self, now: Instant) -> &'static str {
        match self.last_asked {
            _ if self.responses_received > 0 => "succeeded",
            None => "waiting",
            Some(at) if now.saturating_duration_since(at) < GIVEN_UP => "in-progress",
            Some(_) => "failed",
        }
    }
}

#[derive(PartialEq, Eq)]
enum Class {
    Request,
    Response,
    Other,
}

/// The class of a Binding message, and its transaction.
fn read(datagram: &[u8]) -> Option<(Class, [u8; 12])> {
    let id = datagram.get(8..20)?.try_into().ok()?;
    let class = match datagram[..2] {
        [0x00, 0x01] => Class::Request,
        [0x01, 0x01] => Class::Response,
        _ => Class::Other,
    };
    Some((class, id))
}

/// The pairs of one peer.
#[derive(Default)]
pub struct Pairs(Vec<Pair>);

impl Pairs {
    pub fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.0.iter()
    }

    /// The shortest round trip of a pair's checks; None before the first.
    pub fn least_round_trip(&self, local: SocketAddr, remote: SocketAddr) -> Option<Duration> {
        self.0.iter().find(|pair| pair.local == local && pair.remote == remote)?.least_round_trip
    }

    /// An ICE restart: what was tried before is of no interest any more.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    fn of(&mut self, local: SocketAddr, remote: SocketAddr) -> Option<&mut Pair> {
        let known = self.0.iter().position(|pair| pair.local == local && pair.remote == remote);
        let index = known.unwrap_or(self.0.len());
        if index == MOST {
            return None;
        }
        if known.is_none() {
            self.0.push(Pair {
                local,
                remote,
                requests_sent: 0,
                responses_received: 0,
                requests_received: 0,
                responses_sent: 0,
                round_trip: None,
                least_round_trip: None,
                asked: None,
                last_asked: None,
            });
        }
        self.0.get_mut(index)
    }

    /// A STUN message of ours goes out.
    pub fn sent(&mut self, local: SocketAddr, remote: SocketAddr, datagram: &[u8], now: Instant) {
        let Some((class, id)) = read(datagram) else { return };
        let Some(pair) = self.of(local, remote) else { return };
        match class {
            Class::Request => {
                pair.requests_sent += 1;
                pair.last_asked = Some(now);
                if pair.asked.is_none_or(|(asked, _)| asked != id) {
                    pair.asked = Some((id, now));
                }
            }
            Class::Response => pair.responses_sent += 1,
            Class::Other => {}
        }
    }

    /// One of the far end's came, and str0m knows it for its own.
    pub fn received(&mut self, local: SocketAddr, remote: SocketAddr, datagram: &[u8], now: Instant) {
        let Some((class, id)) = read(datagram) else { return };
        let Some(pair) = self.of(local, remote) else { return };
        match class {
            Class::Request => pair.requests_received += 1,
            Class::Response => {
                pair.responses_received += 1;
                if let Some((_, at)) = pair.asked.take_if(|(asked, _)| *asked == id) {
                    let round_trip = now.saturating_duration_since(at);
                    pair.round_trip = Some(round_trip);
                    pair.least_round_trip =
                        Some(pair.least_round_trip.map_or(round_trip, |least| least.min(round_trip)));
                }
            }
            Class::Other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(class: [u8; 2], id: u8) -> Vec<u8> {
        let mut message = class.to_vec();
        message.extend([0, 0, 0x21, 0x12, 0xA4, 0x42]);
        message.extend([id; 12]);
        message
    }

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn a_pair_is_in_progress_until_it_is_answered_or_given_up() {
        let (mut pairs, start) = (Pairs::default(), Instant::now());
        pairs.sent(address(1), address(2), &message([0, 1], 1), start);
        assert_eq!(pairs.0[0].state(start), "in-progress");
        assert_eq!(pairs.0[0].state(start + GIVEN_UP), "failed");
        let later = start + Duration::from_millis(40);
        pairs.received(address(1), address(2), &message([1, 1], 1), later);
        assert_eq!(pairs.0[0].state(start + GIVEN_UP), "succeeded");
        assert_eq!(pairs.0[0].round_trip, Some(Duration::from_millis(40)));
    }

    #[test]
    fn a_check_sent_again_counts_from_the_first() {
        let (mut pairs, start) = (Pairs::default(), Instant::now());
        let second = Duration::from_secs(1);
        pairs.sent(address(1), address(2), &message([0, 1], 1), start);
        pairs.sent(address(1), address(2), &message([0, 1], 1), start + second);
        pairs.received(address(1), address(2), &message([1, 1], 1), start + 2 * second);
        assert_eq!((pairs.0[0].requests_sent, pairs.0[0].round_trip), (2, Some(2 * second)));
    }

    #[test]
    fn what_the_far_end_asks_is_another_count() {
        let (mut pairs, now) = (Pairs::default(), Instant::now());
        pairs.received(address(1), address(2), &message([0, 1], 1), now);
        pairs.sent(address(1), address(2), &message([1, 1], 1), now);
        let pair = &pairs.0[0];
        assert_eq!((pair.requests_received, pair.responses_sent, pair.state(now)), (1, 1, "waiting"));
    }

    #[test]
    fn no_more_than_so_many_are_kept() {
        let (mut pairs, now) = (Pairs::default(), Instant::now());
        for port in 0..1000 {
            pairs.sent(address(1), address(port), &message([0, 1], 1), now);
        }
        assert_eq!(pairs.0.len(), MOST);
        pairs.sent(address(1), address(999), &[0, 1], now);
    }
}
