//! Forwarding: one incoming track to many peers, inside the engine's thread. Python says who gets what, and
//! sees no packet.
//!
//! A source's packets (`tap`) are put in order and cut into frames once (`stream`), and each viewer picks
//! among them (`viewer`, by `ladder`) and sends them as its own unbroken stream (`outgoing`). The payload
//! itself is shared by all of them, the caches for repairs included.

mod classify;
mod forwarder;
mod ladder;
mod matching;
mod order;
mod outgoing;
mod path;
mod report;
mod stream;
mod table;
mod tap;
mod viewer;

pub mod face;

use std::collections::HashMap;
use std::sync::Arc;

use str0m::media::Mid;

use crate::engine::mailbox::Mailbox;
use crate::peer::{Peer, PeerShared};

pub use ladder::Limits;
pub use table::Forwarders;
pub use tap::Tap;

/// The engine's peers.
pub type Peers = HashMap<u64, Box<Peer>>;
/// A media line: the peer's number, and its mid.
pub type Origin = (u64, Mid);

/// What Python asks of a forwarder.
pub enum Order {
    Open {
        shared: Arc<PeerShared>,
        mailbox: Arc<Mailbox>,
    },
    /// Where it forwards from, from now on; answered.
    Sources {
        request: u64,
        sources: Vec<Origin>,
    },
    /// One more viewer; answered.
    Add {
        request: u64,
        viewer: Origin,
        limits: Limits,
    },
    Limit {
        viewer: Origin,
        limits: Limits,
    },
    Remove {
        viewer: Origin,
    },
    Stats {
        request: u64,
    },
    Close,
}
