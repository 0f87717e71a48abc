//! One allocation on one TURN server (RFC 8656).

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polling::Poller;
use str0m::Candidate;
use stun_proto::types::attribute::ErrorCode;
use stun_proto::types::message::{IntegrityAlgorithm, Message};
use turn_client_proto::api::{Transmit, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::prelude::*;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::{AddressFamily, TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

use super::link::Link;
use super::{Access, LAST_WAIT, Origin, Outcome, RTO, SENDINGS, Transport, UNREACHABLE};
use crate::engine::arrive::is_stun;
use crate::net::ReadBuffers;
use crate::net::kind::kind;

turn_client_proto::impl_client!(Client, (Udp, TurnClientUdp), (Tcp, TurnClientTcp));

/// From the first packet to an allocation, as long as one request may take.
const ALLOCATE_WITHIN: Duration = Duration::from_millis(15_500);
/// What a server answers to wrong credentials, and to none (RFC 8489 section 9.2.5).
const UNAUTHORIZED: u16 = 401;
const STALE_NONCE: u16 = 438;
/// Addresses of the far end that get a permission, and a channel.
const MOST_PERMISSIONS: usize = 64;
const MOST_CHANNELS: usize = 16;
/// More than the library's pause between two requests.
const PAUSE: Duration = Duration::from_millis(100);
/// The selected pair's far end is heard once a second at least.
const DOUBTED_AFTER: Duration = Duration::from_millis(1500);
/// Datagrams that wait for their permission.
const MOST_WAITING: usize = 32;
/// What hardly any server relays to has to wait so long for its permission: the library asks for one in 50 ms, and those
/// that lead somewhere come first. The checks that are dropped meanwhile are sent again by ICE.
const UNLIKELY_AFTER: Duration = Duration::from_millis(300);
/// The client is looked at no more often than that.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);

enum State {
    /// It has until then.
    Asking(Instant),
    Allocated(SocketAddr),
    Over,
}

pub struct Relay {
    url: Arc<str>,
    /// The family of the relayed address, where it is not the one by which the server is reached.
    other_family: bool,
    server: SocketAddr,
    local: SocketAddr,
    protocol: &'static str,
    client: Client,
    link: Link,
    state: State,
    /// Since when it is allocated.
    since: Instant,
    /// When the server last said something.
    heard: Instant,
    /// The library counts time from here.
    epoch: Instant,
    next: Instant,
    permissions: HashSet<IpAddr>,
    channels: HashSet<SocketAddr>,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    /// The server has asked for credentials.
    challenged: bool,
    /// Why it is over, to be told in the next step: the server's code or 701, and words.
    broken: Option<(u16, String)>,
}

impl Relay {
    pub fn open(
        url: &Arc<str>,
        server: SocketAddr,
        other_family: bool,
        access: &Access,
        poller: &Poller,
        key: usize,
        now: Instant,
    ) -> io::Result<Self> {
        let (link, local) = Link::open(server, &access.transport, poller, key)?;
        let mut config = TurnConfig::new(TurnCredentials::new(&access.username, &access.credential));
        let ipv4 = server.is_ipv4() != other_family;
        config.set_address_family(if ipv4 { AddressFamily::IPV4 } else { AddressFamily::IPV6 });
        // Chosen where the server offers it (RFC 8489 section 14.11).
        config.add_supported_integrity(IntegrityAlgorithm::Sha256);
        config.set_request_retransmits(RTO, Duration::MAX, SENDINGS, LAST_WAIT);
        let (protocol, client) = match access.transport {
            Transport::Udp => ("udp", Client::Udp(TurnClientUdp::allocate(local, server, config))),
            Transport::Tcp => ("tcp", Client::Tcp(TurnClientTcp::allocate(local, server, config))),
            Transport::Tls(..) => ("tls", Client::Tcp(TurnClientTcp::allocate(local, server, config))),
        };
        Ok(Self {
            url: Arc::clone(url),
            other_family,
            server,
            local,
            protocol,
            client,
            link,
            state: State::Asking(now + ALLOCATE_WITHIN),
            since: now,
            heard: now,
            epoch: now,
            next: now,
            permissions: HashSet::new(),
            channels: HashSet::new(),
            waiting: VecDeque::new(),
            challenged: false,
            broken: None,
        })
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over) || self.broken.is_some()
    }

    /// Whether it is an allocation, or will be, of this server.
    pub fn serves(&self, url: &str, server: SocketAddr, other_family: bool) -> bool {
        !self.is_over() && *self.url == *url && self.server == server && self.other_family == other_family
    }

    /// Whether it has been quiet for so long that a NAT on the way may have forgotten it.
    pub fn is_doubtful(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > DOUBTED_AFTER
    }

    pub fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking(_))
    }

    /// The relayed address.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.state {
            State::Allocated(address) => Some(address),
            _ => None,
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Asking(until) => Some(self.next.min(until)),
            State::Allocated(_) => Some(self.next),
            State::Over => None,
        }
    }

    fn time(&self, now: Instant) -> stun_proto::Instant {
        let since = now.saturating_duration_since(self.epoch).as_nanos();
        stun_proto::Instant::from_nanos(i64::try_from(since).unwrap_or(i64::MAX))
    }

    /// Moves the client on.
    pub fn step(&mut self, now: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if matches!(self.state, State::Over) {
            return outcomes;
        }
        let time = self.time(now);
        loop {
            match self.client.poll(time) {
                TurnPollRet::WaitUntil(at) => {
                    let at = u64::try_from(at.as_nanos()).unwrap_or(0);
                    self.next = (self.epoch + Duration::from_nanos(at)).max(now + SHORTEST_WAIT);
                }
                TurnPollRet::Closed => {
                    self.lose("the allocation ended");
                }
                // Only TCP allocations have these.
                TurnPollRet::AllocateTcpSocket { .. } | TurnPollRet::TcpClose { .. } => {}
            }
            let mut progress = false;
            while let Some(transmit) = self.client.poll_transmit(time) {
                self.link.send(&transmit.data);
                progress = true;
            }
            while let Some(event) = self.client.poll_event() {
                outcomes.extend(self.on_event(event, now));
                progress = true;
            }
            if !progress {
                break;
            }
        }
        if matches!(self.state, State::Asking(until) if now >= until) {
            self.lose("no answer");
        }
        if let Some((code, text)) = self.broken.take() {
            self.state = State::Over;
            self.waiting.clear();
            if self.other_family {
                // It is of use by its own family; what it lacks beside that is no failure of it.
                tracing::debug!(url = %self.url, code, text, "no relay of the other family");
                return outcomes;
            }
            outcomes.push(Outcome::Failed { url: Arc::clone(&self.url), server: self.server, code, text });
        }
        outcomes
    }

    fn on_event(&mut self, event: TurnEvent, now: Instant) -> Option<Outcome> {
        match event {
            TurnEvent::AllocationCreated(TransportType::Udp, address) => {
                if !self.is_asking() {
                    return None;
                }
                let candidate = Candidate::builder()
                    .udp()
                    .relayed(address, self.local)
                    .prio(priority(self.protocol, address))
                    .build();
                match candidate {
                    Ok(candidate) => {
                        self.state = State::Allocated(address);
                        self.since = now;
                        let origin =
                            Origin { url: Arc::clone(&self.url), relay_protocol: Some(self.protocol) };
                        return Some(Outcome::Found { candidate, origin });
                    }
                    Err(error) => self.lose(&format!("its answer is of no use: {error}")),
                }
            }
            TurnEvent::AllocationCreateFailed(_) => {
                self.lose("no allocation was made");
            }
            TurnEvent::PermissionCreated(_, ip) => {
                for (to, datagram) in std::mem::take(&mut self.waiting) {
                    if to.ip() == ip {
                        self.transmit(to, &datagram, now);
                    } else {
                        self.waiting.push_back((to, datagram));
                    }
                }
            }
            // The address stays among those asked for: the server will not think better of it.
            TurnEvent::PermissionCreateFailed(_, ip) => {
                tracing::debug!(url = %self.url, %ip, "the TURN server does not relay there");
                self.waiting.retain(|(to, _)| to.ip() != ip);
            }
            _ => {}
        }
        None
    }

    /// Ends it without a word: another takes its place.
    pub fn forget(&mut self) {
        self.state = State::Over;
        self.waiting.clear();
    }

    pub fn lose(&mut self, reason: &str) {
        self.broken.get_or_insert_with(|| (UNREACHABLE, reason.to_owned()));
    }

    /// Sends a datagram from the relayed address to `to`.
    pub fn transmit(&mut self, to: SocketAddr, datagram: &[u8], now: Instant) {
        let time = self.time(now);
        if !self.client.have_permission(TransportType::Udp, to.ip()) {
            let unlikely =
                self.address().is_some_and(|at| kind(to.ip()).is_inner() && !kind(at.ip()).is_inner());
            if unlikely && now.saturating_duration_since(self.since) < UNLIKELY_AFTER {
                return;
            }
            if self.permissions.len() < MOST_PERMISSIONS && self.permissions.insert(to.ip()) {
                self.try_permission(to.ip(), time);
            }
            if self.waiting.len() < MOST_WAITING {
                self.waiting.push_back((to, datagram.to_vec()));
            }
            return;
        }
        // What is no check goes to the selected pair: worth a channel, which costs 4 bytes and not 36.
        if !is_stun(datagram) && self.channels.len() < MOST_CHANNELS && self.channels.insert(to) {
            if let Err(error) = self.client.bind_channel(TransportType::Udp, to, time) {
                tracing::debug!(url = %self.url, %error, "channel");
            }
            self.next = now;
        }
        match self.client.send_to(TransportType::Udp, to, datagram, time) {
            Ok(Some(transmit)) => self.link.send(&transmit.build().data),
            Ok(None) => {}
            Err(error) => tracing::debug!(url = %self.url, %error, "relay"),
        }
    }

    fn try_permission(&mut self, ip: IpAddr, time: stun_proto::Instant) {
        if let Err(error) = self.client.create_permission(TransportType::Udp, ip, time) {
            tracing::debug!(url = %self.url, %error, "permission");
        }
        while let Some(transmit) = self.client.poll_transmit(time) {
            self.link.send(&transmit.data);
        }
    }

    /// What arrived: (relayed address, source, datagram).
    pub fn read(
        &mut self,
        buffers: &mut ReadBuffers,
        now: Instant,
    ) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        let mut arrived = Vec::new();
        let relayed = self.address();
        let (client, challenged) = (&mut self.client, &mut self.challenged);
        let (epoch, local, server) = (self.epoch, self.local, self.server);
        let transport = client.transport();
        let mut refusal = None;
        let heard = &mut self.heard;
        let result = self.link.read(buffers, now, |now, message| {
            *heard = now;
            if relayed.is_none()
                && let Some((code, text)) = refused(message)
            {
                // One 401 is how a server says its realm; a second one to the credentials is an answer.
                let expected = code == STALE_NONCE || (code == UNAUTHORIZED && !*challenged);
                *challenged |= code == UNAUTHORIZED;
                if !expected {
                    refusal = Some((code, text));
                }
            }
            let since = now.saturating_duration_since(epoch).as_nanos();
            let time = stun_proto::Instant::from_nanos(i64::try_from(since).unwrap_or(i64::MAX));
            let received = client.recv(Transmit::new(message, transport, server, local), time);
            if let (TurnRecvRet::PeerData(data), Some(relayed)) = (received, relayed) {
                arrived.push((relayed, data.peer, data.data().to_vec()));
            }
        });
        if refusal.is_some() {
            self.broken = refusal;
        } else if let Err(error) = result {
            self.lose(&error.to_string());
        }
        arrived
    }

    pub fn flush(&mut self, poller: &Poller) {
        if matches!(self.state, State::Over) {
            return;
        }
        if let Err(error) = self.link.flush(poller) {
            self.lose(&error.to_string());
            // Told in the next step, at once.
            self.next = Instant::now();
        }
    }

    /// Gives the allocation back (a refresh to a lifetime of nothing), if the server still listens.
    pub fn close(&mut self, poller: &Poller, now: Instant) {
        let time = self.time(now);
        if self.client.delete(time).is_ok() {
            // The library pauses between requests, and others may come before this one: time is told to
            // have passed.
            for pause in 1..=MOST_CHANNELS as u32 {
                let Some(transmit) = self.client.poll_transmit(time + PAUSE * pause) else { break };
                self.link.send(&transmit.data);
            }
            let _ = self.link.flush(poller);
        }
        self.link.close(poller);
    }
}

