//! One UDP port for all peers of an engine: a socket for each of the machine's addresses, read by the
//! engine's first thread; or the sockets of a TURN server, whose thread reads them. Every thread writes to them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use crate::engine::Handle;
use crate::engine::command::Command;
use crate::net::routes::Routes;
use crate::net::{Io, Reader, Socket};
use crate::peer::gather::host_addresses;
use crate::turn;

/// The poller's keys of the sockets, in the first thread; key 0 is the address watch's, peers begin at `KEYS`.
pub const FIRST_KEY: usize = 1;
/// Datagrams on their way to other threads; more are lost, as in a full kernel buffer.
const MOST_ON_THE_WAY: usize = 16 << 20;

/// A datagram for a peer of another thread than the one that reads.
pub struct Datagram {
    pub peer: u64,
    pub local: SocketAddr,
    pub source: SocketAddr,
    pub bytes: Vec<u8>,
}

#[derive(Default)]
struct State {
    /// By the poller's key; None where an address is gone.
    sockets: Vec<Option<Arc<Io>>>,
    routes: Routes,
}

pub struct Port {
    number: u16,
    /// Whose the sockets are, where they are not its own, until the port is given back.
    shared: Mutex<Option<turn::Share>>,
    state: Mutex<State>,
    threads: OnceLock<Vec<Weak<Handle>>>,
    on_the_way: AtomicUsize,
    /// Datagrams that were nobody's.
    pub discarded: AtomicU64,
}

impl Port {
    /// Binds the port on every address of this machine. Errors: it is in use on one of them, or not allowed.
    pub fn open(number: u16) -> io::Result<Arc<Self>> {
        let port = Self::new(number, None);
        for ip in host_addresses(true) {
            match Io::bind(ip, number) {
                Ok(io) => port.state().sockets.push(Some(Arc::new(io))),
                // An address that is just going, or not usable yet.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {}
                Err(error) => {
                    let words = format!("UDP port {number} of {ip}: {error}");
                    return Err(io::Error::new(error.kind(), words));
                }
            }
        }
        Ok(Arc::new(port))
    }

    /// The port of a TURN server, which hands over what is not its own.
    pub fn of_turn(number: u16, sockets: Vec<Arc<Io>>, share: turn::Share) -> Arc<Self> {
        let port = Self::new(number, Some(share));
        port.state().sockets.extend(sockets.into_iter().map(Some));
        Arc::new(port)
    }

    fn new(number: u16, share: Option<turn::Share>) -> Self {
        Self {
            number,
            shared: Mutex::new(share),
            state: Mutex::default(),
            threads: OnceLock::new(),
            on_the_way: AtomicUsize::new(0),
            discarded: AtomicU64::new(0),
        }
    }

    /// The threads whose peers are here. The first reads; of shared sockets the TURN server's.
    pub fn attach(self: &Arc<Self>, threads: &[Arc<Handle>]) -> io::Result<()> {
        let _ = self.threads.set(threads.iter().map(Arc::downgrade).collect());
        if let Some(share) = &*self.share() {
            return share.begin(self);
        }
        for (index, io) in self.state().sockets.iter().enumerate() {
            if let Some(io) = io {
                io.watch(&threads[0].poller, FIRST_KEY + index)?;
            }
        }
        Ok(())
    }

