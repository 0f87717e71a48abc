//! Whose is a datagram that came to a port which all peers share? STUN requests say so by their username,
//! STUN answers by the question's number, everything else by its source, which a peer has proven to be
//! its far end's by a STUN message of its own before.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_proto::types::attribute::Username;
use stun_proto::types::message::Message;

use crate::engine::arrive::is_stun;

/// A source from which nothing came for so long may become another peer's. Its far end checks each second.
const TAKEN_FOR: Duration = Duration::from_secs(5);
/// Of one peer: sources, questions without an answer yet, and credentials (those of ICE restarts).
const MOST_SOURCES: usize = 64;
const MOST_QUESTIONS: usize = 256;
const MOST_NAMES: usize = 8;

/// The number of a STUN transaction.
type Question = [u8; 12];
/// Our socket's address, and the far end's.
type Pair = (SocketAddr, SocketAddr);

struct Route {
    peer: u64,
    heard: Instant,
}

/// What the table holds of one peer, to be forgotten with it.
#[derive(Default)]
struct Entry {
    thread: usize,
    names: VecDeque<String>,
    questions: VecDeque<Question>,
    pairs: Vec<Pair>,
}

#[derive(Default)]
pub struct Routes {
    peers: HashMap<u64, Entry>,
    names: HashMap<String, u64>,
    questions: HashMap<Question, u64>,
    pairs: HashMap<Pair, Route>,
}

/// The transaction of a STUN message, and whether it is a request.
fn stun_header(datagram: &[u8]) -> Option<(Question, bool)> {
    let question = datagram.get(8..20)?.try_into().ok()?;
    Some((question, datagram[0] == 0 && datagram[1] == 1))
}

impl Routes {
    pub fn enter(&mut self, peer: u64, thread: usize) {
        self.peers.insert(peer, Entry { thread, ..Entry::default() });
    }

    pub fn leave(&mut self, peer: u64) {
        let Some(entry) = self.peers.remove(&peer) else { return };
        for name in entry.names {
            self.names.remove(&name);
        }
        for question in entry.questions {
            self.questions.remove(&question);
        }
        for pair in entry.pairs {
            self.pairs.remove(&pair);
        }
    }

    /// The far end will address the peer by this ICE username fragment; earlier ones hold on for a while.
    pub fn name(&mut self, peer: u64, fragment: &str) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if self.names.contains_key(fragment) {
            return;
        }
        if entry.names.len() == MOST_NAMES
            && let Some(old) = entry.names.pop_front()
        {
            self.names.remove(&old);
        }
        entry.names.push_back(fragment.to_owned());
        self.names.insert(fragment.to_owned(), peer);
    }

    /// The peer sends this; where it is a question, the answer will be its own.
    pub fn note_sent(&mut self, peer: u64, datagram: &[u8]) {
        if !is_stun(datagram) {
            return;
        }
        let (Some((question, true)), Some(entry)) = (stun_header(datagram), self.peers.get_mut(&peer)) else {
            return;
        };
        if self.questions.insert(question, peer).is_some() {
            return;
        }
        entry.questions.push_back(question);
        if entry.questions.len() > MOST_QUESTIONS
            && let Some(old) = entry.questions.pop_front()
        {
            self.questions.remove(&old);
        }
    }

    /// The far end of this peer has proven that it sends from there. Another peer's it stays as long as
    /// something comes from it.
    pub fn claim(&mut self, peer: u64, pair: Pair, now: Instant) {
        if let Some(route) = self.pairs.get_mut(&pair) {
            if route.peer == peer {
                route.heard = now;
                return;
            }
            if now.saturating_duration_since(route.heard) < TAKEN_FOR {
                return;
            }
            if let Some(before) = self.peers.get_mut(&route.peer) {
                before.pairs.retain(|known| *known != pair);
            }
        }
        let Some(entry) = self.peers.get_mut(&peer).filter(|entry| entry.pairs.len() < MOST_SOURCES) else {
            return;
        };
        entry.pairs.push(pair);
        self.pairs.insert(pair, Route { peer, heard: now });
    }

    /// Whose it is: (thread, peer). None: nobody's.
    pub fn find(&mut self, pair: Pair, datagram: &[u8], now: Instant) -> Option<(usize, u64)> {
        let named = if is_stun(datagram) { Some(self.named(datagram)?) } else { None };
        let peer = match (self.pairs.get_mut(&pair), named) {
            (Some(route), None) => {
                route.heard = now;
                route.peer
            }
            (None, None) => return None,
            // Two far ends behind one address could not be told apart afterwards: the second has to come
            // from another.
            (Some(route), Some(peer))
                if route.peer != peer && now.saturating_duration_since(route.heard) < TAKEN_FOR =>
            {
                return None;
            }
            (_, Some(peer)) => peer,
        };
        self.peers.get(&peer).map(|entry| (entry.thread, peer))
    }

    /// Whose a STUN message says to be.
    fn named(&self, datagram: &[u8]) -> Option<u64> {
        let (question, is_request) = stun_header(datagram)?;
        if !is_request {
            return self.questions.get(&question).copied();
        }
        let message = Message::from_bytes(datagram).ok()?;
        let username = message.attribute::<Username>().ok()?;
        let (fragment, _) = username.username().split_once(':')?;
        self.names.get(fragment).copied()
    }
}

