//! The classes that Python sees. Each call only puts a command into the engine's queue or reads counters.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use pyo3::exceptions::{PyBufferError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use rustls::pki_types::ServerName;
use str0m::channel::{ChannelConfig, Reliability};
use str0m::config::DtlsCert;
use str0m::media::{Direction, MediaKind};

use crate::arrive::RESUME_BELOW;
use crate::capture::Capture;
use crate::channel::{Gauge, MOST_BUFFERED};
use crate::command::{Command, MediaChange, MediaRequest, PeerConfig, Request, Wishes};
use crate::convert;
use crate::engine::Handle;
use crate::forward;
use crate::forward::face::Forwarder;
use crate::log;
use crate::mailbox::Mailbox;
use crate::peer::PeerShared;
use crate::reach::{Access, Server, Transport, tls};
use crate::sdp::{Parsed, read_candidate};
use crate::threads::Threads;

/// A description longer than this is not read.
const MOST_SDP: usize = 256 << 10;
/// Bytes of frames that may wait for the engine, of one peer.
const MOST_FRAMES: usize = 16 << 20;
/// Payload handed to Python in one `drain`.
const DRAIN_BYTES: usize = 1 << 20;

/// Makes a self-signed certificate: (certificate, private key), both DER.
#[pyfunction]
pub fn generate_certificate(py: Python<'_>) -> PyResult<(Bound<'_, PyBytes>, Bound<'_, PyBytes>)> {
    let made = py.detach(|| str0m::crypto::from_feature_flags().dtls_provider.generate_certificate());
    let made = made.ok_or_else(|| PyRuntimeError::new_err("cannot make a certificate"))?;
    Ok((PyBytes::new(py, &made.certificate), PyBytes::new(py, &made.private_key)))
}

/// Hands on what the native side has to say from one of Python's logging levels on, 255: nothing.
#[pyfunction]
pub fn set_log_level(level: u8) {
    log::set_level(level);
}

/// An engine: native threads that drive peers.
#[pyclass(frozen, module = "plait._native")]
pub struct Engine(Arc<Threads>);

#[pymethods]
impl Engine {
    #[new]
    fn new(threads: usize, udp_port: Option<u16>) -> PyResult<Self> {
        Ok(Self(Arc::new(Threads::start(threads, udp_port)?)))
    }

    /// How many peers each thread has.
    #[getter]
    fn load(&self) -> Vec<usize> {
        self.0.load()
    }

    /// Datagrams at the shared port that were nobody's.
    #[getter]
    fn discarded(&self) -> u64 {
        self.0.port.as_ref().map_or(0, |port| port.discarded.load(Relaxed))
    }

    /// False after `stop`, and in a forked child.
    #[getter]
    fn running(&self) -> bool {
        self.0.is_running()
    }

    /// A queue of events for one event loop.
    fn mailbox(&self) -> PyResult<PyMailbox> {
        let mailbox =
            Mailbox::new(Threads::next_id()).map_err(|error| PyOSError::new_err(error.to_string()))?;
        let mailbox = Arc::new(mailbox);
        log::read_by(&mailbox);
        Ok(PyMailbox { mailbox, threads: Arc::clone(&self.0) })
    }

    /// A new peer, whose events go to `mailbox`. Certificate and key: DER. `servers`: how many times
    /// `server` will be called. `packets`: its media is forwarded, and not taken apart.
    /// `capture`: a file that its decrypted packets go to.
    /// `beside`: a peer whose thread is to drive it too.
    #[allow(clippy::too_many_arguments)] // W3C's RTCConfiguration
    fn peer(
        &self,
        mailbox: &PyMailbox,
        certificate: Vec<u8>,
        private_key: Vec<u8>,
        loopback: bool,
        relay_only: bool,
        servers: usize,
        packets: bool,
        initial_bitrate: Option<u64>,
        capture: Option<PathBuf>,
        beside: Option<&Peer>,
    ) -> PyResult<Peer> {
        let capture = capture.map(|path| Capture::create(&path)).transpose()?;
        let id = Threads::next_id();
        let thread = beside.map_or_else(|| self.0.idlest(), |peer| peer.shared.thread);
        let shared = Arc::new(PeerShared::new(id, thread));
        let certificate = DtlsCert { certificate, private_key };
        let place = self.0.port.as_ref().map(|port| port.enter(id, thread));
        let config = PeerConfig {
            certificate,
            loopback,
            relay_only,
            packets,
            servers,
            initial_bitrate,
            capture,
            place,
        };
        let peer = Peer { shared: Arc::clone(&shared), handle: Arc::clone(self.0.get(thread)) };
        peer.handle.peers.fetch_add(1, SeqCst);
        let mailbox = Arc::clone(&mailbox.mailbox);
        peer.queue(Command::Open { peer: shared, mailbox, config })?;
        Ok(peer)
    }