fn refused(message: &[u8]) -> Option<(u16, String)> {
    let message = Message::from_bytes(message).ok()?;
    let error = message.attribute::<ErrorCode>().ok()?;
    Some((error.code(), error.reason().to_owned()))
}

/// The priority of a relay (RFC 8445, section 5.1.2.1) by how its server is reached: UDP before TCP before TLS, with
/// libwebrtc's type preferences, so that what TCP holds back for its order is taken only where UDP does not get through.
fn priority(protocol: &str, address: SocketAddr) -> u32 {
    let kind = match protocol {
        "udp" => 2,
        "tcp" => 1,
        _ => 0,
    };
    let local = if address.is_ipv6() { 65_535 } else { 65_534 };
    kind << 24 | local << 8 | 255
}

#[cfg(test)]
mod tests {
    use super::priority;

    #[test]
    fn udp_before_tcp_before_tls_and_ipv6_before_ipv4() {
        let (six, four) = ("[2001:db8::1]:9".parse().unwrap(), "192.0.2.1:9".parse().unwrap());
        let order = [("udp", six), ("udp", four), ("tcp", six), ("tcp", four), ("tls", six), ("tls", four)];
        assert!(order.map(|(protocol, address)| priority(protocol, address)).is_sorted_by(|a, b| a > b));
    }
}
