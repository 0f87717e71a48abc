//! The messages that carry payload, read and written without an allocation (RFC 8656 sections 11 and 12).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// RFC 8489 section 5.
pub const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
pub const HEADER: usize = 20;
/// Of ChannelData.
pub const CHANNEL_HEADER: usize = 4;

const XOR_PEER_ADDRESS: u16 = 0x0012;
const DATA: u16 = 0x0013;
const DONT_FRAGMENT: u16 = 0x001a;
const DATA_INDICATION: u16 = 0x0017;

/// A whole STUN message, told by its header, and its type.
pub fn stun(message: &[u8]) -> Option<u16> {
    let header: &[u8; HEADER] = message.first_chunk()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let whole = header[4..8] == COOKIE && length % 4 == 0 && HEADER + length == message.len();
    (whole && header[0] < 0x40).then(|| u16::from_be_bytes([header[0], header[1]]))
}

/// ChannelData: its number and payload. What follows the payload is padding.
pub fn channel_data(message: &[u8]) -> Option<(u16, &[u8])> {
    let [a, b, c, d, rest @ ..] = message else { return None };
    let length = usize::from(u16::from_be_bytes([*c, *d]));
    Some((u16::from_be_bytes([*a, *b]), rest.get(..length)?))
}

pub fn channel_header(number: u16, payload: &[u8]) -> [u8; CHANNEL_HEADER] {
    let [a, b] = number.to_be_bytes();
    let [c, d] = (payload.len() as u16).to_be_bytes();
    [a, b, c, d]
}

/// Zeros up to the next multiple of four.
pub fn padding(length: usize) -> &'static [u8] {
    &[0; 3][..length.wrapping_neg() % 4]
}

/// A Send indication: for whom, and what. None where it is malformed or asks for what is unknown.
pub fn send_indication(message: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (mut peer, mut data) = (None, None);
    let mut rest = message.get(HEADER..)?;
    while let [a, b, c, d, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        let value = more.get(..length)?;
        match u16::from_be_bytes([*a, *b]) {
            XOR_PEER_ADDRESS if peer.is_none() => peer = Some(address(value, message)?),
            DATA if data.is_none() => data = Some(value),
            XOR_PEER_ADDRESS | DATA | DONT_FRAGMENT => {}
            // Comprehension is required (RFC 8489 section 14).
            0..0x8000 => return None,
            _ => {}
        }
        rest = more.get(length.next_multiple_of(4)..)?;
    }
    Some((peer?, data?))
}

fn address(value: &[u8], message: &[u8]) -> Option<SocketAddr> {
    let [_, family, a, b, ip @ ..] = value else { return None };
    let port = u16::from_be_bytes([a ^ COOKIE[0], b ^ COOKIE[1]]);
    // The cookie and the transaction follow one another in the header.
    let mask = &message[4..HEADER];
    let ip: IpAddr = match family {
        1 => unmask::<4>(ip, mask).map(Ipv4Addr::from)?.into(),
        2 => unmask::<16>(ip, mask).map(Ipv6Addr::from)?.into(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn unmask<const N: usize>(ip: &[u8], mask: &[u8]) -> Option<[u8; N]> {
    let mut ip: [u8; N] = ip.try_into().ok()?;
    ip.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    Some(ip)
}

/// All of a Data indication but its payload and padding.
pub struct DataHeader {
    bytes: [u8; HEADER + 4 + 20 + 4],
    length: usize,
}

impl DataHeader {
    /// `transaction` need only differ from one indication to the next.
    pub fn new(peer: SocketAddr, payload: &[u8], transaction: u64) -> Self {
        let mut header = Self { bytes: [0; _], length: 0 };
        let ip_length: u16 = if peer.is_ipv4() { 4 } else { 16 };
        let padded = payload.len().next_multiple_of(4) as u16;
        header.put(&DATA_INDICATION.to_be_bytes());
        header.put(&(4 + 4 + ip_length + 4 + padded).to_be_bytes());
        header.put(&COOKIE);
        header.put(&[0; 4]);
        header.put(&transaction.to_be_bytes());
        header.put(&XOR_PEER_ADDRESS.to_be_bytes());
        header.put(&(4 + ip_length).to_be_bytes());
        header.put(&[0, if peer.is_ipv4() { 1 } else { 2 }]);
        let [a, b] = peer.port().to_be_bytes();
        header.put(&[a ^ COOKIE[0], b ^ COOKIE[1]]);
        let mut mask = [0; 16];
        mask.copy_from_slice(&header.bytes[4..HEADER]);
        match peer.ip() {
            IpAddr::V4(ip) => header.put(&unmask::<4>(&ip.octets(), &mask).unwrap_or_default()),
            IpAddr::V6(ip) => header.put(&unmask::<16>(&ip.octets(), &mask).unwrap_or_default()),
        }
        header.put(&DATA.to_be_bytes());
        header.put(&(payload.len() as u16).to_be_bytes());
        header
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
