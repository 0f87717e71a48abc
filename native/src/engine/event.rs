//! What the engine tells Python: plain data, made into Python objects only when Python asks.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::peer::channel::Gauge;
use crate::peer::stats::Report;

/// What a request was answered with.
pub enum Answer {
    /// A session description, and the mids of the media that the request asked for, in its order.
    Description {
        sdp: String,
        mids: Vec<String>,
    },
    /// A statistics report.
    Stats(Report),
    Done,
}

/// The negotiated state of one media line.
pub struct MediaState {
    pub mid: String,
    pub kind: &'static str,
    pub direction: &'static str,
    pub codecs: Vec<&'static str>,
    /// The far end added this line; false where we offered it.
    pub remote: bool,
    /// Ended for good, by either side.
    pub stopped: bool,
}

/// A frame as it came out of the depacketizer.
pub struct Frame {
    pub mid: String,
    pub codec: &'static str,
    pub timestamp: u64,
    pub keyframe: bool,
    /// Nothing is missing between the frame before and this one.
    pub contiguous: bool,
    pub data: Arc<[u8]>,
}

/// A data channel that opened, ours or the far end's.
pub struct ChannelOpen {
    pub gauge: Arc<Gauge>,
    pub label: String,
    pub protocol: String,
    pub ordered: bool,
    pub max_retransmits: Option<u16>,
    pub max_packet_life_time: Option<u16>,
    /// The SCTP stream identifier (RFC 8832).
    pub stream: u16,
    pub remote: bool,
}

/// Something that happened to a forwarder: "source" lost, "viewer" gone, or a "codec" that a viewer does not take.
pub struct ForwardNews {
    pub what: &'static str,
    /// The media line that it is about.
    pub peer: u64,
    pub mid: String,
    /// Why; or the codec.
    pub reason: String,
}

/// One thing that happened to one peer.
pub enum Event {
    Reply {
        request: u64,
        result: Result<Answer, String>,
    },
    State {
        state: &'static str,
        reason: String,
    },
    /// The statistics of a connection that is over, told just before its last state.
    LastStats(Report),
    /// A local candidate line; `None` when gathering is complete.
    Candidate(Option<String>),
    /// A STUN or TURN server that gave no candidate, or lost one. The code is its own, or W3C's 701: not reached.
    ServerFailed {
        url: String,
        server: SocketAddr,
        code: u16,
        text: String,
    },
    Media(MediaState),
    ChannelOpen(ChannelOpen),
    ChannelData {
        key: u64,
        binary: bool,
        data: Vec<u8>,
    },
    /// The channel's buffered amount fell to its low-water mark, and somebody waits for that.
    ChannelLow {
        key: u64,
    },
    ChannelClosed {
        key: u64,
    },
    Frame(Frame),
    KeyframeRequest {
        mid: String,
    },
    /// The path is estimated to carry so much, in bits a second.
    Bandwidth {
        estimate: u64,
    },
    /// This machine has other addresses than before: an ICE restart is due.
    AddressesChanged,
    Forward(ForwardNews),
}

impl Event {
    /// Payload bytes that the event holds in memory.
    pub fn size(&self) -> usize {
        match self {
            Event::ChannelData { data, .. } => data.len(),
            Event::Frame(frame) => frame.data.len(),
            _ => 0,
        }
    }
}
