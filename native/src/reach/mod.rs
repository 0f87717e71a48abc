//! Reach beyond the own network: server-reflexive candidates from STUN servers (RFC 8489) and relayed
//! ones from TURN servers (RFC 8656). Every server is asked at once; what is found is told as it comes.

mod binding;
mod link;
mod peer;
mod relay;
mod stream;
pub mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polling::Poller;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use str0m::Candidate;

use crate::net::{ReadBuffers, Socket};
use crate::peer::gather;
use binding::Binding;
use relay::Relay;

/// Relays have the upper half of a peer's poller keys.
pub const RELAY_KEYS: usize = 32;
/// Allocations of one peer, and bindings asked for; more servers than that add no reach.
const MOST_RELAYS: usize = 16;
const MOST_BINDINGS: usize = 64;
/// The first wait, doubled each time. RFC 8489 section 6.2.1 has 500 ms, where nothing is known of the path; a candidate
/// that a lost packet holds back for so long is late for most calls. libwebrtc begins with 250 ms too.
const RTO: Duration = Duration::from_millis(250);
/// Rc of that section, which makes it configurable. Its default of 7, and 500 ms, would go on for 39.5 s, when the
/// connection has been given up; so a request is over after 15.5 s.
const SENDINGS: u32 = 6;
/// The wait after the last, Rm = 31 times the RTO.
const LAST_WAIT: Duration = Duration::from_millis(7750);
/// W3C's code for a server that could not be reached (RTCPeerConnectionIceErrorEvent).
const UNREACHABLE: u16 = 701;

/// How a TURN server is spoken to.
pub enum Transport {
    Udp,
    Tcp,
    Tls(Arc<ClientConfig>, ServerName<'static>),
}

/// What a TURN server wants to know.
pub struct Access {
    pub transport: Transport,
    pub username: String,
    pub credential: String,
}

/// A server of the application's, its name resolved: at most one address of each family.
pub struct Server {
    pub url: Arc<str>,
    pub addresses: Vec<SocketAddr>,
    /// None for a STUN server.
    pub access: Option<Access>,
}

/// Where a local candidate is from.
#[derive(Clone)]
pub struct Origin {
    pub url: Arc<str>,
    /// "udp", "tcp" or "tls" to the TURN server; None for a server-reflexive candidate.
    pub relay_protocol: Option<&'static str>,
}

/// What a server led to.
pub enum Outcome {
    Found { candidate: Candidate, origin: Origin },
    Failed { url: Arc<str>, server: SocketAddr, code: u16, text: String },
}

/// Whether this machine may reach IPv4 by itself.
fn has_ipv4() -> bool {
    gather::host_addresses(false).iter().any(IpAddr::is_ipv4)
}

/// The servers of one peer.
pub struct Reach {
    /// Servers that Python is still resolving.
    unresolved: usize,
    servers: Vec<Server>,
    /// How many of the servers have been asked.
    asked: usize,
    bindings: Vec<Binding>,
    relays: Vec<Relay>,
    /// The candidates found, by their address.
    origins: Vec<(SocketAddr, Origin)>,
    end_told: bool,
}

impl Reach {
    /// `unresolved`: how many servers `add` will be called with.
    pub fn new(unresolved: usize) -> Self {
        Self {
            unresolved,
            servers: Vec::new(),
            asked: 0,
            bindings: Vec::new(),
            relays: Vec::new(),
            origins: Vec::new(),
            end_told: false,
        }
    }

    pub fn add(&mut self, server: Server) {
        self.unresolved = self.unresolved.saturating_sub(1);
        self.servers.push(server);
    }

    /// Forgets the servers, for `count` others; relays that they gave stay.
    pub fn renew(&mut self, count: usize) {
        self.servers.clear();
        self.asked = 0;
        self.unresolved = count;
        self.end_told = false;
    }

    /// Asks every server again, with the addresses that this machine has now; a relay that is heard stays.
    pub fn restart(&mut self, hosts: &[IpAddr], now: Instant) {
        for relay in &mut self.relays {
            if !hosts.contains(&relay.local().ip()) {
                relay.lose("the address from which it was asked is gone");
            } else if !relay.is_asking() && relay.is_doubtful(now) {
                relay.forget();
            }
        }
        self.bindings.clear();
        self.asked = 0;
        self.end_told = false;
    }

    pub fn origin(&self, candidate: SocketAddr) -> Option<&Origin> {
        self.origins.iter().find(|(address, _)| *address == candidate).map(|(_, origin)| origin)
    }