    /// A new forwarder, whose events go to `mailbox`, in the thread of peer `beside`.
    fn forwarder(&self, mailbox: &PyMailbox, beside: Option<&Peer>) -> PyResult<Forwarder> {
        let thread = beside.map_or(0, |peer| peer.shared.thread);
        let handle = self.0.get(thread);
        let id = Threads::next_id();
        let shared = Arc::new(PeerShared::new(id, thread));
        let order = forward::Order::Open { shared, mailbox: Arc::clone(&mailbox.mailbox) };
        if handle.send(Command::Forward { id, order }) {
            return Ok(Forwarder::new(id, Arc::clone(handle)));
        }
        Err(PyRuntimeError::new_err("the engine is not running in this process"))
    }

    /// Closes all peers, with their goodbyes, and ends the threads.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.stop());
    }
}

/// Events for one event loop.
#[pyclass(frozen, name = "Mailbox", module = "plait._native")]
pub struct PyMailbox {
    mailbox: Arc<Mailbox>,
    threads: Arc<Threads>,
}

#[pymethods]
impl PyMailbox {
    /// Readable when `drain` has something.
    fn fileno(&self) -> i32 {
        self.mailbox.descriptor()
    }

    /// At most `limit` events, as (peer id, kind, arguments), and as many records for loggers, whose peer id is 0.
    fn drain<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for (peer, event) in self.mailbox.take(limit, DRAIN_BYTES) {
            list.append(convert::letter(py, self.threads.get(peer.thread), &peer, event)?)?;
        }
        let (records, dropped) = log::take(&self.mailbox, limit);
        for record in records {
            list.append(convert::record(py, record)?)?;
        }
        if dropped > 0 {
            list.append(convert::dropped(py, dropped)?)?;
        }
        Ok(list)
    }
}

impl Drop for PyMailbox {
    fn drop(&mut self) {
        self.threads.close_mailbox(self.mailbox.id);
    }
}

/// One peer connection.
#[pyclass(frozen, module = "plait._native")]
pub struct Peer {
    shared: Arc<PeerShared>,
    handle: Arc<Handle>,
}

impl Peer {
    fn queue(&self, command: Command) -> PyResult<()> {
        if self.handle.send(command) {
            return Ok(());
        }
        Err(PyRuntimeError::new_err("the engine is not running in this process"))
    }

    fn ask(&self, request: Request) -> PyResult<()> {
        self.queue(Command::Peer { id: self.shared.id, request })
    }
}

fn direction(name: &str) -> PyResult<Direction> {
    match name {
        "sendrecv" => Ok(Direction::SendRecv),
        "sendonly" => Ok(Direction::SendOnly),
        "recvonly" => Ok(Direction::RecvOnly),
        "inactive" => Ok(Direction::Inactive),
        _ => Err(PyValueError::new_err(format!("not a direction: {name}"))),
    }
}

fn kind(name: &str) -> PyResult<MediaKind> {
    match name {
        "audio" => Ok(MediaKind::Audio),
        "video" => Ok(MediaKind::Video),
        _ => Err(PyValueError::new_err(format!("not a kind of media: {name}"))),
    }
}

fn checked(sdp: String) -> PyResult<String> {
    if sdp.len() > MOST_SDP {
        return Err(PyValueError::new_err("the description is too long"));
    }
    Ok(sdp)
}

fn upper(codecs: Vec<String>) -> Vec<String> {
    codecs.iter().map(|name| name.to_ascii_uppercase()).collect()
}

#[pymethods]
impl Peer {
    #[getter]
    fn id(&self) -> u64 {
        self.shared.id
    }

