//! UDP sockets: non-blocking, batched both ways (recvmmsg and GRO in, GSO out) through quinn-udp.

pub mod addresses;
pub mod kind;
pub mod port;
pub mod routes;
pub mod stun;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use polling::{Event, PollMode, Poller};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use crate::engine::arrive::is_stun;
use crate::net::port::Place;

/// The largest UDP payload, and so the most that one coalesced read or segmented write carries.
pub const LARGEST: usize = 65_507;
/// What the kernel refused for now waits here; beyond it packets are lost, as on any network.
const MOST_WAITING: usize = 4 << 20;
/// Asked for; the kernel gives what net.core.rmem_max and wmem_max allow.
const KERNEL_BUFFER: usize = 4 << 20;
/// Reads of one socket before others get their turn.
const READS_A_TURN: usize = 8;

/// Buffers for one batched read, shared by all sockets of the engine.
pub struct ReadBuffers {
    storage: Vec<u8>,
    meta: [RecvMeta; BATCH_SIZE],
}

impl ReadBuffers {
    pub fn new() -> Self {
        Self { storage: vec![0; LARGEST * BATCH_SIZE], meta: [RecvMeta::default(); BATCH_SIZE] }
    }
}

/// A run of equally long datagrams for one destination (the last may be shorter).
struct Run {
    destination: SocketAddr,
    segment: usize,
    bytes: Vec<u8>,
}

/// The descriptor, and what the kernel under it can do.
pub struct Io {
    socket: UdpSocket,
    state: UdpSocketState,
    pub local: SocketAddr,
}

impl Io {
    /// Binds to a port of `ip`; 0 takes a free one.
    pub fn bind(ip: IpAddr, port: u16) -> io::Result<Self> {
        let raw = RawSocket::new(Domain::for_address((ip, 0).into()), Type::DGRAM, Some(Protocol::UDP))?;
        if ip.is_ipv6() {
            raw.set_only_v6(true)?;
        }
        // Refusals only mean smaller buffers.
        let _ = raw.set_recv_buffer_size(KERNEL_BUFFER);
        let _ = raw.set_send_buffer_size(KERNEL_BUFFER);
        raw.set_nonblocking(true)?;
        raw.bind(&SocketAddr::new(ip, port).into())?;
        let socket: UdpSocket = raw.into();
        let state = UdpSocketState::new((&socket).into())?;
        let local = socket.local_addr()?;
        Ok(Self { socket, state, local })
    }

    /// Registers with the poller under `key`, to be told when there is something to read.
    pub fn watch(&self, poller: &Poller, key: usize) -> io::Result<()> {
        add(poller, &self.socket, Event::readable(key))
    }

    /// Reads once, as many datagrams as there are buffers for. Returns whether there may be more.
    pub fn receive(&self, buffers: &mut ReadBuffers, mut each: impl FnMut(&RecvMeta, &[u8])) -> bool {
        let mut slices = buffers.storage.chunks_exact_mut(LARGEST);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(slices.next().unwrap_or_default()));
        // Errors are per datagram (or "nothing left"); the next wake-up tries again.
        let Ok(count) = self.state.recv((&self.socket).into(), &mut slices, &mut buffers.meta) else {
            return false;
        };
        for (slice, meta) in buffers.storage.chunks_exact(LARGEST).zip(&buffers.meta[..count]) {
            for datagram in slice[..meta.len].chunks(meta.stride.max(1)) {
                each(meta, datagram);
            }
        }
        count == BATCH_SIZE
    }

    /// Sends one datagram, or a run of them. Errors: the kernel's.
    pub fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.state.try_send((&self.socket).into(), transmit)
    }

    /// How many datagrams one run may have.
    pub fn most_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Lets routers, and this machine, fragment what is too long for a link: it is not ours to shorten.
    pub fn may_fragment(&self) {
        #[cfg(target_os = "linux")]
        if self.local.is_ipv4() {
            use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
            // Refused, long datagrams are lost.
            let _ = set_ip_mtu_discover(&self.socket, Ipv4PathMtuDiscovery::DONT);
        }
    }

    /// Takes the socket out of the poller; the descriptor closes when the last owner drops it.
    pub fn unwatch(&self, poller: &Poller) {
        let _ = poller.delete(&self.socket);
    }
}

fn add(poller: &Poller, socket: &UdpSocket, event: Event) -> io::Result<()> {
    // SAFETY: each owner deletes it from the poller before it is closed, or lives as long as the poller.
    #[allow(unsafe_code)]
    unsafe {
        poller.add_with_mode(socket, event, PollMode::Level)
    }
}

/// A handle for reading, so that the owner of the socket is free while it takes what was read.
pub struct Reader(Arc<Io>);

impl Reader {
    pub fn new(io: Arc<Io>) -> Self {
        Self(io)
    }

    /// Reads what has arrived and hands on each datagram with its source.
    pub fn read(&self, buffers: &mut ReadBuffers, mut each: impl FnMut(Instant, SocketAddr, &[u8])) {
        for _ in 0..READS_A_TURN {
            // One clock reading for a batch, taken when its first datagram is there.
            let mut now = None;
            let more = self.0.receive(buffers, |meta, datagram| {
                each(*now.get_or_insert_with(Instant::now), meta.addr, datagram);
            });
            if !more {
                return;
            }
        }
    }
}

