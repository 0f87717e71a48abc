//! The server without its sockets: datagrams in, datagrams out, and time told.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::allocation::{Allocation, Way};
use super::counters::Counters;
use super::credentials::Credentials;
use super::outbox::{Client, Outbox, Target, Via};
use super::policy::Subnet;
use super::relays::{Opened, Relays};
use super::tables::{Call, Challenges, Named, User};
use super::wire::{self, DataHeader};
use crate::net::kind::{Kind, kind};

/// What is over is looked for this often; until then it is only not used.
const SWEEP: Duration = Duration::from_secs(1);
/// More does not fit into an indication, nor into a datagram.
const LARGEST_PAYLOAD: usize = 65_000;
/// How long a candidate counts without an allocation of its call, unless the call is kept.
const CANDIDATE_LASTS: Duration = Duration::from_secs(600);
/// How long a revoked call is remembered: longer than any credentials last.
const REVOKED_LASTS: u64 = 86_400;
/// Candidates have ports of the ephemeral kind; below are services.
const LOWEST_CANDIDATE: u16 = 1024;

/// The time, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub at: Instant,
    /// Seconds since 1970, for credentials.
    pub unix: u64,
}

pub struct Config {
    /// Subnets that the owner allows as peers.
    pub allow: Vec<Subnet>,
    /// Per user.
    pub max_allocations: usize,
    /// Bytes a second per user, both ways together; 0: no limit.
    pub max_rate: u64,
    /// Seconds.
    pub max_lifetime: u32,
    /// Where the server listens on UDP.
    pub listening: Vec<SocketAddr>,
}

/// A relayed address that was opened beside another one, until somebody asks for it.
pub struct Reservation {
    pub opened: Opened,
    pub user: usize,
    pub until: Instant,
}

pub struct Server {
    pub config: Config,
    pub credentials: Credentials,
    pub counters: Arc<Counters>,
    pub allocations: Slab<Allocation>,
    pub clients: HashMap<Client, usize>,
    /// Which allocation has a relay, by the relay's number and by its addresses.
    relays: Vec<Option<usize>>,
    pub addresses: HashMap<SocketAddr, usize>,
    pub users: Named<User>,
    pub calls: Named<Call>,
    pub reservations: HashMap<u64, Reservation>,
    pub challenges: Challenges,
    /// The hub's own media is at this server's port.
    pub has_media: bool,
    /// This machine's addresses, and those that the world sees of it.
    pub own: HashSet<IpAddr>,
    /// Rises whenever a judgement on a peer may have changed.
    pub epoch: u64,
    sweep_at: Option<Instant>,
    indications: u64,
}

impl Server {
    pub fn new(config: Config, credentials: Credentials, counters: Arc<Counters>, now: Instant) -> Self {
        Self {
            config,
            credentials,
            counters,
            allocations: Slab::new(),
            clients: HashMap::new(),
            relays: Vec::new(),
            addresses: HashMap::new(),
            users: Named::default(),
            calls: Named::default(),
            reservations: HashMap::new(),
            challenges: Challenges::new(now),
            has_media: false,
            own: HashSet::new(),
            epoch: 1,
            sweep_at: None,
            indications: 0,
        }
    }

    /// Takes a datagram of a client, or a whole message of a stream.
    pub fn receive(
        &mut self,
        now: Now,
        client: Client,
        datagram: &[u8],
        relays: &mut dyn Relays,
        out: &mut Outbox,
    ) {
        match datagram.first() {
            Some(0x40..=0x7f) => self.channel_data(now, client, datagram, out),
            Some(0..=3) => match wire::stun(datagram) {
                Some(0x0016) => self.send_indication(now, client, datagram, out),
                // A Binding indication keeps a NAT's mapping.
                Some(0x0011) => {}
                Some(kind) => self.request(now, client, kind, datagram, relays, out),
                None => self.counters.discarded.up(),
            },
            _ => self.counters.discarded.up(),
        }
    }

    fn channel_data(&mut self, now: Now, client: Client, datagram: &[u8], out: &mut Outbox) {
        let (Some((number, payload)), Some(&key)) = (wire::channel_data(datagram), self.clients.get(&client))
        else {
            return self.counters.discarded.up();
        };
        let allocation = &self.allocations[key];
        let Some(channel) = allocation.channel(number, now.at) else {
            return self.counters.not_permitted.up();
        };
        let peer = channel.peer;
        if allocation.permission(peer.ip(), now.at).is_none() {
            return self.counters.not_permitted.up();
        }
        let way = if channel.epoch == self.epoch {
            channel.way
        } else {
            let way = self.judge(allocation, peer);
            self.allocations[key].note(number, way, self.epoch);
            way
        };
        self.send_to_peer(now, key, peer, way, payload, out);
    }

