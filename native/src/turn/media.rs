//! An engine whose peers are at this server's port: the hub's own media. RFC 7983 tells the datagrams of
//! both apart by their first bytes, and what that leaves open is told by usernames and proven sources.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Weak};

use super::handle::{Command, Handle};
use crate::net::port::{Datagram, Port};

/// An engine's hold of a server's port, given back when it is dropped.
pub struct Share {
    handle: Arc<Handle>,
    outside: Outside,
}

/// How the world sees this server.
#[derive(Clone, Default)]
pub struct Outside {
    /// An address here (unspecified: any of its family), and the one that the world sees.
    pub addresses: Vec<(IpAddr, IpAddr)>,
    /// Of the listening sockets; 0: the same as here.
    pub port: u16,
}

impl Outside {
    /// What the world sees instead of an address here.
    pub fn of(&self, ip: IpAddr) -> Option<IpAddr> {
        let fits = |here: IpAddr, world: IpAddr| {
            here == ip || (here.is_unspecified() && world.is_ipv4() == ip.is_ipv4())
        };
        self.addresses.iter().find(|(here, world)| fits(*here, *world)).map(|(_, world)| *world)
    }
}

impl Share {
    /// Errors: another engine is there already, or the server has ended.
    pub fn new(handle: &Arc<Handle>, outside: Outside) -> io::Result<Self> {
        if !handle.is_running() {
            return Err(io::Error::new(ErrorKind::NotConnected, "the TURN server is not running"));
        }
        if handle.has_media.swap(true, SeqCst) {
            let words = "another engine is at the TURN server's port";
            return Err(io::Error::new(ErrorKind::AddrInUse, words));
        }
        Ok(Self { handle: Arc::clone(handle), outside })
    }

    /// From now on the server hands over what is not its own.
    pub fn begin(&self, port: &Arc<Port>) -> io::Result<()> {
        let told = self.handle.send(Command::Media(Arc::downgrade(port)));
        told.then_some(()).ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// What the world sees instead of an address here.
    pub fn published(&self, here: IpAddr, port: u16) -> Option<SocketAddr> {
        let ip = self.outside.of(here).filter(|_| !here.is_loopback())?;
        Some(SocketAddr::new(ip, if self.outside.port == 0 { port } else { self.outside.port }))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.handle.send(Command::Media(Weak::new()));
        self.handle.has_media.store(false, SeqCst);
    }
}

/// What the server's thread knows of the engine.
#[derive(Default)]
pub struct Media(Weak<Port>);

impl Media {
    pub fn new(port: Weak<Port>) -> Self {
        Self(port)
    }

    /// Where there is an engine: who takes what is its own.
    pub fn begin(&self) -> Option<Sorter> {
        let port = self.0.upgrade()?;
        Some(Sorter { port, found: BTreeMap::new() })
    }

    /// Nobody reads the port any more.
    pub fn end(&self) {
        if let Some(port) = self.0.upgrade() {
            port.close();
        }
    }
}

/// Takes the engine's datagrams, and hands them over together when it is dropped.
pub struct Sorter {
    port: Arc<Port>,
    found: BTreeMap<usize, Vec<Datagram>>,
}

impl Sorter {
    /// Whether a datagram was the engine's. What costs the server most, ChannelData and Send indications,
    /// is let by after a look at two bytes.
    pub fn take(&mut self, local: SocketAddr, source: SocketAddr, datagram: &[u8]) -> bool {
        if !may_be_media(datagram) {
            return false;
        }
        let Some((thread, peer)) = self.port.find_shared(local, source, datagram) else { return false };
        let datagram = Datagram { peer, local, source, bytes: datagram.to_vec() };
        self.found.entry(thread).or_default().push(datagram);
        true
    }
}

impl Drop for Sorter {
    fn drop(&mut self) {
        for (thread, datagrams) in std::mem::take(&mut self.found) {
            self.port.hand_over(thread, datagrams);
        }
    }
}

/// RFC 7983 section 7, with RFC 8656's channels up to where older clients go: STUN's Binding (request,
/// success, error), DTLS, RTP and RTCP may be a peer's; TURN's methods and ChannelData never are.
fn may_be_media(datagram: &[u8]) -> bool {
    matches!(datagram, [0x00 | 0x01, 0x01, ..] | [0x01, 0x11, ..] | [20..=63 | 128..=191, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_turns_alone_is_let_by() {
        for turn in [&[0x00, 0x03][..], &[0x00, 0x16], &[0x40, 0x00], &[0x7f, 0xff], &[0x00, 0x11], &[], &[0]]
        {
            assert!(!may_be_media(turn), "{turn:?}");
        }
        for media in [&[0x00, 0x01][..], &[0x01, 0x01], &[0x01, 0x11], &[22, 254], &[0x80, 96], &[0x90, 0xc8]]
        {
            assert!(may_be_media(media), "{media:?}");
        }
    }

    #[test]
    fn any_address_is_published_but_loopback() {
        let known = [("0.0.0.0", "203.0.113.7"), ("fd00::1", "2001:db8::7")];
        let known = known.map(|(here, world)| (here.parse().unwrap(), world.parse().unwrap()));
        let outside = Outside { addresses: known.to_vec(), port: 0 };
        let handle = Handle::new().unwrap();
        let share = Share::new(&handle, outside.clone()).unwrap();
        let found =
            |share: &Share, ip: &str| share.published(ip.parse().unwrap(), 9).map(|at| at.to_string());
        assert_eq!(found(&share, "192.168.1.5").as_deref(), Some("203.0.113.7:9"));
        assert_eq!(found(&share, "fd00::1").as_deref(), Some("[2001:db8::7]:9"));
        assert_eq!((found(&share, "127.0.0.1"), found(&share, "fd00::2")), (None, None));
        assert_eq!(Share::new(&handle, outside.clone()).err().unwrap().kind(), ErrorKind::AddrInUse);
        drop(share);
        let mapped = Share::new(&handle, Outside { port: 443, ..outside }).unwrap();
        assert_eq!(found(&mapped, "192.168.1.5").as_deref(), Some("203.0.113.7:443"));
    }
}
