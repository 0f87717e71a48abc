//! What an address is for: the world's, a network's own, special, or another one in disguise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is known of an address without knowing who asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anybody's.
    Public,
    /// Some network's own: only what was signaled, or what the owner allows.
    Private,
    /// This machine itself, or its own link: only what the owner allows.
    Local,
    /// Nobody's, everybody's, or another address in disguise: never.
    Never,
}

impl Kind {
    /// Whether it is of use inside its own network alone.
    pub fn is_inner(self) -> bool {
        matches!(self, Self::Private | Self::Local)
    }
}

/// Addresses for documentation (RFC 5737, RFC 3849) count as public: they lead nowhere.
pub fn kind(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(ip) => kind4(ip),
        IpAddr::V6(ip) => kind6(ip),
    }
}

/// The IANA registry of special addresses (RFC 6890), as far as they are not global.
fn kind4(ip: Ipv4Addr) -> Kind {
    match ip.octets() {
        // This network; multicast, reserved, broadcast; the 6to4 relays (RFC 7526).
        [0 | 224..=255, ..] | [192, 88, 99, _] => Kind::Never,
        // Cloud machines' metadata are at 169.254.169.254.
        [127, ..] | [169, 254, ..] => Kind::Local,
        // Private (RFC 1918), a provider's (RFC 6598), protocols' (192.0.0.0/24), for measurements (RFC 2544).
        [10, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [100, 64..=127, ..]
        | [192, 0, 0, _]
        | [198, 18..=19, ..] => Kind::Private,
        _ => Kind::Public,
    }
}

fn kind6(ip: Ipv6Addr) -> Kind {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b) {
        _ if ip == Ipv6Addr::LOCALHOST => Kind::Local,
        // Unspecified, IPv4-mapped, -compatible and -translated (RFC 4291, RFC 2765): an IPv4 address has its own form.
        (0, 0) => Kind::Never,
        // NAT64's prefix for a network's own use (RFC 8215).
        (0x64, 0xff9b) if c == 1 => Kind::Private,
        // NAT64 (RFC 6052) reaches whatever the IPv4 address in it reaches.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => match kind4(embedded(g, h)) {
            Kind::Public => Kind::Public,
            _ => Kind::Never,
        },
        (0x64, 0xff9b) => Kind::Never,
        // Discard (RFC 6666), Teredo, ORCHIDs and other protocols' (2001::/23), 6to4: tunnels to who knows where.
        (0x100, 0) | (0x2001, 0..=0x1ff) | (0x2002, _) => Kind::Never,
        // Unique local; site-local, long gone, is still used.
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, _) => Kind::Private,
        (0xfe80..=0xfebf, _) => Kind::Local,
        (0xff00..=0xffff, _) => Kind::Never,
        // ISATAP (RFC 5214): an interface identifier that holds an IPv4 address.
        _ if (e & !0x300) == 0 && f == 0x5efe => match kind4(embedded(g, h)) {
            Kind::Public => Kind::Public,
            _ => Kind::Never,
        },
        _ => Kind::Public,
    }
}
