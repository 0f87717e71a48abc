//! What the core wants of whoever has the sockets.

use std::net::{IpAddr, SocketAddr};

/// A relayed address: its number, where it is bound, and where the world sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub relay: usize,
    pub local: SocketAddr,
    pub published: SocketAddr,
}

/// Which ports are wanted (RFC 8656 section 7.2, EVEN-PORT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    Any,
    Even,
    /// An even one and the next.
    Pair,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// This machine has no address of that family.
    Family,
    /// No port, or no socket, is left.
    Capacity,
}

pub trait Relays {
    /// Opens a relayed address for a client that reached `local`; the second is there for `Ports::Pair` only.
    fn open(
        &mut self,
        local: IpAddr,
        ipv6: bool,
        ports: Ports,
    ) -> Result<(Opened, Option<Opened>), Unavailable>;

    fn close(&mut self, relay: usize);
}