    fn share(&self) -> MutexGuard<'_, Option<turn::Share>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address and port that the world sees instead of one of this machine's.
    pub fn published(&self, ip: IpAddr) -> Option<SocketAddr> {
        self.share().as_ref()?.published(ip, self.number)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn thread(&self, index: usize) -> Option<Arc<Handle>> {
        self.threads.get()?.get(index)?.upgrade()
    }

    /// Follows this machine's addresses. Called by every peer that looks at them, the first does it.
    fn refresh(&self, hosts: &[IpAddr]) {
        if self.share().is_some() {
            return;
        }
        let Some(reader) = self.thread(0) else { return };
        let mut state = self.state();
        for place in &mut state.sockets {
            if let Some(gone) = place.take_if(|io| !hosts.contains(&io.local.ip())) {
                gone.unwatch(&reader.poller);
            }
        }
        for &ip in hosts {
            if state.sockets.iter().flatten().any(|io| io.local.ip() == ip) {
                continue;
            }
            let free = state.sockets.iter().position(Option::is_none);
            let place = free.unwrap_or(state.sockets.len());
            let bound = Io::bind(ip, self.number).and_then(|io| {
                io.watch(&reader.poller, FIRST_KEY + place)?;
                Ok(Arc::new(io))
            });
            match bound {
                Ok(io) if free.is_some() => state.sockets[place] = Some(io),
                Ok(io) => state.sockets.push(Some(io)),
                Err(error) => tracing::debug!(%ip, port = self.number, %error, "not bound"),
            }
        }
    }

    /// What the poller's key stands for.
    pub fn reader(&self, key: usize) -> Option<(Reader, SocketAddr)> {
        let state = self.state();
        let io = state.sockets.get(key - FIRST_KEY)?.as_ref()?;
        Some((Reader::new(Arc::clone(io)), io.local))
    }

    /// Whose a datagram is: (thread, peer); None is counted.
    pub fn find(&self, local: SocketAddr, source: SocketAddr, datagram: &[u8]) -> Option<(usize, u64)> {
        let found = self.state().routes.find((local, source), datagram, Instant::now());
        if found.is_none() {
            self.discarded.fetch_add(1, Relaxed);
        }
        found
    }

    /// Whose a datagram is that came to a shared socket; None: the TURN server's, or nobody's.
    pub fn find_shared(
        &self,
        local: SocketAddr,
        source: SocketAddr,
        datagram: &[u8],
    ) -> Option<(usize, u64)> {
        self.state().routes.find((local, source), datagram, Instant::now())
    }

    /// Gives datagrams to another thread.
    pub fn hand_over(&self, thread: usize, datagrams: Vec<Datagram>) {
        let size: usize = datagrams.iter().map(|datagram| datagram.bytes.len()).sum();
        if self.on_the_way.load(Relaxed) + size > MOST_ON_THE_WAY {
            return;
        }
        self.on_the_way.fetch_add(size, Relaxed);
        if !self.thread(thread).is_some_and(|thread| thread.send(Command::Datagrams(datagrams))) {
            self.on_the_way.fetch_sub(size, Relaxed);
        }
    }

    pub fn arrived(&self, datagram: &Datagram) {
        self.on_the_way.fetch_sub(datagram.bytes.len(), Relaxed);
    }

    /// Gives the port back; nobody reads it any more.
    pub fn close(&self) {
        drop(self.share().take());
        self.state().sockets.clear();
    }

    /// A peer's place on the port.
    pub fn enter(self: &Arc<Self>, peer: u64, thread: usize) -> Arc<Place> {
        self.state().routes.enter(peer, thread);
        Arc::new(Place { port: Arc::clone(self), peer })
    }
}

/// A peer's place on a port; given up when it is dropped.
pub struct Place {
    port: Arc<Port>,
    peer: u64,
}

impl Place {
    pub fn refresh(&self) {
        self.port.refresh(&host_addresses(true));
    }

    /// The far end will use this ICE username fragment.
    pub fn name(&self, fragment: &str) {
        self.port.state().routes.name(self.peer, fragment);
    }

    /// The peer sends this datagram.
    pub fn note_sent(&self, datagram: &[u8]) {
        self.port.state().routes.note_sent(self.peer, datagram);
    }

    /// A STUN message of the far end came from there.
    pub fn claim(&self, local: SocketAddr, source: SocketAddr, now: Instant) {
        self.port.state().routes.claim(self.peer, (local, source), now);
    }

    /// The port's socket for an address of this machine.
    pub fn socket(self: &Arc<Self>, ip: IpAddr, key: usize) -> io::Result<Socket> {
        let state = self.port.state();
        let covers = |at: IpAddr| at == ip || (at.is_unspecified() && at.is_ipv4() == ip.is_ipv4());
        let io = state.sockets.iter().flatten().find(|io| covers(io.local.ip()));
        let io = io.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Socket::shared(Arc::clone(io), ip, key, Arc::clone(self)))
    }

    /// See [`Port::published`].
    pub fn published(&self, ip: IpAddr) -> Option<SocketAddr> {
        self.port.published(ip)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.port.state().routes.leave(self.peer);
    }
}