/// One UDP socket, bound to one local address; or a peer's end of one that all peers of the engine share.
pub struct Socket {
    io: Arc<Io>,
    /// None where the socket is the peer's own.
    place: Option<Arc<Place>>,
    /// A shared socket's descriptor once more, while the poller watches for room on behalf of this peer.
    room: Option<UdpSocket>,
    pub local: SocketAddr,
    key: usize,
    waiting: VecDeque<Run>,
    waiting_bytes: usize,
    run: Option<Run>,
    /// The kernel refused the last write; the poller watches for room.
    blocked: bool,
    /// Its address is this machine's no more.
    pub gone: bool,
    /// Datagrams that were given up because the kernel took nothing for too long.
    pub lost: u64,
}

impl Socket {
    /// Binds to a free port of `ip` and registers with the poller under `key`.
    pub fn bind(ip: IpAddr, poller: &Poller, key: usize) -> io::Result<Self> {
        let io = Io::bind(ip, 0)?;
        io.watch(poller, key)?;
        let ip = io.local.ip();
        Ok(Self::new(Arc::new(io), ip, key, None))
    }

    /// A peer's end of a socket that is read elsewhere; `ip` is the address of this machine that it stands for.
    pub fn shared(io: Arc<Io>, ip: IpAddr, key: usize, place: Arc<Place>) -> Self {
        Self::new(io, ip, key, Some(place))
    }

    fn new(io: Arc<Io>, ip: IpAddr, key: usize, place: Option<Arc<Place>>) -> Self {
        let local = SocketAddr::new(ip, io.local.port());
        Self {
            io,
            place,
            room: None,
            local,
            key,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            run: None,
            blocked: false,
            gone: false,
            lost: 0,
        }
    }

    /// Takes the socket out of the poller; the descriptor closes when the value is dropped.
    pub fn close(&mut self, poller: &Poller) {
        if self.place.is_none() {
            self.io.unwatch(poller);
        }
        if let Some(room) = self.room.take() {
            let _ = poller.delete(room);
        }
    }

    pub fn reader(&self) -> Reader {
        Reader(Arc::clone(&self.io))
    }

    /// Adds a datagram to what the next `flush` sends.
    pub fn push(&mut self, destination: SocketAddr, datagram: &[u8]) {
        if let Some(place) = &self.place
            && is_stun(datagram)
        {
            place.note_sent(datagram);
        }
        let most = self.io.state.max_gso_segments();
        if let Some(run) = &mut self.run {
            let fits = run.destination == destination
                && datagram.len() <= run.segment
                && run.bytes.len().is_multiple_of(run.segment)
                && run.bytes.len() / run.segment < most
                && run.bytes.len() + datagram.len() <= LARGEST;
            if fits {
                run.bytes.extend_from_slice(datagram);
                return;
            }
        }
        self.end_run();
        let mut bytes = Vec::with_capacity(if datagram.len() > 1000 { LARGEST } else { datagram.len() });
        bytes.extend_from_slice(datagram);
        self.run = Some(Run { destination, segment: datagram.len(), bytes });
    }

    /// Sends what was pushed, and what the kernel refused before. Asks to be told of writability
    /// where it refuses again.
    pub fn flush(&mut self, poller: &Poller) {
        self.end_run();
        let mut blocked = false;
        // A socket that is bound to every address sends from the one that this end stands for.
        let src_ip = self.io.local.ip().is_unspecified().then_some(self.local.ip());
        while let Some(run) = self.waiting.front() {
            let transmit = Transmit {
                destination: run.destination,
                ecn: None,
                contents: &run.bytes,
                segment_size: Some(run.segment),
                src_ip,
            };
            match self.io.state.try_send((&self.io.socket).into(), &transmit) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    blocked = true;
                    break;
                }
                // Unreachable, refused by a firewall, too long: those datagrams are lost, no more.
                _ => {
                    let sent = self.waiting.pop_front();
                    self.waiting_bytes -= sent.map_or(0, |run| run.bytes.len());
                }
            }
        }
        if blocked != self.blocked {
            self.blocked = blocked;
            self.watch_for_room(poller);
        }
    }

    fn watch_for_room(&mut self, poller: &Poller) {
        if self.place.is_none() {
            let interest = if self.blocked { Event::all(self.key) } else { Event::readable(self.key) };
            let _ = poller.modify_with_mode(&self.io.socket, interest, PollMode::Level);
        } else if let Some(room) = self.room.take() {
            let _ = poller.delete(room);
        } else if let Ok(room) = self.io.socket.try_clone() {
            // A poller knows a descriptor once, and others of its peers write here as well.
            let _ = add(poller, &room, Event::writable(self.key));
            self.room = Some(room);
        }
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        if self.waiting_bytes + run.bytes.len() > MOST_WAITING {
            self.lost += (run.bytes.len() / run.segment) as u64;
            return;
        }
        self.waiting_bytes += run.bytes.len();
        self.waiting.push_back(run);
    }
}
