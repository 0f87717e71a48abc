//! Where a peer meets its servers.

use std::time::Instant;

use polling::Poller;
use str0m::Candidate;

use super::{Outcome, RELAY_KEYS};
use crate::engine::event::Event;
use crate::net::ReadBuffers;
use crate::peer::{KEYS, Peer};

impl Peer {
    /// Asks servers, takes their answers, tells Python; sends what goes through relays.
    pub fn reach_out(&mut self, poller: &Poller, now: Instant) {
        if self.rtc.is_none() {
            return;
        }
        let first_key = self.shared.id as usize * KEYS + RELAY_KEYS;
        let sockets: &[_] = if self.config.relay_only { &[] } else { &self.sockets };
        let mut outcomes = self.reach.start(sockets, poller, first_key, now);
        outcomes.extend(self.reach.step(&mut self.sockets, now));
        for outcome in outcomes {
            match outcome {
                Outcome::Found { candidate, .. } => self.add_local(candidate),
                Outcome::Failed { url, server, code, text } => {
                    self.tell(Event::ServerFailed { url: url.to_string(), server, code, text });
                }
            }
        }
        self.announce_end();
        self.reach.flush(poller);
    }

    /// Adds a candidate that a server led to.
    fn add_local(&mut self, candidate: Candidate) {
        let Some(rtc) = &mut self.rtc else { return };
        // None: it is an address that we know already, as without a NAT.
        let Some(added) = rtc.add_local_candidate(candidate).cloned() else { return };
        if self.candidates_told {
            self.tell(Event::Candidate(Some(added.to_sdp_string())));
        }
        self.local_candidates.push(added);
        self.drain();
    }

    /// Tells Python, once, that no more candidates will come.
    pub fn announce_end(&mut self) {
        if self.candidates_told && !self.reach.end_told && self.reach.is_done() {
            self.reach.end_told = true;
            self.tell(Event::Candidate(None));
        }
    }

    /// Reads relay `index`.
    pub fn read_relay(&mut self, index: usize, buffers: &mut ReadBuffers) {
        let now = Instant::now();
        for (relayed, source, datagram) in self.reach.read(index, buffers, now) {
            self.receive(now, relayed, source, &datagram);
        }
    }
}