    fn send_indication(&mut self, now: Now, client: Client, datagram: &[u8], out: &mut Outbox) {
        let (Some((peer, payload)), Some(&key)) =
            (wire::send_indication(datagram), self.clients.get(&client))
        else {
            return self.counters.discarded.up();
        };
        let allocation = &self.allocations[key];
        if allocation.permission(peer.ip(), now.at).is_none() {
            return self.counters.not_permitted.up();
        }
        let way = self.judge(allocation, peer);
        self.send_to_peer(now, key, peer, way, payload, out);
    }

    fn send_to_peer(
        &mut self,
        now: Now,
        key: usize,
        peer: SocketAddr,
        way: Way,
        payload: &[u8],
        out: &mut Outbox,
    ) {
        let allocation = &self.allocations[key];
        let Some(relay) = allocation.relay_for(peer.ip()).copied() else {
            return self.counters.not_permitted.up();
        };
        if way == Way::Refused {
            return self.counters.not_permitted.up();
        }
        if !self.may_pass(allocation.user, payload.len(), now.at) {
            return self.counters.refused_rate.up();
        }
        self.counters.relayed_datagrams_in.up();
        self.counters.relayed_bytes_in.add(payload.len() as u64);
        match way {
            Way::Inside(other) => {
                self.counters.inside.up();
                self.send_to_client(now, other, relay.published, payload, out);
            }
            _ => out.push(Target::Peer { relay: relay.relay, peer }, &[payload]),
        }
    }

    /// Takes a datagram that came to a relayed address.
    pub fn receive_from_peer(
        &mut self,
        now: Now,
        relay: usize,
        peer: SocketAddr,
        payload: &[u8],
        out: &mut Outbox,
    ) {
        // A datagram may have waited in the socket of an allocation that is over.
        let Some(key) = self.relays.get(relay).copied().flatten() else { return };
        self.send_to_client(now, key, peer, payload, out);
    }

    fn send_to_client(&mut self, now: Now, key: usize, peer: SocketAddr, payload: &[u8], out: &mut Outbox) {
        let Some(allocation) = self.allocations.get(key) else { return };
        let Some(permission) = allocation.permission(peer.ip(), now.at) else {
            return self.counters.not_permitted.up();
        };
        let channel = allocation.number(peer, now.at);
        // What an address without this allowance sends is judged by its port as well.
        let known = channel.filter(|(_, channel)| channel.epoch == self.epoch);
        let refused = match known {
            Some((_, channel)) => channel.way == Way::Refused,
            None => !permission.any_port && self.judge(allocation, peer) == Way::Refused,
        };
        if refused {
            return self.counters.not_permitted.up();
        }
        let (client, user) = (allocation.client, allocation.user);
        let number = channel.map(|(number, _)| number);
        if payload.len() > LARGEST_PAYLOAD || !self.may_pass(user, payload.len(), now.at) {
            return self.counters.refused_rate.up();
        }
        self.counters.relayed_datagrams_out.up();
        self.counters.relayed_bytes_out.add(payload.len() as u64);
        let target = Target::Client(client);
        let padding = wire::padding(payload.len());
        match (number, client.via) {
            (Some(number), Via::Udp(_)) => {
                out.push(target, &[&wire::channel_header(number, payload), payload]);
            }
            (Some(number), Via::Stream(_)) => {
                out.push(target, &[&wire::channel_header(number, payload), payload, padding]);
            }
            (None, _) => {
                self.indications += 1;
                let header = DataHeader::new(peer, payload, self.indications);
                out.push(target, &[header.bytes(), payload, padding]);
            }
        }
    }

    fn may_pass(&mut self, user: usize, bytes: usize, now: Instant) -> bool {
        let rate = self.config.max_rate;
        rate == 0 || self.users.get_mut(user).is_some_and(|user| user.may_pass(bytes, rate, now))
    }

    /// Adds an allocation to the tables.
    pub fn enter(&mut self, allocation: Allocation) -> usize {
        let (client, relays) = (allocation.client, allocation.relays.clone());
        if let Some(call) = self.calls.get_mut(allocation.call) {
            call.allocations += 1;
        }
        let key = self.allocations.insert(allocation);
        self.clients.insert(client, key);
        for opened in relays {
            if self.relays.len() <= opened.relay {
                self.relays.resize(opened.relay + 1, None);
            }
            self.relays[opened.relay] = Some(key);
            self.addresses.insert(opened.local, key);
            self.addresses.insert(opened.published, key);
        }
        self.counters.allocated.up();
        self.changed();
        key
    }

