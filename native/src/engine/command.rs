//! What Python asks of the engine.

use std::sync::Arc;

use str0m::Candidate;
use str0m::channel::ChannelConfig;
use str0m::config::DtlsCert;
use str0m::media::{Direction, MediaKind};

use crate::engine::mailbox::Mailbox;
use crate::forward;
use crate::net::port::{Datagram, Place};
use crate::peer::PeerShared;
use crate::peer::capture::Capture;
use crate::peer::channel::Gauge;
use crate::reach::Server;

/// How a peer is made.
pub struct PeerConfig {
    pub certificate: DtlsCert,
    /// Also offer loopback addresses as host candidates.
    pub loopback: bool,
    /// Only relayed candidates: nobody but the TURN servers learns our addresses.
    pub relay_only: bool,
    /// Media stays packets, to be forwarded (`forward`): no frames in or out.
    pub packets: bool,
    /// How many `Request::Server` will come.
    pub servers: usize,
    /// Congestion control begins with this estimate, in bits a second; None: there is none.
    pub initial_bitrate: Option<u64>,
    /// Where packets are written as they are under the encryption.
    pub capture: Option<Capture>,
    /// Where the engine has one port for all; None: the peer has sockets of its own.
    pub place: Option<Arc<Place>>,
}

/// A media line to be offered.
pub struct MediaRequest {
    pub kind: MediaKind,
    pub direction: Direction,
}

/// What is to become of a line that is negotiated already.
pub struct MediaChange {
    pub mid: String,
    /// None: it is stopped for good.
    pub to: Option<Direction>,
}

/// What an offer is to hold beside the channels that wait.
#[derive(Default)]
pub struct Wishes {
    pub media: Vec<MediaRequest>,
    pub changes: Vec<MediaChange>,
    /// New ICE credentials (RFC 8445 section 9).
    pub ice_restart: bool,
}

impl Wishes {
    pub fn is_empty(&self) -> bool {
        self.media.is_empty() && self.changes.is_empty() && !self.ice_restart
    }
}

/// A request to one peer; those with a `request` number are answered by `Event::Reply`.
pub enum Request {
    /// `codecs`: the names to negotiate, upper case; empty for the default set.
    Offer {
        request: u64,
        wishes: Wishes,
        codecs: Vec<String>,
    },
    /// Our offer is withdrawn (RFC 8829 section 4.1.10.2).
    Rollback,
    Accept {
        request: u64,
        sdp: String,
        codecs: Vec<String>,
    },
    Answer {
        request: u64,
        sdp: String,
    },
    /// A STUN or TURN server whose name has been resolved, or has not and then has no address.
    Server(Box<Server>),
    /// Forgets the servers that were added; as many `Request::Server` as this will come.
    RenewServers(usize),
    Candidate(Box<Candidate>),
    /// A candidate that cannot be used, to be counted.
    Unusable,
    CreateChannel {
        gauge: Arc<Gauge>,
        config: ChannelConfig,
    },
    Send {
        key: u64,
        binary: bool,
        data: Vec<u8>,
    },
    CloseChannel {
        key: u64,
    },
    Frame {
        mid: String,
        codec: String,
        timestamp: u64,
        data: Vec<u8>,
    },
    /// What would be sent if the path carried it, in bits a second.
    WishBitrate {
        desired: u64,
    },
    AskKeyframe {
        mid: String,
    },
    Stats {
        request: u64,
    },
    /// Python has read enough for the peer to go on receiving.
    Resume,
    Close,
}

/// A command in the engine's queue.
pub enum Command {
    Open {
        peer: Arc<PeerShared>,
        mailbox: Arc<Mailbox>,
        config: PeerConfig,
    },
    Peer {
        id: u64,
        request: Request,
    },
    Forward {
        id: u64,
        order: forward::Order,
    },
    /// What another thread has read from the port that all share.
    Datagrams(Vec<Datagram>),
    /// The event loop behind the mailbox is gone: close its peers.
    CloseMailbox {
        id: u64,
    },
    /// Close everything and end the thread.
    Stop,
}
