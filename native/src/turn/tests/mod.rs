//! The core, told what time it is, with sockets that are only numbers.

mod algorithms;
mod credentials;
mod hostile;
mod lifecycle;
mod limits;
mod peers;
mod policy;
mod streams;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stun_proto::types::attribute::{AttributeWrite, ErrorCode, MessageIntegrity, Nonce, Realm, Username};
use stun_proto::types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageWrite, MessageWriteExt,
    MessageWriteVec, Method,
};
use turn_client_proto::types::attribute::{
    ChannelNumber, Data, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};
use turn_client_proto::types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, SEND};

use super::credentials::Credentials;
use super::outbox::{Client, Outbox, Target, Via};
use super::policy::Subnet;
use super::relays::{Opened, Ports, Relays, Unavailable};
use super::server::{Config, Now, Server};
use super::wire;

pub const REALM: &str = "plait";
pub const SECRET: &[u8] = b"secret";
/// When the tests begin, in unix seconds.
pub const START: u64 = 1_000_000;

/// Sockets that are only numbers, on 203.0.113.1 and 2001:db8::1.
#[derive(Default)]
pub struct Numbers {
    pub open: BTreeMap<usize, SocketAddr>,
    next: usize,
    pub no_ipv6: bool,
}

impl Numbers {
    fn take(&mut self, ipv6: bool, even: bool) -> Opened {
        self.next += 1 + usize::from(even && !self.next.is_multiple_of(2));
        let ip: IpAddr = if ipv6 { "2001:db8::1" } else { "203.0.113.1" }.parse().unwrap();
        let local = SocketAddr::new(ip, 49_151 + self.next as u16);
        self.open.insert(self.next, local);
        Opened { relay: self.next, local, published: local }
    }
}

impl Relays for Numbers {
    fn open(&mut self, _: IpAddr, ipv6: bool, ports: Ports) -> Result<(Opened, Option<Opened>), Unavailable> {
        if ipv6 && self.no_ipv6 {
            return Err(Unavailable::Family);
        }
        let first = self.take(ipv6, ports != Ports::Any);
        Ok((first, (ports == Ports::Pair).then(|| self.take(ipv6, false))))
    }

    fn close(&mut self, relay: usize) {
        self.open.remove(&relay).expect("open");
    }
}

/// A server and all around it.
pub struct World {
    pub server: Server,
    pub relays: Numbers,
    pub now: Now,
    pub out: Outbox,
}

/// Somebody with credentials.
#[derive(Clone)]
pub struct End {
    pub client: Client,
    pub username: String,
    pub password: String,
    pub nonce: String,
}

/// What came back: the error's code or 0, and the bytes.
pub struct Answer {
    pub code: u16,
    bytes: Vec<u8>,
}

impl Answer {
    pub fn message(&self) -> Message<'_> {
        Message::from_bytes(&self.bytes).unwrap()
    }

    pub fn relayed(&self) -> SocketAddr {
        let message = self.message();
        message.attribute::<XorRelayedAddress>().unwrap().addr(message.transaction_id())
    }
}

pub fn config() -> Config {
    let listening = vec!["203.0.113.1:3478".parse().unwrap(), "203.0.113.1:3479".parse().unwrap()];
    Config { allow: Vec::new(), max_allocations: 16, max_rate: 0, max_lifetime: 600, listening }
}

pub fn credentials() -> Credentials {
    Credentials::new(SECRET, REALM).unwrap()
}