    /// Ends an allocation.
    pub fn remove(&mut self, key: usize, relays: &mut dyn Relays) {
        let Some(allocation) = self.allocations.try_remove(key) else { return };
        self.clients.remove(&allocation.client);
        for opened in &allocation.relays {
            self.shut(opened, relays);
        }
        if let Some(call) = self.calls.get_mut(allocation.call) {
            call.allocations -= 1;
        }
        self.give_back(allocation.user);
        self.changed();
    }

    /// Closes one relayed address.
    pub fn shut(&mut self, opened: &Opened, relays: &mut dyn Relays) {
        if let Some(place) = self.relays.get_mut(opened.relay) {
            *place = None;
        }
        self.addresses.remove(&opened.local);
        self.addresses.remove(&opened.published);
        relays.close(opened.relay);
        self.epoch += 1;
    }

    /// A user has one allocation or reservation less.
    fn give_back(&mut self, user: usize) {
        if let Some(user) = self.users.get_mut(user) {
            user.allocations -= 1;
        }
    }

    fn changed(&mut self) {
        self.epoch += 1;
        self.counters.allocations.set(self.allocations.len() as u64);
        self.counters.users.set(self.users.len() as u64);
        self.counters.calls.set(self.calls.len() as u64);
    }

    /// Whether a client has an allocation.
    pub fn is_client(&self, client: Client) -> bool {
        self.clients.contains_key(&client)
    }

    /// A stream has ended, and with it its allocation (RFC 8656 section 5).
    pub fn client_closed(&mut self, client: Client, relays: &mut dyn Relays) {
        if let Some(&key) = self.clients.get(&client) {
            self.remove(key, relays);
        }
    }

    /// Allows a call's `user` to reach a candidate that was signaled to them.
    pub fn permit(&mut self, call: &str, user: &str, candidate: SocketAddr, now: Now) {
        let candidate = SocketAddr::new(candidate.ip().to_canonical(), candidate.port());
        let fits = matches!(kind(candidate.ip()), Kind::Public | Kind::Private);
        if !fits || candidate.port() < LOWEST_CANDIDATE || self.is_door(candidate) {
            return self.counters.refused_candidates.up();
        }
        self.call(call).permit(user, candidate, now.at + CANDIDATE_LASTS);
        self.changed();
    }

    /// A call goes on: its credentials count as valid until `unix` seconds.
    pub fn keep(&mut self, call: &str, unix: u64) {
        self.call(call).kept_until = unix;
    }

    /// A call is over, or its right to be: its allocations end, its credentials are void.
    pub fn revoke(&mut self, call: &str, now: Now, relays: &mut dyn Relays) {
        let entry = self.call(call);
        (entry.kept_until, entry.revoked_until) = (0, now.unix + REVOKED_LASTS);
        let number = self.calls.find(call);
        let of_call = self.allocations.iter().filter(|(_, allocation)| Some(allocation.call) == number);
        for key in of_call.map(|(key, _)| key).collect::<Vec<_>>() {
            self.remove(key, relays);
        }
    }

    fn call(&mut self, name: &str) -> &mut Call {
        let number = self.calls.enter(name, Call::default);
        self.calls.get_mut(number).unwrap_or_else(|| unreachable!("just entered"))
    }

    /// When `handle_timeout` wants to be called next.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let idle = self.allocations.is_empty() && self.calls.len() == 0 && self.reservations.is_empty();
        if idle {
            self.sweep_at = None;
        } else if self.sweep_at.is_none() {
            self.sweep_at = Some(now + SWEEP);
        }
        self.sweep_at
    }

    /// Ends what is over.
    pub fn handle_timeout(&mut self, now: Now, relays: &mut dyn Relays) {
        if self.sweep_at.take_if(|at| *at <= now.at).is_none() {
            return;
        }
        let over = |(key, allocation): (usize, &mut Allocation)| {
            allocation.expire(now.at);
            (allocation.until <= now.at).then_some(key)
        };
        for key in self.allocations.iter_mut().filter_map(over).collect::<Vec<_>>() {
            self.remove(key, relays);
        }
        let expired = self.reservations.extract_if(|_, reservation| reservation.until <= now.at);
        for (_, reservation) in expired.collect::<Vec<_>>() {
            relays.close(reservation.opened.relay);
            self.give_back(reservation.user);
        }
        let mut changed = false;
        self.calls.retain(|call| {
            changed |= call.expire(now);
            !call.is_over(now.unix)
        });
        self.users.retain(|user| user.allocations > 0);
        if changed {
            self.epoch += 1;
        }
        self.counters.users.set(self.users.len() as u64);
        self.counters.calls.set(self.calls.len() as u64);
    }
}
