//! One incoming encoding (an SSRC) that is forwarded: its packets in order, cut into frames, what they cost,
//! and the last group of pictures for those who join.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::format::PayloadParams;
use str0m::media::{Mid, Pt, Rid};
use str0m::rtp::{RtpPacket, Ssrc, VideoOrientation, Vp8Descriptor};

use super::classify::{Class, classify};
use super::order::Order;

/// Keyframes are asked of a source at most this often, whoever needs them.
pub const ASK_EVERY: Duration = Duration::from_secs(1);
/// A group of pictures is kept for those who join while it is not longer than this, in bytes and in time: it
/// reaches them in one burst.
const MOST_GROUP: usize = 256 << 10;
const LONGEST_GROUP: Duration = Duration::from_secs(4);
/// A stream without packets for so long is none to choose.
const SILENT: Duration = Duration::from_secs(1);
/// Rates are taken over this span.
const RATE_SPAN: Duration = Duration::from_secs(1);
/// Temporal layers have three bits in every codec.
pub const TIERS: usize = 8;

/// A packet as it came out of a source peer, with what its peer knows of it.
#[derive(Clone)]
pub struct Incoming {
    pub mid: Mid,
    pub rid: Option<Rid>,
    pub params: PayloadParams,
    pub packet: Packet,
}

/// What is forwarded of an RTP packet.
#[derive(Clone)]
pub struct Packet {
    pub ssrc: Ssrc,
    /// Sequence number and time, extended.
    pub number: u64,
    pub time: u64,
    pub pt: Pt,
    pub marker: bool,
    pub payload: Arc<[u8]>,
    pub orientation: Option<VideoOrientation>,
    pub audio_level: Option<i8>,
    pub voice: Option<bool>,
}

impl From<RtpPacket> for Packet {
    fn from(packet: RtpPacket) -> Self {
        let (header, values) = (&packet.header, &packet.header.ext_vals);
        Self {
            ssrc: header.ssrc,
            number: *packet.seq_no,
            time: packet.time.numer(),
            pt: header.payload_type,
            marker: header.marker,
            orientation: values.video_orientation,
            audio_level: values.audio_level,
            voice: values.voice_activity,
            payload: packet.payload,
        }
    }
}

/// A packet on its way to viewers, who share it.
pub struct Unit {
    pub payload: Arc<[u8]>,
    /// RTP time, extended.
    pub time: u64,
    pub pt: Pt,
    pub marker: bool,
    /// The first of its frame.
    pub first: bool,
    pub class: Class,
    /// Packets are missing before it, and will not come.
    pub gap: bool,
    pub vp8: Option<Vp8Descriptor>,
    pub orientation: Option<VideoOrientation>,
    pub audio_level: Option<i8>,
    pub voice: Option<bool>,
}

/// Bits a second of each tier.
pub struct Rates {
    bits: [u64; TIERS],
    since: Instant,
    known: Option<[u64; TIERS]>,
}

impl Rates {
    fn new(now: Instant) -> Self {
        Self { bits: [0; TIERS], since: now, known: None }
    }

    fn count(&mut self, tier: u8, bytes: usize, now: Instant) {
        self.bits[usize::from(tier) % TIERS] += 8 * bytes as u64;
        let span = now.saturating_duration_since(self.since);
        if span < RATE_SPAN {
            return;
        }
        let taken = self.bits.map(|bits| (bits as f64 / span.as_secs_f64()) as u64);
        self.known = Some(match self.known {
            // Half of the old: a group of pictures may be longer than the span.
            Some(known) => std::array::from_fn(|tier| u64::midpoint(known[tier], taken[tier])),
            None => taken,
        });
        self.bits = [0; TIERS];
        self.since = now;
    }

    /// What all tiers up to each one cost together; zeros before it is known.
    pub fn cumulative(&self) -> [u64; TIERS] {
        let mut sum = 0;
        self.known.unwrap_or_default().map(|rate| {
            sum += rate;
            sum
        })
    }

    /// The highest tier that carries anything.
    pub fn top(&self) -> u8 {
        let known = self.known.unwrap_or(self.bits);
        known.iter().rposition(|rate| *rate > 0).unwrap_or(0) as u8
    }
}

pub struct Stream {
    /// Never given twice in a forwarder: viewers know a stream by it.
    pub key: u64,
    pub peer: u64,
    pub mid: Mid,
    pub rid: Option<Rid>,
    pub ssrc: Ssrc,
    pub params: PayloadParams,
    pub rates: Rates,
    pub order: Order<Packet>,
    /// Everything since the last keyframe, as long as that is little.
    pub group: Vec<Arc<Unit>>,
    group_bytes: usize,
    group_since: Instant,
    /// The frame that packets arrive of: its time, and its class once that is known.
    frame: Option<(u64, Option<Class>)>,
    /// The beginning of a frame that does not yet tell its class.
    pending: Vec<Unit>,
    /// A keyframe is needed that has not come.
    pub wanted: bool,
    pub asked: Option<Instant>,
    pub keyframe_requests: u64,
    heard: Instant,
}