#[cfg(test)]
mod tests {
    use stun_proto::types::message::{BINDING, MessageWriteVec};
    use stun_proto::types::prelude::{MessageWrite, MessageWriteExt};

    use super::*;

    const DTLS: &[u8] = &[22, 254, 253];

    fn pair(port: u16) -> Pair {
        ("192.0.2.1:7000".parse().unwrap(), ([198, 51, 100, 1], port).into())
    }

    fn request(username: &str) -> Vec<u8> {
        let mut message = Message::builder_request(BINDING, MessageWriteVec::new());
        message.add_attribute(&Username::new(username).unwrap()).unwrap();
        message.finish()
    }

    fn answer(request: &[u8]) -> Vec<u8> {
        let request = Message::from_bytes(request).unwrap();
        Message::builder_success(&request, MessageWriteVec::new()).finish()
    }

    fn two() -> Routes {
        let mut routes = Routes::default();
        for (peer, thread) in [(1, 0), (2, 1)] {
            routes.enter(peer, thread);
            routes.name(peer, &format!("ours{peer}"));
        }
        routes
    }

    #[test]
    fn requests_go_by_their_username() {
        let (mut routes, now) = (two(), Instant::now());
        assert_eq!(routes.find(pair(1), &request("ours1:theirs"), now), Some((0, 1)));
        assert_eq!(routes.find(pair(1), &request("ours2:theirs"), now), Some((1, 2)));
        assert_eq!(routes.find(pair(1), &request("ours3:theirs"), now), None);
        assert_eq!(routes.find(pair(1), &request("ours1"), now), None);
        routes.name(1, "restarted");
        assert_eq!(routes.find(pair(1), &request("restarted:theirs"), now), Some((0, 1)));
        assert_eq!(routes.find(pair(1), &request("ours1:theirs"), now), Some((0, 1)));
    }

    #[test]
    fn answers_go_to_who_asked() {
        let (mut routes, now) = (two(), Instant::now());
        let asked = request("theirs:ours2");
        routes.note_sent(2, &asked);
        assert_eq!(routes.find(pair(1), &answer(&asked), now), Some((1, 2)));
        assert_eq!(routes.find(pair(1), &answer(&request("theirs:ours2")), now), None);
    }

    #[test]
    fn the_rest_goes_by_its_source_once_that_is_proven() {
        let (mut routes, now) = (two(), Instant::now());
        assert_eq!(routes.find(pair(1), DTLS, now), None);
        routes.claim(1, pair(1), now);
        routes.claim(2, pair(2), now);
        assert_eq!(routes.find(pair(1), DTLS, now), Some((0, 1)));
        assert_eq!(routes.find(pair(2), DTLS, now), Some((1, 2)));
        assert_eq!(routes.find(pair(3), DTLS, now), None);
    }

    #[test]
    fn a_source_is_one_peer_s_until_it_falls_silent() {
        let (mut routes, start) = (two(), Instant::now());
        routes.claim(1, pair(1), start);
        let soon = start + TAKEN_FOR - Duration::from_millis(1);
        assert_eq!(routes.find(pair(1), &request("ours2:theirs"), soon), None);
        routes.claim(2, pair(1), soon);
        assert_eq!(routes.find(pair(1), DTLS, soon), Some((0, 1)), "and that was heard");
        let later = soon + TAKEN_FOR;
        assert_eq!(routes.find(pair(1), &request("ours2:theirs"), later), Some((1, 2)));
        routes.claim(2, pair(1), later);
        assert_eq!(routes.find(pair(1), DTLS, later), Some((1, 2)));
        routes.leave(1);
        assert_eq!(routes.find(pair(1), DTLS, later), Some((1, 2)));
    }

    #[test]
    fn nothing_stays_of_a_peer_that_leaves() {
        let (mut routes, now) = (two(), Instant::now());
        for number in 0..1000 {
            routes.note_sent(1, &request("theirs:ours1"));
            routes.claim(1, pair(number), now);
            routes.name(1, &format!("restart{number}"));
        }
        assert_eq!(
            (routes.questions.len(), routes.pairs.len(), routes.names.len()),
            (MOST_QUESTIONS, MOST_SOURCES, MOST_NAMES + 1)
        );
        routes.leave(1);
        routes.leave(2);
        assert!(routes.questions.is_empty() && routes.pairs.is_empty() && routes.names.is_empty());
    }

    #[test]
    fn what_is_cut_off_is_nobody_s() {
        let (mut routes, now) = (two(), Instant::now());
        let whole = request("ours1:theirs");
        for length in 0..whole.len() {
            assert_eq!(routes.find(pair(1), &whole[..length], now), None);
        }
    }
}
