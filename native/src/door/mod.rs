//! The hub's front door: one TCP port, TLS ended here, streams handed to Python as descriptors.
//!
//! One thread owns the listening sockets. It looks at the first byte of each connection
//! ([`route`]), hands plain HTTP on as the raw socket, ends TLS with rustls and pumps the
//! decrypted bytes over a socket pair whose other end Python gets ([`tunnel`]). It never takes
//! the GIL: Python learns of new streams through an eventfd and drains them in one call.
//! Why it is built this way: docs/decisions/0001-who-owns-the-door.md.

mod listen;
mod poll;
mod reactor;
mod route;
mod shared;
mod tls;
mod tunnel;

use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use self::reactor::Reactor;
use self::shared::{Limits, Shared};
use crate::turn::TurnServer;

/// A stream handed to Python: descriptor, peer (ip, port), local (ip, port), whether TLS was ended.
type Handed = (i32, (String, u16), (String, u16), bool);

/// Listens on one TCP port and hands decrypted streams to Python.
#[pyclass(frozen, module = "plait._native")]
pub struct Door {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    addresses: Vec<(String, u16)>,
}

#[pymethods]
impl Door {
    /// Binds and starts serving. `port` 0 takes a free one, the same for every address of `host`.
    ///
    /// `cert` and `key` are PEM bytes; with them every connection must be TLS or is handed on
    /// marked as plain, for the caller to redirect. Raises `OSError` (port taken, no such
    /// address) or `ValueError` (bad PEM), each naming the cause. Connections that speak STUN or
    /// TURN, outside TLS or inside, go to `turn`.
    #[new]
    #[pyo3(signature = (host, port, *, cert=None, key=None, handshake_timeout=10.0, max_connections=10_000, max_undecided=1024, turn=None))]
    #[allow(clippy::too_many_arguments)] // keyword-only on the Python side
    fn new(
        host: &str,
        port: u16,
        cert: Option<&[u8]>,
        key: Option<&[u8]>,
        handshake_timeout: f64,
        max_connections: usize,
        max_undecided: usize,
        turn: Option<PyRef<'_, TurnServer>>,
    ) -> PyResult<Self> {
        let challenges = Arc::<tls::Challenges>::default();
        let config = match (cert, key) {
            (Some(cert), Some(key)) => {
                let config = tls::config(cert, key, Arc::clone(&challenges));
                Some(config.map_err(PyValueError::new_err)?)
            }
            (None, None) => None,
            _ => return Err(PyValueError::new_err("cert and key go together")),
        };
        let handshake_timeout = seconds("handshake_timeout", handshake_timeout)?;
        let limits = Limits { handshake_timeout, max_connections, max_undecided };
        let listeners = listen::bind(host, port)?;
        let addresses = listeners
            .iter()
            .map(|listener| listener.local_addr().map(|at| (at.ip().to_string(), at.port())))
            .collect::<std::io::Result<_>>()?;
        let shared = Arc::new(Shared::new(limits, config, challenges, turn.map(|turn| turn.handle()))?);
        let reactor = Reactor::new(Arc::clone(&shared), listeners)?;
        let thread = std::thread::Builder::new().name("plait-door".into()).spawn(move || reactor.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), addresses })
    }

    /// Where it listens: `[(ip, port), ...]`.
    #[getter]
    fn addresses(&self) -> Vec<(String, u16)> {
        self.addresses.clone()
    }

    /// Becomes readable when streams wait to be taken with `accepted`.
    fn fileno(&self) -> i32 {
        self.shared.wake.as_raw_fd()
    }

    /// Takes the streams that wait; the caller owns each descriptor from here on.
    ///
    /// Each is `(fd, (peer ip, port), (local ip, port), tls)`. The caller calls `released` once
    /// for each that is not `tls` when it has closed it (the others are seen to close here).
    fn accepted(&self) -> Vec<Handed> {
        let taken = self.shared.take();
        taken
            .into_iter()
            .map(|stream| {
                let (peer, local) = (stream.peer, stream.local);
                (
                    stream.fd.into_raw_fd(),
                    (peer.ip().to_canonical().to_string(), peer.port()),
                    (local.ip().to_canonical().to_string(), local.port()),
                    stream.tls,
                )
            })
            .collect()
    }

    /// Counts a plain stream that Python has closed.
    fn released(&self) {
        self.shared.counters.left();
    }

    /// Takes another certificate for the connections to come; those that are open keep theirs.
    fn reload(&self, cert: &[u8], key: &[u8]) -> PyResult<()> {
        let config = tls::config(cert, key, Arc::clone(&self.shared.challenges));
        let config = config.map_err(PyValueError::new_err)?;
        *self.shared.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(config);
        Ok(())
    }

    /// Shows this certificate to ACME servers that ask for `name` by `acme-tls/1` (RFC 8737).
    fn show_challenge(&self, name: &str, cert: &[u8], key: &[u8]) -> PyResult<()> {
        self.shared.challenges.show(name, cert, key).map_err(PyValueError::new_err)
    }

    /// Ends that.
    fn hide_challenge(&self, name: &str) {
        self.shared.challenges.hide(name);
    }

    /// Closes the listening sockets; what is open stays open.
    fn stop_accepting(&self) {
        self.shared.stop_accepting();
    }

    /// `{"accepted": ..., "tls_failed": ..., "refused": ..., "expired": ..., "active": ...}`;
    /// `active` is now, the others count since the start.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        for (name, value) in self.shared.counters.read() {
            counters.set_item(name, value)?;
        }
        Ok(counters)
    }

    /// Ends the thread and closes everything; may be called again.
    ///
    /// Streams that Python has closed get at most `within` seconds to reach their clients.
    #[pyo3(signature = (within=0.0))]
    fn close(&self, py: Python<'_>, within: f64) -> PyResult<()> {
        let within = seconds("within", within)?;
        py.detach(|| self.end(within)).map_err(PyRuntimeError::new_err)
    }
}

impl Door {
    fn end(&self, within: Duration) -> Result<(), &'static str> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        self.shared.end(within);
        let ended = thread.join();
        drop(self.shared.take()); // nobody will take these any more: close them
        ended.map_err(|_| "the door's thread had failed")
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // The thread never takes the GIL, so waiting for it here cannot lock.
        let _ = self.end(Duration::ZERO);
    }
}

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(|error| PyValueError::new_err(format!("{name}: {error}")))
}

/// Adds the door to the Python module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Door>()
}