impl Stream {
    pub fn new(key: u64, peer: u64, incoming: &Incoming, now: Instant) -> Self {
        Self {
            key,
            peer,
            mid: incoming.mid,
            rid: incoming.rid,
            ssrc: incoming.packet.ssrc,
            params: incoming.params,
            rates: Rates::new(now),
            order: Order::new(incoming.params.spec().codec.is_audio()),
            group: Vec::new(),
            group_bytes: 0,
            group_since: now,
            frame: None,
            pending: Vec::new(),
            wanted: false,
            asked: None,
            keyframe_requests: 0,
            heard: now,
        }
    }

    pub fn is_audio(&self) -> bool {
        self.params.spec().codec.is_audio()
    }

    /// Units of RTP time a second.
    pub fn clock_rate(&self) -> u32 {
        self.params.spec().clock_rate.get()
    }

    pub fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) < SILENT
    }

    /// Takes a packet; what is in order now goes to `ready`.
    pub fn push(&mut self, incoming: Incoming, now: Instant, ready: &mut Vec<Arc<Unit>>) {
        self.heard = now;
        self.params = incoming.params;
        let number = incoming.packet.number;
        let mut released = Vec::new();
        self.order.push(number, incoming.packet, now, |packet, missing| released.push((packet, missing)));
        self.take(released, now, ready);
    }

    pub fn on_timeout(&mut self, now: Instant, ready: &mut Vec<Arc<Unit>>) {
        let mut released = Vec::new();
        self.order.on_timeout(now, |packet, missing| released.push((packet, missing)));
        self.take(released, now, ready);
    }

    fn take(&mut self, released: Vec<(Packet, u64)>, now: Instant, ready: &mut Vec<Arc<Unit>>) {
        for (packet, missing) in released {
            if missing > 0 && !self.is_audio() {
                // What follows refers to what is lost: no viewer can do without.
                self.wanted = true;
                self.forget_group();
            }
            self.cut(packet, missing > 0, now, ready);
        }
    }

    /// Finds where frames start and what they are. A frame whose first packets do not tell waits for those that do.
    fn cut(&mut self, packet: Packet, gap: bool, now: Instant, ready: &mut Vec<Arc<Unit>>) {
        let codec = self.params.spec().codec;
        let time = packet.time;
        let first = self.frame.is_none_or(|(current, _)| current != time);
        if first {
            self.settle(Class::default(), now, ready);
            self.frame = Some((time, None));
        }
        let known = self.frame.and_then(|(_, class)| class);
        let class = known.or_else(|| classify(codec, &packet.payload));
        let unit = Unit {
            time,
            pt: packet.pt,
            marker: packet.marker,
            first,
            class: class.unwrap_or_default(),
            gap,
            vp8: (codec == str0m::format::Codec::Vp8)
                .then(|| Vp8Descriptor::parse(&packet.payload).ok())
                .flatten(),
            orientation: packet.orientation,
            audio_level: packet.audio_level,
            voice: packet.voice,
            payload: packet.payload,
        };
        let last = unit.marker;
        match class {
            Some(class) => {
                if known.is_none() {
                    self.frame = Some((time, Some(class)));
                    self.settle(class, now, ready);
                }
                self.emit(unit, now, ready);
            }
            None => self.pending.push(unit),
        }
        if last {
            self.settle(Class::default(), now, ready);
        }
    }

    /// Hands on what waited for its frame's class.
    fn settle(&mut self, class: Class, now: Instant, ready: &mut Vec<Arc<Unit>>) {
        for mut unit in std::mem::take(&mut self.pending) {
            unit.class = class;
            self.emit(unit, now, ready);
        }
    }

    fn emit(&mut self, unit: Unit, now: Instant, ready: &mut Vec<Arc<Unit>>) {
        self.rates.count(unit.class.tier, unit.payload.len(), now);
        let unit = Arc::new(unit);
        if !self.is_audio() {
            self.keep(&unit, now);
        }
        ready.push(unit);
    }

    fn keep(&mut self, unit: &Arc<Unit>, now: Instant) {
        if unit.first && unit.class.keyframe {
            self.wanted = false;
            self.forget_group();
            self.group_since = now;
        } else if self.group.is_empty() {
            return;
        }
        self.group_bytes += unit.payload.len();
        if self.group_bytes > MOST_GROUP || now.saturating_duration_since(self.group_since) > LONGEST_GROUP {
            return self.forget_group();
        }
        self.group.push(Arc::clone(unit));
    }

    fn forget_group(&mut self) {
        self.group.clear();
        self.group_bytes = 0;
    }

    /// When a keyframe that is wanted may be asked for.
    pub fn ask_at(&self, now: Instant) -> Option<Instant> {
        let at = self.asked.map_or(now, |asked| asked + ASK_EVERY);
        self.wanted.then_some(at)
    }
}
