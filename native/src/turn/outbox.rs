//! What is to be sent: bytes one after the other in one buffer that is kept.

use std::net::{IpAddr, SocketAddr};

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// The number of the listening UDP socket.
    Udp(u16),
    /// The number of the connection.
    Stream(u32),
}

/// A client's end: the 5-tuple of RFC 8656 section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    pub via: Via,
    /// The client's address, and the one of this machine that it reached.
    pub address: SocketAddr,
    pub local: IpAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Client(Client),
    /// From a relayed address to a peer.
    Peer {
        relay: usize,
        peer: SocketAddr,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub target: Target,
    pub start: usize,
    pub length: usize,
}

#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    pub entries: Vec<Entry>,
}

impl Outbox {
    /// Adds one message, given in parts.
    pub fn push(&mut self, target: Target, parts: &[&[u8]]) {
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.entries.push(Entry { target, start, length: self.bytes.len() - start });
    }

    pub fn bytes(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.start..entry.start + entry.length]
    }

    /// All bytes of some entries that follow one another.
    pub fn range(&self, entries: &[Entry]) -> &[u8] {
        match entries {
            [] => &[],
            [first, .., last] => &self.bytes[first.start..last.start + last.length],
            [one] => self.bytes(one),
        }
    }

    /// The bytes that wait.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}
