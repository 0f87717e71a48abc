//! The class that Python sees. Each call only puts a command into the engine's queue.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use str0m::media::Mid;

use super::{Limits, Order, Origin};
use crate::engine::Handle;
use crate::engine::command::Command;

/// A line as Python names it: (peer, mid).
type Line = (u64, String);
/// (bits a second, temporal layer, layer).
type Bounds = (Option<u64>, Option<u8>, Option<usize>);

fn origin((peer, mid): Line) -> Origin {
    (peer, Mid::from(mid.as_str()))
}

fn limits((bitrate, tier, layer): Bounds) -> Limits {
    Limits { bitrate, tier, layer }
}

/// One forwarder; closed when it is dropped.
#[pyclass(frozen, module = "plait._native")]
pub struct Forwarder {
    id: u64,
    handle: Arc<Handle>,
}

impl Forwarder {
    pub fn new(id: u64, handle: Arc<Handle>) -> Self {
        Self { id, handle }
    }

    fn order(&self, order: Order) -> PyResult<()> {
        if self.handle.send(Command::Forward { id: self.id, order }) {
            return Ok(());
        }
        Err(PyRuntimeError::new_err("the engine is not running in this process"))
    }
}

#[pymethods]
impl Forwarder {
    #[getter]
    fn id(&self) -> u64 {
        self.id
    }

    /// Asks for other sources, the largest encoding first; answered by a reply.
    fn sources(&self, request: u64, sources: Vec<Line>) -> PyResult<()> {
        self.order(Order::Sources { request, sources: sources.into_iter().map(origin).collect() })
    }

    /// Asks for one more viewer; answered by a reply.
    fn add(&self, request: u64, viewer: Line, bounds: Bounds) -> PyResult<()> {
        self.order(Order::Add { request, viewer: origin(viewer), limits: limits(bounds) })
    }

    fn limit(&self, viewer: Line, bounds: Bounds) -> PyResult<()> {
        self.order(Order::Limit { viewer: origin(viewer), limits: limits(bounds) })
    }

    fn remove(&self, viewer: Line) -> PyResult<()> {
        self.order(Order::Remove { viewer: origin(viewer) })
    }

    fn stats(&self, request: u64) -> PyResult<()> {
        self.order(Order::Stats { request })
    }

    /// Does nothing where the engine is gone.
    fn close(&self) {
        self.handle.send(Command::Forward { id: self.id, order: Order::Close });
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.close();
    }
}
