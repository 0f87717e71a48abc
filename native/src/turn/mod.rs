//! The STUN and TURN server (RFC 8489, RFC 8656).
//!
//! [`server`] is the whole of it without sockets: datagrams in, an [`outbox`] of datagrams out, and
//! time told. [`thread`] has the sockets and the clock. A datagram of a bound channel costs a look-up
//! for its client and one for its channel, and is copied once, into the outbox. Who has not
//! allocated is not remembered: credentials are computed, nonces carry their own proof.
//! Why it is our own: docs/decisions/0011-turn-of-our-own.md.

mod allocate;
mod allocation;
mod answer;
mod counters;
mod credentials;
mod face;
mod frames;
mod handle;
mod integrity;
mod judge;
mod media;
mod outbox;
mod policy;
mod relays;
mod requests;
mod server;
mod sockets;
mod stream;
mod streams;
mod tables;
#[cfg(test)]
mod tests;
mod thread;
mod waiting;
mod wire;

use pyo3::prelude::*;

pub use self::face::TurnServer;
pub use self::handle::Handle;
pub use self::media::Share;
pub use self::stream::Newcomer;

/// Adds the server to the Python module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<face::TurnServer>()
}