    /// The longest message that the far end takes, in bytes; 0 until it has said.
    #[getter]
    fn max_message_size(&self) -> usize {
        self.shared.max_message_size.load(SeqCst)
    }

    /// Asks for an offer with the new (kind, direction) lines given, the (mid, direction) changes, where
    /// no direction means stopped, and every channel made so far.
    fn offer(
        &self,
        request: u64,
        media: Vec<(String, String)>,
        changes: Vec<(String, Option<String>)>,
        ice_restart: bool,
        codecs: Vec<String>,
    ) -> PyResult<()> {
        let media: PyResult<Vec<MediaRequest>> = media
            .iter()
            .map(|(k, d)| Ok(MediaRequest { kind: kind(k)?, direction: direction(d)? }))
            .collect();
        let changes: PyResult<Vec<MediaChange>> = changes
            .into_iter()
            .map(|(mid, to)| Ok(MediaChange { mid, to: to.as_deref().map(direction).transpose()? }))
            .collect();
        let wishes = Wishes { media: media?, changes: changes?, ice_restart };
        self.ask(Request::Offer { request, wishes, codecs: upper(codecs) })
    }

    /// Withdraws an offer that is not answered yet.
    fn rollback(&self) -> PyResult<()> {
        self.ask(Request::Rollback)
    }

    fn accept(&self, request: u64, sdp: String, codecs: Vec<String>) -> PyResult<()> {
        self.ask(Request::Accept { request, sdp: checked(sdp)?, codecs: upper(codecs) })
    }

    fn answer(&self, request: u64, sdp: String) -> PyResult<()> {
        self.ask(Request::Answer { request, sdp: checked(sdp)? })
    }

    /// A STUN server (`transport` empty) or a TURN server ("udp", "tcp", "tls") at the (ip, port)
    /// addresses given, none where its name could not be resolved. `name` and `authorities` (PEM, empty
    /// for the system's) are what its certificate is checked with.
    #[allow(clippy::too_many_arguments)] // W3C's RTCIceServer, taken apart
    fn server(
        &self,
        py: Python<'_>,
        url: &str,
        transport: &str,
        addresses: Vec<(String, u16)>,
        username: String,
        credential: String,
        name: String,
        authorities: &str,
    ) -> PyResult<()> {
        let bad = |error: String| PyValueError::new_err(format!("{url}: {error}"));
        let transport = match transport {
            "" => None,
            "udp" => Some(Transport::Udp),
            "tcp" => Some(Transport::Tcp),
            "tls" => {
                let config = py.detach(|| tls::config(authorities)).map_err(bad)?;
                let name = ServerName::try_from(name).map_err(|error| bad(error.to_string()))?;
                Some(Transport::Tls(config, name))
            }
            _ => return Err(bad(format!("not a transport: {transport}"))),
        };
        let addresses: PyResult<Vec<SocketAddr>> = addresses
            .iter()
            .map(|(ip, port)| match ip.parse() {
                Ok(ip) => Ok(SocketAddr::new(ip, *port)),
                Err(_) => Err(bad(format!("not an address: {ip}"))),
            })
            .collect();
        let access = transport.map(|transport| Access { transport, username, credential });
        let server = Server { url: Arc::from(url), addresses: addresses?, access };
        self.ask(Request::Server(Box::new(server)))
    }

    /// Forgets the servers that were added: `server` will be called `count` times again.
    fn renew_servers(&self, count: usize) -> PyResult<()> {
        self.ask(Request::RenewServers(count))
    }

    /// Adds a remote candidate. False if it is well-formed but of no use here; one behind a name that is
    /// still to be resolved is not counted. ValueError if it is not a candidate.
    fn add_candidate(&self, line: &str) -> PyResult<bool> {
        match read_candidate(line).map_err(PyValueError::new_err)? {
            Parsed::Usable(candidate) => self.ask(Request::Candidate(candidate)).map(|()| true),
            Parsed::Hidden => Ok(false),
            Parsed::Ignored => self.ask(Request::Unusable).map(|()| false),
        }
    }

    /// Counts a remote candidate that is of no use after all.
    fn ignore_candidate(&self) -> PyResult<()> {
        self.ask(Request::Unusable)
    }

