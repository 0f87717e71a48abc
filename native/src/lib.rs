//! The native part of Plait. `plait.rtc` is its face for applications; this module is its seam.

#![deny(unsafe_code)]

mod door;
mod ed25519;
mod engine;
mod face;
mod forward;
mod net;
mod peer;
mod reach;
mod turn;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<face::Engine>()?;
    module.add_class::<face::PyMailbox>()?;
    module.add_class::<face::Peer>()?;
    module.add_class::<face::Channel>()?;
    module.add_class::<forward::face::Forwarder>()?;
    module.add_function(wrap_pyfunction!(face::generate_certificate, module)?)?;
    module.add_function(wrap_pyfunction!(face::set_log_level, module)?)?;
    module.add_function(wrap_pyfunction!(net::stun::stun_request, module)?)?;
    module.add_function(wrap_pyfunction!(net::stun::stun_answer, module)?)?;
    turn::register(module)?;
    ed25519::register(module)?;
    door::register(module)
}
