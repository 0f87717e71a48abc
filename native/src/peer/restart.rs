//! Host candidates as the machine's addresses come and go, and ICE restarts (RFC 8445 section 9): new
//! credentials and candidates, while the old pair goes on.

use std::net::IpAddr;
use std::time::Instant;

use polling::Poller;
use str0m::Candidate;

use crate::engine::event::Event;
use crate::net::Socket;
use crate::peer::gather;
use crate::peer::{KEYS, Peer, State};
use crate::reach::RELAY_KEYS;

impl Peer {
    /// Brings the sockets and host candidates in line with this machine's addresses. Returns whether
    /// anything changed.
    pub fn gather(&mut self, poller: &Poller) -> bool {
        // Where only relays may be used, the far end must not even learn of our addresses.
        if self.config.relay_only {
            return false;
        }
        if let (Some(place), Some(rtc)) = (&self.config.place, &mut self.rtc) {
            place.name(&rtc.direct_api().local_ice_credentials().ufrag);
            place.refresh();
        }
        let hosts = gather::host_addresses(self.config.loopback);
        let lost = self.drop_addresses(&hosts, poller);
        let bound: Vec<IpAddr> =
            self.sockets.iter().filter(|socket| !socket.gone).map(|socket| socket.local.ip()).collect();
        let mut found = false;
        for ip in hosts.into_iter().filter(|ip| !bound.contains(ip)) {
            found |= self.bind(ip, poller);
        }
        lost || found
    }

    fn drop_addresses(&mut self, hosts: &[IpAddr], poller: &Poller) -> bool {
        let Some(rtc) = &mut self.rtc else { return false };
        let mut lost = false;
        for socket in self.sockets.iter_mut().filter(|s| !s.gone && !hosts.contains(&s.local.ip())) {
            lost = true;
            socket.gone = true;
            socket.close(poller);
            self.local_candidates.retain(|candidate| {
                let kept = candidate.local() != socket.local;
                if !kept {
                    rtc.direct_api().invalidate_candidate(candidate);
                }
                kept
            });
        }
        lost
    }

    fn bind(&mut self, ip: IpAddr, poller: &Poller) -> bool {
        let free = self.sockets.iter().position(|socket| socket.gone);
        let place = free.unwrap_or(self.sockets.len());
        let Some(rtc) = &mut self.rtc else { return false };
        if place >= RELAY_KEYS {
            return false;
        }
        // An address may have gone since it was listed, or not allow binding.
        let key = self.shared.id as usize * KEYS + place;
        let socket = match &self.config.place {
            Some(port) => port.socket(ip, key),
            None => Socket::bind(ip, poller, key),
        };
        let Ok(socket) = socket else { return false };
        let host = Candidate::host(socket.local, "udp").ok();
        // Behind 1:1 NAT: what a STUN server outside would answer, without asking one.
        let outside = self.config.place.as_ref().and_then(|port| port.published(ip));
        let outside = outside.and_then(|at| Candidate::server_reflexive(at, socket.local, "udp").ok());
        let candidates = [host, outside].into_iter().flatten();
        let added: Vec<_> = candidates.filter_map(|one| rtc.add_local_candidate(one).cloned()).collect();
        match free {
            Some(place) => self.sockets[place] = socket,
            None => self.sockets.push(socket),
        }
        let found = !added.is_empty();
        for candidate in added {
            if self.candidates_told {
                self.tell(Event::Candidate(Some(candidate.to_sdp_string())));
            }
            self.local_candidates.push(candidate);
        }
        found
    }

    /// The machine's addresses may have changed: what is new is offered to the far end at once, and the
    /// owner is told that an ICE restart is due.
    pub fn look_at_addresses(&mut self, poller: &Poller) {
        let changed = self.rtc.is_some() && self.gather(poller);
        if changed && self.remote_known && matches!(self.state, State::Connected | State::Disconnected) {
            self.tell(Event::AddressesChanged);
        }
        self.drain();
    }

    /// New credentials hold from now on. The candidates are told anew under them, and the far end's come anew.
    pub fn restart(&mut self, poller: &Poller, now: Instant) {
        let Some(rtc) = &mut self.rtc else { return };
        let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
        for candidate in &mut self.local_candidates {
            candidate.set_ufrag(&ufrag);
        }
        self.remote_candidates.clear();
        self.pairs.clear();
        self.restarting = true;
        self.candidates_told = false;
        self.reach.restart(&gather::host_addresses(true), now);
        self.gather(poller);
        self.hurry(now);
    }
}