    /// No server has anything to say any more that would lead to a candidate.
    fn is_done(&self) -> bool {
        self.unresolved == 0
            && self.asked == self.servers.len()
            && self.bindings.is_empty()
            && !self.relays.iter().any(Relay::is_asking)
    }

    /// Asks the servers that were added since; `first_key` is the poller's key of the first relay.
    fn start(&mut self, sockets: &[Socket], poller: &Poller, first_key: usize, now: Instant) -> Vec<Outcome> {
        let mut failures = Vec::new();
        let new = self.asked..self.servers.len();
        self.asked = self.servers.len();
        for server in &self.servers[new] {
            let Some(access) = &server.access else {
                for &address in &server.addresses {
                    let locals = sockets.iter().filter(|socket| !socket.gone).map(|socket| socket.local);
                    let reachable = locals.filter(|local| {
                        local.is_ipv4() == address.is_ipv4()
                            && local.ip().is_loopback() == address.ip().is_loopback()
                    });
                    let room = MOST_BINDINGS.saturating_sub(self.bindings.len());
                    let new = reachable.take(room);
                    self.bindings.extend(new.map(|local| Binding::new(local, address, &server.url, now)));
                }
                continue;
            };
            let mut asked: Vec<_> = server.addresses.iter().map(|&address| (address, false)).collect();
            // Who has no IPv4 address meets those who have no other by a relay's (RFC 8656 section 1).
            if !server.addresses.iter().any(SocketAddr::is_ipv4) || !has_ipv4() {
                asked.extend(server.addresses.iter().filter(|at| at.is_ipv6()).map(|&at| (at, true)));
            }
            for (address, other_family) in asked {
                if self.relays.iter().any(|relay| relay.serves(&server.url, address, other_family)) {
                    continue;
                }
                let free = self.relays.iter().position(Relay::is_over);
                let place = free.unwrap_or(self.relays.len());
                if place == MOST_RELAYS {
                    tracing::warn!(url = %server.url, "too many TURN servers: this one is not asked");
                    break;
                }
                match Relay::open(&server.url, address, other_family, access, poller, first_key + place, now)
                {
                    Ok(relay) if free.is_some() => {
                        std::mem::replace(&mut self.relays[place], relay).close(poller, now);
                    }
                    Ok(relay) => self.relays.push(relay),
                    Err(error) if other_family => {
                        tracing::debug!(url = %server.url, %error, "no second relay")
                    }
                    Err(error) => failures.push(Outcome::Failed {
                        url: Arc::clone(&server.url),
                        server: address,
                        code: UNREACHABLE,
                        text: error.to_string(),
                    }),
                }
            }
        }
        failures
    }

    /// Sends what is due and returns what came of it.
    fn step(&mut self, sockets: &mut [Socket], now: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        self.bindings.retain_mut(|binding| match binding.step(sockets, now) {
            Some(outcome) => {
                outcomes.push(outcome);
                false
            }
            None => true,
        });
        for relay in &mut self.relays {
            outcomes.extend(relay.step(now));
        }
        for outcome in &outcomes {
            if let Outcome::Found { candidate, origin } = outcome {
                self.origins.push((candidate.addr(), origin.clone()));
            }
        }
        outcomes
    }

    /// Takes a datagram if it is a STUN server's answer.
    pub fn take_answer(&mut self, local: SocketAddr, source: SocketAddr, datagram: &[u8]) -> bool {
        self.bindings.iter_mut().any(|binding| binding.take(local, source, datagram))
    }

    /// Sends a datagram of the relayed address `source`, if there is one like that.
    pub fn transmit(&mut self, source: SocketAddr, destination: SocketAddr, datagram: &[u8], now: Instant) {
        let relay = self.relays.iter_mut().find(|relay| relay.address() == Some(source));
        if let Some(relay) = relay {
            relay.transmit(destination, datagram, now);
        }
    }

    /// Reads relay `index`: (relayed address, source, datagram) of all that arrived through it.
    pub fn read(
        &mut self,
        index: usize,
        buffers: &mut ReadBuffers,
        now: Instant,
    ) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        self.relays.get_mut(index).map(|relay| relay.read(buffers, now)).unwrap_or_default()
    }

    fn flush(&mut self, poller: &Poller) {
        for relay in &mut self.relays {
            relay.flush(poller);
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        let bindings = self.bindings.iter().map(Binding::deadline);
        bindings.chain(self.relays.iter().filter_map(Relay::deadline)).min()
    }

    /// Gives the allocations back and closes the sockets.
    pub fn close(&mut self, poller: &Poller) {
        for relay in &mut self.relays {
            relay.close(poller, Instant::now());
        }
    }
}
