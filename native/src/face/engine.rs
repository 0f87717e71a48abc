//! Engines, and their queues of events for one event loop each.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use str0m::config::DtlsCert;

use super::Peer;
use crate::engine::command::{Command, PeerConfig};
use crate::engine::log;
use crate::engine::mailbox::Mailbox;
use crate::engine::threads::Threads;
use crate::face::convert;
use crate::forward;
use crate::forward::face::Forwarder;
use crate::net::port::Port;
use crate::peer::PeerShared;
use crate::peer::capture::Capture;
use crate::turn::TurnServer;

/// Payload handed to Python in one `drain`.
const DRAIN_BYTES: usize = 1 << 20;

/// An engine: native threads that drive peers.
#[pyclass(frozen, module = "plait._native")]
pub struct Engine(Arc<Threads>);

#[pymethods]
impl Engine {
    /// `udp_port` or `turn`: where all peers are on one port, of their own or a TURN server's.
    #[new]
    fn new(threads: usize, udp_port: Option<u16>, turn: Option<&TurnServer>) -> PyResult<Self> {
        let port = match (turn, udp_port) {
            (Some(turn), _) => Some(turn.port()?),
            (None, Some(number)) => Some(Port::open(number)?),
            (None, None) => None,
        };
        Ok(Self(Arc::new(Threads::start(threads, port)?)))
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
