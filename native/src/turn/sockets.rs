//! The server's UDP sockets: where clients come, and one for each relayed address.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn_udp::Transmit;
use slab::Slab;

use super::counters::Counters;
use super::handle::Handle;
use super::media::Outside;
use super::outbox::{Client, Entry, Outbox, Target, Via};
use super::relays::{Opened, Ports, Relays, Unavailable};
use crate::net::{Io, LARGEST};
use crate::peer::gather::host_addresses;

/// The poller's keys of relays begin here, those of listening sockets at 0.
pub const RELAY_KEYS: usize = 1 << 16;
/// More relayed addresses than a hub has use for; coturn is for the others.
const MOST_RELAYS: usize = 4096;
/// Ports tried until an even one, or a pair, is free.
const TRIES: usize = 64;

/// What sockets are made of.
pub struct Plan {
    /// First and last port of relayed addresses; zeros: whatever is free.
    pub ports: (u16, u16),
    pub outside: Outside,
}

pub struct Sockets {
    pub listeners: Vec<Arc<Io>>,
    relays: Slab<Arc<Io>>,
    /// Closed, but what is in the outbox may still name them.
    closing: Vec<usize>,
    plan: Plan,
    most: usize,
    handle: Arc<Handle>,
    counters: Arc<Counters>,
    /// A run whose datagrams were not side by side.
    run: Vec<u8>,
}

impl Sockets {
    /// Binds where clients come. Errors: an address is not this machine's, or a port is in use.
    pub fn open(listen: &[SocketAddr], plan: Plan, handle: &Arc<Handle>) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for (key, at) in listen.iter().enumerate() {
            let bound = Io::bind(at.ip(), at.port()).and_then(|io| {
                io.may_fragment();
                io.watch(&handle.poller, key)?;
                Ok(Arc::new(io))
            });
            let words = |error: io::Error| io::Error::new(error.kind(), format!("UDP {at}: {error}"));
            listeners.push(bound.map_err(words)?);
        }
        Ok(Self {
            listeners,
            relays: Slab::new(),
            closing: Vec::new(),
            plan,
            most: share_of_files(MOST_RELAYS),
            handle: Arc::clone(handle),
            counters: Arc::clone(&handle.counters),
            run: Vec::new(),
        })
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|io| io.local).collect()
    }

    pub fn published(&self) -> impl Iterator<Item = IpAddr> {
        self.plan.outside.addresses.iter().map(|(_, world)| *world)
    }

    /// A listening socket and its number.
    pub fn listener(&self, key: usize) -> Option<(Arc<Io>, u16)> {
        Some((Arc::clone(self.listeners.get(key)?), u16::try_from(key).ok()?))
    }

    pub fn relay(&self, index: usize) -> Option<Arc<Io>> {
        self.relays.get(index).filter(|_| !self.closing.contains(&index)).cloned()
    }

    /// Sends what is in the outbox, and closes what was to be closed. `stream` takes what is for streams.
    pub fn flush(&mut self, out: &mut Outbox, mut stream: impl FnMut(Client, &[u8])) {
        // Stable, so that the order within one flow stays; long runs cost the fewest calls.
        if !out.entries.is_sorted_by_key(|entry| entry.target) {
            out.entries.sort_by_key(|entry| entry.target);
        }
        let mut run = std::mem::take(&mut self.run);
        for flow in out.entries.chunk_by(|one, next| one.target == next.target) {
            let (io, destination, source) = match flow[0].target {
                Target::Peer { relay, peer } => match self.relays.get(relay) {
                    Some(io) => (io, peer, None),
                    None => continue,
                },
                Target::Client(client) => match client.via {
                    Via::Udp(listener) => match self.listeners.get(usize::from(listener)) {
                        Some(io) => {
                            let source = io.local.ip().is_unspecified().then_some(client.local);
                            (io, client.address, source)
                        }
                        None => continue,
                    },
                    Via::Stream(_) => {
                        flow.iter().for_each(|entry| stream(client, out.bytes(entry)));
                        continue;
                    }
                },
            };
            let mut rest = flow;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(run_length(rest, io.most_segments()));
                self.send(io, destination, source, now, out, &mut run);
                rest = later;
            }
        }
        self.run = run;
        out.clear();
        for index in std::mem::take(&mut self.closing) {
            self.relays.try_remove(index);
        }
    }

    /// Sends datagrams of one length (the last may be shorter) in one call.
    fn send(
        &self,
        io: &Io,
        destination: SocketAddr,
        src_ip: Option<IpAddr>,
        entries: &[Entry],
        out: &Outbox,
        run: &mut Vec<u8>,
    ) {
        let [first, ..] = entries else { return };
        let contents = if entries.windows(2).all(|pair| pair[0].start + pair[0].length == pair[1].start) {
            out.range(entries)
        } else {
            run.clear();
            entries.iter().for_each(|entry| run.extend_from_slice(out.bytes(entry)));
            &run[..]
        };
        let transmit =
            |contents, segment_size| Transmit { destination, ecn: None, contents, segment_size, src_ip };
        let size = (entries.len() > 1).then_some(first.length);
        match io.try_send(&transmit(contents, size)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.counters.lost.add(entries.len() as u64)
            }
            // The path takes no runs, or not of this size: one by one.
            Err(_) if entries.len() > 1 => {
                for entry in entries {
                    if io.try_send(&transmit(out.bytes(entry), None)).is_err() {
                        self.counters.lost.up();
                    }
                }
            }
            // Unreachable, or refused by a firewall.
            Err(_) => self.counters.lost.up(),
        }
    }

    /// The address here that relays for a client have.
    fn address(&self, local: IpAddr, ipv6: bool) -> Option<IpAddr> {
        let link_local = matches!(local, IpAddr::V6(ip) if ip.is_unicast_link_local());
        if local.is_ipv6() == ipv6 && !link_local {
            return Some(local);
        }
        let listening = self.listeners.iter().map(|io| io.local.ip()).filter(|ip| !ip.is_unspecified());
        let mut all = listening.chain(host_addresses(true));
        all.find(|ip| ip.is_ipv6() == ipv6 && ip.is_loopback() == local.is_loopback())
    }

    fn bind(&self, ip: IpAddr, port: u16) -> io::Result<Io> {
        let io = Io::bind(ip, port)?;
        io.may_fragment();
        Ok(io)
    }

    /// Binds to a free port of the range.
    fn bind_some(&self, ip: IpAddr, ports: Ports) -> Option<(Io, Option<Io>)> {
        let (first, last) = self.plan.ports;
        let span = usize::from(last.saturating_sub(first)) + 1;
        // Where nobody can guess, as RFC 6056 has it.
        let start = RandomState::new().hash_one(ip) as usize % span;
        let tries = if first == 0 { TRIES } else { span };
        for step in 0..tries {
            let port = if first == 0 { 0 } else { first + ((start + step) % span) as u16 };
            if port % 2 == 1 && ports != Ports::Any {
                continue;
            }
            let io = match self.bind(ip, port) {
                Ok(io) => io,
                Err(error) if error.kind() == ErrorKind::AddrInUse => continue,
                Err(_) => return None,
            };
            match ports {
                Ports::Any => return Some((io, None)),
                _ if io.local.port() % 2 == 1 => {}
                Ports::Even => return Some((io, None)),
                Ports::Pair => {
                    let next = io.local.port() + 1;
                    if (first == 0 || next <= last)
                        && let Ok(second) = self.bind(ip, next)
                    {
                        return Some((io, Some(second)));
                    }
                }
            }
        }
        None
    }

    fn add(&mut self, io: Io) -> Result<Opened, Unavailable> {
        let local = io.local;
        let seen = self.plan.outside.of(local.ip());
        let published = SocketAddr::new(seen.unwrap_or(local.ip()), local.port());
        let entry = self.relays.vacant_entry();
        let relay = entry.key();
        io.watch(&self.handle.poller, RELAY_KEYS + relay).map_err(|_| Unavailable::Capacity)?;
        entry.insert(Arc::new(io));
        Ok(Opened { relay, local, published })
    }
}

