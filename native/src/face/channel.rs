//! One data channel, as Python drives it.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use pyo3::exceptions::{PyBufferError, PyRuntimeError};
use pyo3::prelude::*;

use crate::engine::Handle;
use crate::engine::arrive::RESUME_BELOW;
use crate::engine::command::{Command, Request};
use crate::peer::PeerShared;
use crate::peer::channel::{Gauge, MOST_BUFFERED};

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

    /// Bytes on their way above which a sender should wait: 1 MiB, and more over a path that holds more.
    #[getter]
    fn high_water(&self) -> usize {
        self.gauge.high_water.load(Relaxed)
    }

    /// And at which it should go on.
    #[getter]
    fn low_water(&self) -> usize {
        self.gauge.low_water.load(Relaxed)
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
