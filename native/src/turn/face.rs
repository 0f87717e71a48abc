//! The class that Python sees.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::credentials::Credentials;
use super::handle::{Command, Handle};
use super::media::{Outside, Share};
use super::policy::Subnet;
use super::server::{Config, Server};
use super::sockets::{Plan, Sockets};
use super::thread::Thread;
use crate::net::Io;
use crate::net::port::Port;

/// RFC 8656 section 3.2 allows an hour.
const MOST_LIFETIME: f64 = 3600.0;

/// A STUN and TURN server with a thread of its own.
#[pyclass(frozen, module = "plait._native")]
pub struct TurnServer {
    handle: Arc<Handle>,
    thread: Mutex<Option<JoinHandle<()>>>,
    addresses: Vec<(String, u16)>,
    listeners: Vec<Weak<Io>>,
    outside: Outside,
}

fn ip(text: &str) -> PyResult<IpAddr> {
    text.parse().map_err(|_| PyValueError::new_err(format!("{text:?} is no IP address")))
}

#[pymethods]
impl TurnServer {
    #[new]
    #[pyo3(signature = (listen, *, secret, realm, relay_ports=(0, 0), published=vec![], allow=vec![], max_allocations=16, max_rate=0, max_lifetime=600.0, public_port=0))]
    #[allow(clippy::too_many_arguments)] // keyword-only on the Python side
    fn new(
        listen: Vec<(String, u16)>,
        secret: &[u8],
        realm: &str,
        relay_ports: (u16, u16),
        published: Vec<(String, String)>,
        allow: Vec<String>,
        max_allocations: usize,
        max_rate: u64,
        max_lifetime: f64,
        public_port: u16,
    ) -> PyResult<Self> {
        if listen.is_empty() || secret.is_empty() {
            return Err(PyValueError::new_err("an address to listen at and a secret are needed"));
        }
        // RFC 8489 section 14.9, and it is in every challenge.
        if realm.is_empty() || realm.len() > 127 {
            return Err(PyValueError::new_err(format!("realm: 1 to 127 bytes, not {}", realm.len())));
        }
        let (first, last) = relay_ports;
        if first > last || (first == 0) != (last == 0) {
            return Err(PyValueError::new_err(format!(
                "relay_ports: {first} to {last} is no range of ports"
            )));
        }
        if !(1.0..=MOST_LIFETIME).contains(&max_lifetime) {
            return Err(PyValueError::new_err(format!(
                "max_lifetime: 1 to 3600 seconds, not {max_lifetime}"
            )));
        }
        let listen: Vec<SocketAddr> =
            listen.iter().map(|(at, port)| Ok(SocketAddr::new(ip(at)?, *port))).collect::<PyResult<_>>()?;
        let published =
            published.iter().map(|(here, world)| Ok((ip(here)?, ip(world)?))).collect::<PyResult<_>>()?;
        let allow: Result<Vec<Subnet>, String> = allow.iter().map(|text| Subnet::parse(text)).collect();
        let handle = Handle::new()?;
        let outside = Outside { addresses: published, port: public_port };
        let plan = Plan { ports: relay_ports, outside: outside.clone() };
        let sockets = Sockets::open(&listen, plan, &handle)?;
        let listeners = sockets.listeners.iter().map(Arc::downgrade).collect();
        let listening = sockets.addresses();
        let addresses = listening.iter().map(|at| (at.ip().to_string(), at.port())).collect();
        let config = Config {
            allow: allow.map_err(PyValueError::new_err)?,
            max_allocations,
            max_rate,
            max_lifetime: max_lifetime as u32,
            listening,
        };
        let credentials = Credentials::new(secret, realm).map_err(PyRuntimeError::new_err)?;
        let server = Server::new(config, credentials, Arc::clone(&handle.counters), Instant::now());
        let thread = Thread::new(Arc::clone(&handle), server, sockets);
        let thread = std::thread::Builder::new().name("plait-turn".into()).spawn(move || thread.run())?;
        Ok(Self { handle, thread: Mutex::new(Some(thread)), addresses, listeners, outside })
    }

    /// Where it listens on UDP: `[(ip, port), ...]`.
    #[getter]
    fn addresses(&self) -> Vec<(String, u16)> {
        self.addresses.clone()
    }

    /// What it has done, by name.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = PyDict::new(py);
        for (name, value) in self.handle.counters.read() {
            counters.set_item(name, value)?;
        }
        Ok(counters)
    }

    /// Lets a call's user reach a candidate that the other party has signaled.
    fn permit(&self, call: String, user: String, address: &str, port: u16) -> PyResult<()> {
        self.send(Command::Permit { call, user, candidate: SocketAddr::new(ip(address)?, port) })
    }

    /// A call goes on: its credentials count as valid until then.
    fn keep(&self, call: String, until: f64) -> PyResult<()> {
        self.send(Command::Keep { call, until: until.max(0.0) as u64 })
    }

    /// Ends a call's allocations and voids its credentials.
    fn revoke(&self, call: String) -> PyResult<()> {
        self.send(Command::Revoke { call })
    }

    /// Ends the thread and closes every socket; may be called again.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.end());
    }
}

impl TurnServer {
    /// For who hands connections over.
    pub fn handle(&self) -> Arc<Handle> {
        Arc::clone(&self.handle)
    }

    /// A place for an engine's peers on this server's port. Errors: it has one already, or has ended.
    pub fn port(&self) -> io::Result<Arc<Port>> {
        let share = Share::new(&self.handle, self.outside.clone())?;
        let sockets: Vec<Arc<Io>> = self.listeners.iter().filter_map(Weak::upgrade).collect();
        let number = sockets.first().map_or(0, |io| io.local.port());
        Ok(Port::of_turn(number, sockets, share))
    }

    fn send(&self, command: Command) -> PyResult<()> {
        if self.handle.send(command) {
            return Ok(());
        }
        Err(PyRuntimeError::new_err("the TURN server is not running in this process"))
    }

    fn end(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && self.handle.stop()
        {
            // Its faults were caught and told where they happened.
            let _ = thread.join();
        }
    }
}

impl Drop for TurnServer {
    fn drop(&mut self) {
        // The thread never takes the GIL, so waiting for it here cannot lock.
        self.end();
    }
}
