//! Ed25519 (RFC 8032), of the same library that makes the certificates.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

fn pair(seed: &[u8]) -> PyResult<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| PyValueError::new_err("a private key has 32 bytes"))
}

/// The public key of a private one.
#[pyfunction]
fn ed25519_public<'py>(py: Python<'py>, seed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, pair(seed)?.public_key().as_ref()))
}

/// A signature of 64 bytes.
#[pyfunction]
fn ed25519_sign<'py>(py: Python<'py>, seed: &[u8], message: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, pair(seed)?.sign(message).as_ref()))
}

/// Whether the owner of a key has signed a message so.
#[pyfunction]
fn ed25519_verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ed25519_public, module)?)?;
    module.add_function(wrap_pyfunction!(ed25519_sign, module)?)?;
    module.add_function(wrap_pyfunction!(ed25519_verify, module)?)
}
