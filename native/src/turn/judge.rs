//! Whom an allocation may send to, and hear.

use std::net::{IpAddr, SocketAddr};

use super::allocation::{Allocation, Way};
use super::outbox::{Client, Via};
use super::server::Server;
use crate::net::kind::{Kind, kind};

impl Server {
    /// How an allocation's datagrams reach a peer, if they may.
    pub fn judge(&self, allocation: &Allocation, peer: SocketAddr) -> Way {
        if peer.port() == 0 || kind(peer.ip()) == Kind::Never {
            return Way::Refused;
        }
        if let Some(&other) = self.addresses.get(&peer) {
            return match self.allocations.get(other) {
                Some(party) if is_other_party(allocation, party) => Way::Inside(other),
                _ => Way::Refused,
            };
        }
        if self.has_media && self.is_media(peer) {
            return Way::Socket;
        }
        let signaled =
            self.calls.get(allocation.call).is_some_and(|call| call.permits(allocation.party(), peer));
        if !self.is_door(peer) && (signaled || self.is_open(peer.ip())) { Way::Socket } else { Way::Refused }
    }

    /// Whether there may be a permission for this address, and whether for all its ports.
    pub fn judge_ip(&self, allocation: &Allocation, ip: IpAddr) -> Option<bool> {
        if self.is_open(ip) {
            return Some(true);
        }
        let relayed = |(address, key): (&SocketAddr, &usize)| {
            address.ip() == ip
                && self.allocations.get(*key).is_some_and(|other| is_other_party(allocation, other))
        };
        let exact = kind(ip) != Kind::Never
            && (self.addresses.iter().any(relayed)
                || (self.has_media && self.media_port(ip).is_some())
                || self
                    .calls
                    .get(allocation.call)
                    .is_some_and(|call| call.permits_any_of(allocation.party(), ip)));
        exact.then_some(false)
    }

    /// Addresses that anybody may send to: the world's, but not this machine's; and what the owner allows.
    fn is_open(&self, ip: IpAddr) -> bool {
        match kind(ip) {
            Kind::Never => false,
            Kind::Public if !self.own.contains(&ip) => true,
            _ => self.config.allow.iter().any(|subnet| subnet.contains(ip)),
        }
    }

    /// This server's own port: who could relay to it could relay in circles.
    pub fn is_door(&self, peer: SocketAddr) -> bool {
        let here = kind(peer.ip()) == Kind::Local || self.own.contains(&peer.ip());
        self.config.listening.iter().any(|at| *at == peer || (here && at.port() == peer.port()))
    }

    /// Where the hub's own media may be reached, which takes nothing but a known far end's.
    fn is_media(&self, peer: SocketAddr) -> bool {
        self.media_port(peer.ip()) == Some(peer.port())
    }

    fn media_port(&self, ip: IpAddr) -> Option<u16> {
        let every =
            |at: IpAddr| at.is_unspecified() && at.is_ipv4() == ip.is_ipv4() && self.own.contains(&ip);
        let mut listening = self.config.listening.iter();
        listening.find(|at| at.ip() == ip || every(at.ip())).map(SocketAddr::port)
    }

    /// Whether a client is a relay of this server: what comes from one is for the hub's media alone, else
    /// one could relay in circles.
    pub fn is_relay(&self, client: &Client) -> bool {
        matches!(client.via, Via::Udp(_)) && self.addresses.contains_key(&client.address)
    }

    /// This machine's addresses, and those that the world sees of it.
    pub fn set_own(&mut self, own: impl IntoIterator<Item = IpAddr>) {
        let own = own.into_iter().collect();
        if self.own != own {
            self.own = own;
            self.epoch += 1;
        }
    }

    /// The hub's own media is at this server's port, for every call to reach; or is not.
    pub fn set_media(&mut self, has_media: bool) {
        self.has_media = has_media;
        self.epoch += 1;
    }
}

/// Another allocation of the same call.
fn is_other_party(one: &Allocation, other: &Allocation) -> bool {
    one.call == other.call && one.client != other.client
}
