//! The classes that Python sees. Each call only puts a command into the engine's queue or reads counters.

mod channel;
pub mod convert;
mod engine;
mod peer;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::engine::log;

pub use channel::Channel;
pub use engine::{Engine, PyMailbox};
pub use peer::Peer;

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
