//! Host candidates: the addresses of this machine that a peer may be reached at.

use std::net::IpAddr;

/// A peer binds a socket to each address; more than this on one machine adds checks, not reach.
const MOST: usize = 16;

/// The usable addresses of every interface that is up, IPv4 first, loopback last and only if asked.
pub fn host_addresses(loopback: bool) -> Vec<IpAddr> {
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let up = found.into_iter().filter(if_addrs::Interface::is_oper_up);
    select(up.map(|interface| interface.ip()), loopback)
}

fn select(found: impl Iterator<Item = IpAddr>, loopback: bool) -> Vec<IpAddr> {
    let mut usable: Vec<IpAddr> = found.filter(|ip| is_usable(ip, loopback)).collect();
    usable.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6(), *ip));
    usable.dedup();
    usable.truncate(MOST);
    usable
}

fn is_usable(ip: &IpAddr, loopback: bool) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        // A link-local IPv6 address needs a zone, which a candidate line cannot carry (RFC 8445 5.1.1.1).
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !link_local && !ip.is_unspecified() && !ip.is_multicast() && (loopback || !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(found: &[&str], loopback: bool) -> Vec<String> {
        let parsed = found.iter().map(|ip| ip.parse().unwrap());
        select(parsed, loopback).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn link_local_is_left_out() {
        assert_eq!(selected(&["fe80::1", "169.254.1.1", "192.168.1.5"], true), ["192.168.1.5"]);
    }

    #[test]
    fn loopback_comes_last_and_only_if_asked() {
        let found = ["::1", "127.0.0.1", "2001:db8::1", "10.0.0.1"];
        assert_eq!(selected(&found, false), ["10.0.0.1", "2001:db8::1"]);
        assert_eq!(selected(&found, true), ["10.0.0.1", "2001:db8::1", "127.0.0.1", "::1"]);
    }
}