impl World {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: Config) -> Self {
        let now = Now { at: Instant::now(), unix: START };
        let mut server = Server::new(config, credentials(), Arc::default(), now.at);
        server.set_own(["203.0.113.1".parse().unwrap(), "192.168.7.1".parse().unwrap()]);
        Self { server, relays: Numbers::default(), now, out: Outbox::default() }
    }

    pub fn allowing(subnets: &[&str]) -> Self {
        let allow = subnets.iter().map(|subnet| Subnet::parse(subnet).unwrap()).collect();
        Self::with(Config { allow, ..config() })
    }

    /// A client of `call` and `user`, at an address of its own, whose credentials last an hour.
    pub fn end(&self, call: &str, user: &str, port: u16) -> End {
        let username = format!("{}:{call}:{user}:thing", START + 3600);
        self.named(&username, port)
    }

    pub fn named(&self, username: &str, port: u16) -> End {
        let client = Client {
            via: Via::Udp(0),
            address: SocketAddr::new("198.51.100.7".parse().unwrap(), port),
            local: "203.0.113.1".parse().unwrap(),
        };
        let password = self.server.credentials.password(username);
        let nonce = self.server.credentials.nonce(&client, self.now.unix);
        End { client, username: username.to_owned(), password, nonce }
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now.at += Duration::from_secs(seconds);
        self.now.unix += seconds;
        self.server.poll_timeout(self.now.at - Duration::from_secs(2));
        self.server.handle_timeout(self.now, &mut self.relays);
    }

    /// Gives the server a datagram; what it sends.
    pub fn give(&mut self, client: Client, datagram: &[u8]) -> Vec<(Target, Vec<u8>)> {
        self.server.receive(self.now, client, datagram, &mut self.relays, &mut self.out);
        self.sent()
    }

    /// A datagram comes to a relayed address.
    pub fn arrive(&mut self, relayed: SocketAddr, peer: &str, payload: &[u8]) -> Vec<(Target, Vec<u8>)> {
        let relay = *self.relays.open.iter().find(|(_, at)| **at == relayed).unwrap().0;
        self.server.receive_from_peer(self.now, relay, peer.parse().unwrap(), payload, &mut self.out);
        self.sent()
    }

    fn sent(&mut self) -> Vec<(Target, Vec<u8>)> {
        let sent = self.out.entries.iter();
        let sent = sent.map(|entry| (entry.target, self.out.bytes(entry).to_vec())).collect();
        self.out.clear();
        sent
    }

    /// Asks, signed; the answer must be signed as well.
    pub fn ask(&mut self, end: &End, method: Method, attributes: &[&dyn AttributeWrite]) -> Answer {
        let request = signed(end, method, attributes);
        let sent = self.give(end.client, &request);
        let [(Target::Client(to), bytes)] = &sent[..] else { panic!("{} answers", sent.len()) };
        assert_eq!(*to, end.client);
        let message = Message::from_bytes(bytes).unwrap();
        assert_eq!(message.method(), method);
        let code = message.attribute::<ErrorCode>().map_or(0, |error| error.code());
        if message.attribute::<MessageIntegrity>().is_ok() {
            message.validate_integrity_with_key(&key(end, IntegrityAlgorithm::Sha1)).unwrap();
        } else {
            assert!(matches!(code, 400 | 401 | 438), "{code} is not signed");
        }
        Answer { code, bytes: bytes.clone() }
    }

    /// What an Allocate that nobody has signed is answered with.
    pub fn challenge(&mut self, end: &End) -> Vec<u8> {
        let mut request = Message::builder_request(ALLOCATE, MessageWriteVec::new());
        request.add_attribute(&RequestedTransport::new(17)).unwrap();
        self.give(end.client, &request.finish()).remove(0).1
    }

    pub fn allocate(&mut self, end: &End) -> Answer {
        self.ask(end, ALLOCATE, &[&RequestedTransport::new(17)])
    }

    pub fn permit(&mut self, end: &End, peer: &str) -> u16 {
        let request =
            |at| signed_with(end, CREATE_PERMISSION, |id| vec![Box::new(XorPeerAddress::new(at, id))]);
        self.code_of(end, &request(peer.parse().unwrap()))
    }

    pub fn bind(&mut self, end: &End, number: u16, peer: &str) -> u16 {
        let peer = peer.parse().unwrap();
        let request = signed_with(end, CHANNEL_BIND, |id| {
            vec![Box::new(ChannelNumber::new(number)), Box::new(XorPeerAddress::new(peer, id))]
        });
        self.code_of(end, &request)
    }

    pub fn code_of(&mut self, end: &End, request: &[u8]) -> u16 {
        let sent = self.give(end.client, request);
        let message = Message::from_bytes(&sent[0].1).unwrap();
        message.attribute::<ErrorCode>().map_or(0, |error| error.code())
    }

    /// Sends by an indication.
    pub fn send(&mut self, end: &End, peer: &str, payload: &[u8]) -> Vec<(Target, Vec<u8>)> {
        let mut message = Message::builder_indication(SEND, MessageWriteVec::new());
        let peer = XorPeerAddress::new(peer.parse().unwrap(), message.transaction_id());
        message.add_attribute(&peer).unwrap();
        message.add_attribute(&Data::new(payload)).unwrap();
        let message = message.finish();
        self.give(end.client, &message)
    }

    /// Sends through a channel.
    pub fn through(&mut self, end: &End, number: u16, payload: &[u8]) -> Vec<(Target, Vec<u8>)> {
        let datagram = [&wire::channel_header(number, payload), payload].concat();
        self.give(end.client, &datagram)
    }

    pub fn count(&self, name: &str) -> u64 {
        self.server.counters.read().iter().find(|(found, _)| *found == name).unwrap().1
    }
}

pub fn signed(end: &End, method: Method, attributes: &[&dyn AttributeWrite]) -> Vec<u8> {
    let mut message = Message::builder_request(method, MessageWriteVec::new());
    for attribute in attributes {
        message.add_attribute(*attribute).unwrap();
    }
    sign(message, end)
}

type Boxed = Vec<Box<dyn AttributeWrite>>;

/// As `signed`, with attributes that need the transaction.
pub fn signed_with(
    end: &End,
    method: Method,
    attributes: impl FnOnce(stun_proto::types::message::TransactionId) -> Boxed,
) -> Vec<u8> {
    let mut message = Message::builder_request(method, MessageWriteVec::new());
    for attribute in attributes(message.transaction_id()) {
        message.add_attribute(&*attribute).unwrap();
    }
    sign(message, end)
}

/// By the library: the server has signatures of its own.
pub fn key(end: &End, algorithm: IntegrityAlgorithm) -> IntegrityKey {
    let known = LongTermKeyCredentials::new(end.username.clone(), end.password.clone(), REALM.to_owned());
    known.make_key(algorithm)
}

fn sign(mut message: MessageWriteVec, end: &End) -> Vec<u8> {
    message.add_attribute(&Username::new(&end.username).unwrap()).unwrap();
    message.add_attribute(&Realm::new(REALM).unwrap()).unwrap();
    message.add_attribute(&Nonce::new(&end.nonce).unwrap()).unwrap();
    message
        .add_message_integrity_with_key(&key(end, IntegrityAlgorithm::Sha1), IntegrityAlgorithm::Sha1)
        .unwrap();
    message.add_fingerprint().unwrap();
    message.finish()
}
