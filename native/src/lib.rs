//! The native part of Plait. `plait.rtc` is its face for applications; this module is its seam.

#![deny(unsafe_code)]

mod addresses;
mod arrive;
mod capture;
mod channel;
mod command;
mod congestion;
mod consent;
mod convert;
mod door;
mod ed25519;
mod engine;
mod event;
mod face;
mod forward;
mod gather;
mod guard;
mod handshake;
mod inbound;
mod life;
mod log;
mod mailbox;
mod media;
mod negotiate;
mod net;
mod pairs;
mod peer;
mod pieces;
mod port;
mod reach;
mod report;
mod restart;
mod routes;
mod sdp;
mod stats;
mod stun;
mod threads;
mod turn;
mod window;

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
    module.add_function(wrap_pyfunction!(stun::stun_request, module)?)?;
    module.add_function(wrap_pyfunction!(stun::stun_answer, module)?)?;
    turn::register(module)?;
    ed25519::register(module)?;
    door::register(module)
}
