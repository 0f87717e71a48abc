//! One peer connection, as Python drives it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rustls::pki_types::ServerName;
use str0m::channel::{ChannelConfig, Reliability};
use str0m::media::{Direction, MediaKind};

use super::Channel;
use crate::engine::Handle;
use crate::engine::command::{Command, MediaChange, MediaRequest, Request, Wishes};
use crate::peer::PeerShared;
use crate::peer::channel::Gauge;
use crate::peer::sdp::{Parsed, read_candidate};
use crate::reach::{Access, Server, Transport, tls};

/// A description longer than this is not read.
const MOST_SDP: usize = 256 << 10;
/// Bytes of frames that may wait for the engine, of one peer.
const MOST_FRAMES: usize = 16 << 20;

/// One peer connection.
#[pyclass(frozen, module = "plait._native")]
pub struct Peer {
    pub(super) shared: Arc<PeerShared>,
    pub(super) handle: Arc<Handle>,
}

impl Peer {
    pub(super) fn queue(&self, command: Command) -> PyResult<()> {
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
