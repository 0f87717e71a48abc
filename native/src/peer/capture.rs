//! A connection's packets as they are under the encryption, in a file that Wireshark and tcpdump read.
//!
//! pcapng with raw IP (LINKTYPE_RAW): RTP and RTCP in UDP, and SCTP, which travels in DTLS and UDP, as IP's own
//! protocol 132, so that its direction and its ends can be seen as well. The addresses are those of the pair.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};
use str0m::rtp::{Plain, RawPacket};

use crate::peer::Peer;

/// IP protocol numbers.
const UDP: u8 = 17;
const SCTP: u8 = 132;
const UDP_HEADER: usize = 8;
const HOP_LIMIT: u8 = 64;
/// A capture that was forgotten must not fill the disk.
const MOST_BYTES: u64 = 1 << 30;

/// A file under way.
pub struct Capture {
    path: PathBuf,
    writer: Box<PcapNgWriter<BufWriter<Counted>>>,
}

/// A file that takes no more than so much.
struct Counted {
    file: std::fs::File,
    left: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len() as u64;
        self.left = self
            .left
            .checked_sub(length)
            .ok_or_else(|| io::Error::other(format!("it has {MOST_BYTES} bytes, which is the most")))?;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn plainly(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        error => io::Error::other(error.to_string()),
    }
}

impl Capture {
    /// Begins a new file that only its owner can read. What is there already is not overwritten.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let file = BufWriter::new(Counted { file, left: MOST_BYTES });
        let mut writer = PcapNgWriter::new(file).map_err(plainly)?;
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::RAW,
            snaplen: 0,
            options: vec![InterfaceDescriptionOption::IfTsResol(9)],
        };
        writer.write_pcapng_block(interface).map_err(plainly)?;
        Ok(Self { path: path.to_owned(), writer: Box::new(writer) })
    }

    /// Adds a packet between our address and the far end's.
    pub fn add(&mut self, packet: &Plain, local: SocketAddr, remote: SocketAddr) -> io::Result<()> {
        let (source, destination) = if packet.sent { (local, remote) } else { (remote, local) };
        let bytes = if packet.is_sctp {
            ip(SCTP, source.ip(), destination.ip(), &packet.bytes)
        } else {
            ip(UDP, source.ip(), destination.ip(), &udp(source, destination, &packet.bytes))
        };
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            original_len: bytes.len() as u32,
            data: bytes.into(),
            options: Vec::new(),
        };
        self.writer.write_pcapng_block(block).map_err(plainly)?;
        Ok(())
    }

    /// Hands what has been written to the system.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.get_mut().flush()
    }
}

impl Peer {
    /// Adds a packet to the capture, if there is one. It ends where it cannot be written.
    pub fn capture(&mut self, packet: &RawPacket) {
        let (RawPacket::Plain(packet), Some((local, remote))) = (packet, self.selected) else { return };
        self.with_capture(|capture| capture.add(packet, local, remote));
    }

    /// To be called at the end of each turn.
    pub fn flush_capture(&mut self) {
        self.with_capture(Capture::flush);
    }

    fn with_capture(&mut self, action: impl FnOnce(&mut Capture) -> io::Result<()>) {
        let Some(capture) = &mut self.config.capture else { return };
        if let Err(error) = action(capture) {
            tracing::error!(peer = self.shared.id, %error, path = %capture.path.display(), "the capture ends");
            self.config.capture = None;
        }
    }
}

/// The Internet checksum (RFC 1071) over 16-bit words; a missing last byte counts as 0.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 =
        words.map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// A UDP datagram (RFC 768) with its checksum.
fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = ((UDP_HEADER + payload.len()) as u16).to_be_bytes();
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    let pseudo = [octets(source.ip()), octets(destination.ip()), vec![0, UDP, length[0], length[1]]].concat();
    let sum = match checksum(&[&pseudo, &ports, &length, payload]) {
        0 => 0xffff, // 0 would mean: none
        sum => sum,
    };
    [&ports[..], &length, &sum.to_be_bytes(), payload].concat()
}

/// An IP packet (RFC 791, RFC 8200).
fn ip(protocol: u8, source: IpAddr, destination: IpAddr, payload: &[u8]) -> Vec<u8> {
    let addresses = [octets(source), octets(destination)].concat();
    let mut packet = if source.is_ipv4() {
        let length = ((20 + payload.len()) as u16).to_be_bytes();
        let head = [0x45, 0, length[0], length[1], 0, 0, 0x40, 0, HOP_LIMIT, protocol];
        let sum = checksum(&[&head, &addresses]).to_be_bytes();
        [&head[..], &sum, &addresses].concat()
    } else {
        let length = (payload.len() as u16).to_be_bytes();
        [&[0x60, 0, 0, 0, length[0], length[1], protocol, HOP_LIMIT][..], &addresses].concat()
    };
    packet.extend_from_slice(payload);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_add_up() {
        let (a, b) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:2000".parse().unwrap());
        let datagram = udp(a, b, b"odd");
        let packet = ip(UDP, a.ip(), b.ip(), &datagram);
        assert_eq!(packet.len(), 20 + 8 + 3);
        // A sum over a header with its own checksum is 0.
        assert_eq!(checksum(&[&packet[..20]]), 0);
        let pseudo = [&packet[12..20], &[0, UDP, 0, 11]].concat();
        assert_eq!(checksum(&[&pseudo, &datagram]), 0);
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let path = std::env::temp_dir().join(format!("plait-capture-{}", std::process::id()));
        drop(Capture::create(&path).unwrap());
        assert_eq!(Capture::create(&path).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        std::fs::remove_file(path).unwrap();
    }
}