    /// Makes a channel; `key` is the caller's name for it in events, below 2**32.
    #[allow(clippy::too_many_arguments)] // W3C's RTCDataChannelInit
    fn channel(
        &self,
        key: u64,
        label: String,
        ordered: bool,
        max_retransmits: Option<u16>,
        max_packet_life_time: Option<u16>,
        protocol: String,
        negotiated: Option<u16>,
    ) -> PyResult<Channel> {
        let reliability = match (max_retransmits, max_packet_life_time) {
            (Some(retransmits), _) => Reliability::MaxRetransmits { retransmits },
            (None, Some(lifetime)) => Reliability::MaxPacketLifetime { lifetime },
            (None, None) => Reliability::Reliable,
        };
        let config = ChannelConfig { label, ordered, reliability, negotiated, protocol };
        let gauge = Arc::new(Gauge::new(key));
        self.ask(Request::CreateChannel { gauge: Arc::clone(&gauge), config })?;
        Ok(Channel { gauge, shared: Arc::clone(&self.shared), handle: Arc::clone(&self.handle) })
    }

    /// Queues a frame. False if too much waits already; then it is dropped.
    fn send_frame(&self, mid: String, codec: String, timestamp: u64, data: &[u8]) -> PyResult<bool> {
        if self.shared.frames_sending.load(SeqCst) + data.len() > MOST_FRAMES {
            return Ok(false);
        }
        self.shared.frames_sending.fetch_add(data.len(), SeqCst);
        self.ask(Request::Frame { mid, codec, timestamp, data: data.to_vec() })?;
        Ok(true)
    }

    fn wish_bitrate(&self, desired: u64) -> PyResult<()> {
        self.ask(Request::WishBitrate { desired })
    }

    fn request_keyframe(&self, mid: String) -> PyResult<()> {
        self.ask(Request::AskKeyframe { mid })
    }

    fn stats(&self, request: u64) -> PyResult<()> {
        self.ask(Request::Stats { request })
    }

    /// Does nothing where the engine is gone: then the peer is closed already.
    fn close(&self) {
        self.handle.send(Command::Peer { id: self.shared.id, request: Request::Close });
    }
}

/// One data channel.
#[pyclass(frozen, module = "plait._native")]
pub struct Channel {
    pub gauge: Arc<Gauge>,
    pub shared: Arc<PeerShared>,
    pub handle: Arc<Handle>,
}

#[pymethods]
impl Channel {
    #[getter]
    fn key(&self) -> u64 {
        self.gauge.key
    }

    /// Bytes handed over and not acknowledged by the far end.
    #[getter]
    fn buffered_amount(&self) -> u64 {
        self.gauge.buffered()
    }

    /// Queues a message and returns the buffered amount after it. BufferError if far too much waits.
    fn send(&self, data: &[u8], binary: bool) -> PyResult<u64> {
        let buffered = self.gauge.buffered() + data.len() as u64;
        if buffered > MOST_BUFFERED {
            return Err(PyBufferError::new_err("too much waits to be sent on this channel"));
        }
        self.gauge.accepted.fetch_add(data.len() as u64, Relaxed);
        let request = Request::Send { key: self.gauge.key, binary, data: data.to_vec() };
        if self.handle.send(Command::Peer { id: self.shared.id, request }) {
            return Ok(buffered);
        }
        Err(PyRuntimeError::new_err("the engine is not running in this process"))
    }

    /// Asks for a "low" event when the buffered amount is at most `low`. False if it is already;
    /// then no event comes.
    fn wait_low(&self, low: usize) -> bool {
        self.gauge.low.store(low, SeqCst);
        self.gauge.waiting.store(true, SeqCst);
        let already = self.gauge.buffered() <= low as u64;
        !(already && self.gauge.waiting.swap(false, SeqCst))
    }

    /// The application has read `size` bytes of what came in.
    fn consumed(&self, size: usize) {
        let unread = self.shared.unread.fetch_sub(size, SeqCst) - size;
        if unread <= RESUME_BELOW && self.shared.holding.load(SeqCst) {
            self.handle.send(Command::Peer { id: self.shared.id, request: Request::Resume });
        }
    }

    fn close(&self) {
        self.handle.send(Command::Peer {
            id: self.shared.id,
            request: Request::CloseChannel { key: self.gauge.key },
        });
    }
}
