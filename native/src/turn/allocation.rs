//! One allocation: its relayed addresses, permissions and channels (RFC 8656 section 5).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_proto::types::message::TransactionId;

use super::credentials::Bearer;
use super::outbox::Client;
use super::relays::Opened;

/// RFC 8656 sections 9 and 12.
pub const PERMISSION_LASTS: Duration = Duration::from_secs(300);
pub const CHANNEL_LASTS: Duration = Duration::from_secs(600);
/// Peers' addresses that one allocation may have permissions for, and channels.
const MOST_PEERS: usize = 256;

pub struct Permission {
    pub until: Instant,
    /// Whether every port of the address is allowed; otherwise each is judged.
    pub any_port: bool,
}

/// How datagrams for a peer go, as judged when `epoch` was the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the relay's socket.
    Socket,
    /// To another allocation's relay here.
    Inside(usize),
    Refused,
}

pub struct Channel {
    pub peer: SocketAddr,
    pub until: Instant,
    pub way: Way,
    pub epoch: u64,
}

pub struct Allocation {
    pub client: Client,
    pub username: Box<str>,
    /// Numbers in the server's tables.
    pub user: usize,
    pub call: usize,
    pub until: Instant,
    /// Of the Allocate request, to know it again.
    pub transaction: TransactionId,
    pub lifetime: u32,
    pub token: Option<u64>,
    /// One of either address family, at least one.
    pub relays: Vec<Opened>,
    permissions: HashMap<IpAddr, Permission>,
    channels: HashMap<u16, Channel>,
    numbers: HashMap<SocketAddr, u16>,
}

/// What an allocation is made of.
pub struct Start {
    pub client: Client,
    pub username: Box<str>,
    pub user: usize,
    pub call: usize,
    pub transaction: TransactionId,
    pub relays: Vec<Opened>,
    pub token: Option<u64>,
}

impl Allocation {
    pub fn new(start: Start, lifetime: u32, now: Instant) -> Self {
        let Start { client, username, user, call, transaction, relays, token } = start;
        Self {
            client,
            username,
            user,
            call,
            until: now + Duration::from_secs(lifetime.into()),
            transaction,
            lifetime,
            token,
            relays,
            permissions: HashMap::new(),
            channels: HashMap::new(),
            numbers: HashMap::new(),
        }
    }

    /// The user's part of the username.
    pub fn party(&self) -> &str {
        Bearer::parse(&self.username).map_or("", |bearer| bearer.user)
    }

    /// The relay that reaches addresses like this one.
    pub fn relay_for(&self, ip: IpAddr) -> Option<&Opened> {
        self.relays.iter().find(|relay| relay.local.is_ipv4() == ip.is_ipv4())
    }

    /// Installs or refreshes a permission; false where there are too many.
    pub fn permit(&mut self, ip: IpAddr, any_port: bool, now: Instant) -> bool {
        if self.permissions.len() >= MOST_PEERS && !self.permissions.contains_key(&ip) {
            return false;
        }
        self.permissions.insert(ip, Permission { until: now + PERMISSION_LASTS, any_port });
        true
    }

    pub fn permission(&self, ip: IpAddr, now: Instant) -> Option<&Permission> {
        self.permissions.get(&ip).filter(|permission| permission.until > now)
    }

    /// Binds a channel or refreshes it. Errors: number or peer is bound otherwise, or there are too many.
    pub fn bind(&mut self, number: u16, peer: SocketAddr, now: Instant) -> Result<(), BindError> {
        self.expire(now);
        let of_peer = self.numbers.get(&peer).copied();
        let of_number = self.channels.get(&number).map(|channel| channel.peer);
        if of_peer.is_some_and(|other| other != number) || of_number.is_some_and(|other| other != peer) {
            return Err(BindError::Taken);
        }
        if of_peer.is_none() && self.channels.len() >= MOST_PEERS {
            return Err(BindError::TooMany);
        }
        self.numbers.insert(peer, number);
        let until = now + CHANNEL_LASTS;
        // Judged at the first datagram.
        self.channels.insert(number, Channel { peer, until, way: Way::Refused, epoch: 0 });
        Ok(())
    }

    pub fn channel(&self, number: u16, now: Instant) -> Option<&Channel> {
        self.channels.get(&number).filter(|channel| channel.until > now)
    }

    /// The channel of a peer, if it has one.
    pub fn number(&self, peer: SocketAddr, now: Instant) -> Option<(u16, &Channel)> {
        let number = *self.numbers.get(&peer)?;
        Some((number, self.channel(number, now)?))
    }

    /// Notes how a channel's datagrams go.
    pub fn note(&mut self, number: u16, way: Way, epoch: u64) {
        if let Some(channel) = self.channels.get_mut(&number) {
            (channel.way, channel.epoch) = (way, epoch);
        }
    }

    /// Forgets what is over.
    pub fn expire(&mut self, now: Instant) {
        self.permissions.retain(|_, permission| permission.until > now);
        let numbers = &mut self.numbers;
        self.channels.retain(|_, channel| {
            let kept = channel.until > now;
            if !kept {
                numbers.remove(&channel.peer);
            }
            kept
        });
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum BindError {
    Taken,
    TooMany,
}