impl Relays for Sockets {
    fn open(
        &mut self,
        local: IpAddr,
        ipv6: bool,
        ports: Ports,
    ) -> Result<(Opened, Option<Opened>), Unavailable> {
        let ip = self.address(local, ipv6).ok_or(Unavailable::Family)?;
        if self.relays.len() + 2 > self.most {
            return Err(Unavailable::Capacity);
        }
        let (first, second) = self.bind_some(ip, ports).ok_or(Unavailable::Capacity)?;
        let first = self.add(first)?;
        let second = second.map(|second| self.add(second)).transpose();
        let second = second.inspect_err(|_| self.close(first.relay))?;
        Ok((first, second))
    }

    fn close(&mut self, relay: usize) {
        if let Some(io) = self.relays.get(relay) {
            io.unwatch(&self.handle.poller);
            self.closing.push(relay);
        }
    }
}

/// How many of these datagrams, all for one destination, go in one call.
fn run_length(entries: &[Entry], most: usize) -> usize {
    let size = entries[0].length;
    let mut total = size;
    let mut count = 1;
    for entry in entries.iter().skip(1) {
        total += entry.length;
        let short = entry.length < size;
        // An empty datagram cannot be a segment.
        if entry.length > size || entry.length == 0 || count >= most || total > LARGEST {
            break;
        }
        count += 1;
        if short {
            break;
        }
    }
    count
}

/// A quarter of the descriptors that this process may have, since the hub's connections need them too.
pub fn share_of_files(most: usize) -> usize {
    use rustix::process::{Resource, getrlimit};
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 4;
    usize::try_from(files).unwrap_or(usize::MAX).min(most)
}
