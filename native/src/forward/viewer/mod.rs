//! One receiver of a forwarder: which packets it gets, and what it could not be given.

mod review;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polling::Poller;
use str0m::media::{Mid, Pt};
use str0m::rtp::RtpWrite;

use crate::forward::ladder::{Limits, Offer, Target};
use crate::forward::matching::match_payload;
use crate::forward::outgoing::Outgoing;
use crate::forward::path::Path;
use crate::forward::stream::{Stream, Unit};
use crate::peer::{Peer, State};

/// Packets that are written before they are sent: what waits between the two takes room, for each viewer.
pub const BATCH: usize = 64;
/// What a slow path is given at a time.
const BURST: Duration = Duration::from_millis(10);
/// A viewer that is given less asks for keyframes at most this often: they cost all others.
const ASK_WHEN_LIMITED: Duration = Duration::from_secs(4);
/// Packets to repair a viewer's losses from: 1 s is several round trips.
const CACHE_PACKETS: usize = 256;
const CACHE_FOR: Duration = Duration::from_secs(1);
/// Repairs may take up to this part of what is sent; str0m's 0.15 stops at about that loss.
const CACHE_SHARE: f32 = 0.5;

/// Why a frame was not sent.
#[derive(Clone, Copy)]
enum Dropped {
    Bandwidth,
    Limits,
    Keyframe,
}

/// Counters of one viewer.
#[derive(Clone, Copy, Default)]
pub struct Sent {
    pub frames: u64,
    pub keyframes: u64,
    pub packets: u64,
    pub bytes: u64,
    pub dropped_bandwidth: u64,
    pub dropped_limits: u64,
    /// Frames that came while a keyframe was awaited.
    pub dropped_keyframe: u64,
    pub switches: u64,
}

/// What a forwarder has for its viewers in one turn.
pub struct Supply<'a> {
    pub streams: &'a [Stream],
    pub offers: &'a [Offer],
    /// Packets in order, each with its stream's key.
    pub ready: &'a [(u64, Arc<Unit>)],
    pub poller: &'a Poller,
    /// The engine itself was late a moment ago: reports are about that.
    pub stalled: bool,
}

pub struct Viewer {
    pub peer: u64,
    pub mid: Mid,
    limits: Limits,
    pub target: Option<Target>,
    pub sent: Sent,
    /// What its path carries, where a bound shows; bits a second.
    pub available: Option<u64>,
    /// The codec that the source sends and this viewer does not take, once that is known.
    pub mismatch: Option<&'static str>,
    out: Outgoing,
    live: bool,
    /// The stream that is sent, and the highest tier of it that can be decoded.
    current: Option<u64>,
    tier: u8,
    /// Nothing can be decoded before a keyframe.
    waiting: bool,
    /// The frame that packets come of goes out.
    sending: bool,
    payloads: Vec<(u64, Pt, Option<Pt>)>,
    /// The limits are new: what follows from them is not waited with.
    forced: bool,
    /// Packets that go out one after the other, as the path takes them in, and when the next may.
    backlog: VecDeque<(usize, RtpWrite)>,
    pace_at: Instant,
    /// Bits that may go out, where `Target::thin` bounds them.
    tokens: f64,
    filled: Instant,
    reviewed: Option<Instant>,
    rising: Option<Instant>,
    climbing: Option<Instant>,
    asked: Option<Instant>,
    path: Path,
    /// The report that was judged last, and what had been sent by then.
    sampled: Option<Instant>,
    counted: u64,
    wished: u64,
}

impl Viewer {
    /// A viewer whose line `peer` has; prepares its repairs.
    pub fn new(peer: &mut Peer, mid: Mid, limits: Limits, now: Instant) -> Self {
        let out = peer.forward.out.remove(&mid).unwrap_or_default();
        if let Some(rtc) = &mut peer.rtc
            && let Some(line) = rtc.direct_api().stream_tx_by_mid(mid, None)
        {
            line.set_rtx_cache(CACHE_PACKETS, CACHE_FOR, Some(CACHE_SHARE));
            // It goes on at the source's own pace, where there is a pacer at all.
            line.set_unpaced(true);
        }
        Self {
            peer: peer.shared.id,
            mid,
            limits,
            target: None,
            sent: Sent::default(),
            available: None,
            mismatch: None,
            out,
            live: false,
            current: None,
            tier: 0,
            waiting: true,
            sending: false,
            payloads: Vec::new(),
            forced: false,
            backlog: VecDeque::new(),
            pace_at: now,
            tokens: 0.0,
            filled: now,
            reviewed: None,
            rising: None,
            climbing: None,
            asked: None,
            path: Path::default(),
            sampled: None,
            counted: 0,
            wished: 0,
        }
    }

    /// Leaves the line so that another forwarding can go on with it.
    pub fn leave(self, peer: &mut Peer) {
        peer.forward.out.insert(self.mid, self.out);
    }

    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
        self.forced = true;
    }

    /// The far end lost the picture. The stream whose source is to be asked.
    pub fn wants_keyframe(&mut self, now: Instant) -> Option<u64> {
        let limited = self.target.is_some_and(|target| target.limited);
        if limited && self.asked.is_some_and(|asked| now < asked + ASK_WHEN_LIMITED) {
            return None;
        }
        self.asked = Some(now);
        self.current.or(self.target.map(|target| target.key))
    }

    /// Sends what is ready. Streams whose keyframe it needs are added to `needs`.
    pub fn turn(&mut self, peer: &mut Peer, supply: &Supply<'_>, now: Instant, needs: &mut Vec<u64>) {
        if peer.state != State::Connected || !peer.sends_on(self.mid) {
            self.live = false;
            self.backlog.clear();
            return;
        }
        self.review(peer, supply, now, needs);
        if !self.live {
            self.live = true;
            self.waiting = true;
            self.current = None;
            return self.begin(peer, supply, now, needs);
        }
        let (mut written, before) = (false, self.sent.frames);
        for (key, unit) in supply.ready {
            let Some(stream) = supply.streams.iter().find(|stream| stream.key == *key) else { continue };
            if self.wants(stream, unit, now) {
                written |= self.write(peer, stream, unit, now);
            }
        }
        peer.count_frames(self.mid, self.sent.frames - before);
        if written {
            peer.send_packets(supply.poller, now);
        }
    }

    /// Starts with the source's last group of pictures where it is kept, else with a keyframe to come.
    fn begin(&mut self, peer: &mut Peer, supply: &Supply<'_>, now: Instant, needs: &mut Vec<u64>) {
        let Some(target) = self.target else { return };
        let Some(stream) = supply.streams.iter().find(|stream| stream.key == target.key) else { return };
        let (Some(first), Some(last)) = (stream.group.first(), stream.group.last()) else {
            if !stream.is_audio() {
                needs.push(stream.key);
            }
            return;
        };
        let clock = stream.clock_rate();
        let behind = (last.time - first.time) as f64 / f64::from(clock);
        self.enter(stream, first, Duration::from_secs_f64(behind), now);
        for batch in stream.group.chunks(BATCH) {
            for unit in batch {
                if self.wants(stream, unit, now) {
                    self.write(peer, stream, unit, now);
                }
            }
            peer.send_packets(supply.poller, now);
        }
    }

    /// From `unit` on it is this stream that goes out.
    fn enter(&mut self, stream: &Stream, unit: &Unit, behind: Duration, now: Instant) {
        self.sent.switches += u64::from(self.current.is_some());
        self.current = Some(stream.key);
        self.out.attach(unit, behind, stream.clock_rate(), now);
    }

    fn wants(&mut self, stream: &Stream, unit: &Unit, now: Instant) -> bool {
        if !unit.first {
            return self.sending && self.current == Some(stream.key);
        }
        let Some(target) = self.target else { return false };
        if self.current != Some(stream.key) {
            if target.key != stream.key || !unit.class.keyframe {
                return false;
            }
            self.enter(stream, unit, Duration::ZERO, now);
        }
        match self.refuses(target, unit, now) {
            None => {
                self.sent.frames += 1;
                self.sent.keyframes += u64::from(unit.class.keyframe && !stream.is_audio());
                self.sending = true;
            }
            Some(why) => {
                match why {
                    Dropped::Bandwidth => self.sent.dropped_bandwidth += 1,
                    Dropped::Limits => self.sent.dropped_limits += 1,
                    Dropped::Keyframe => self.sent.dropped_keyframe += 1,
                }
                self.sending = false;
            }
        }
        self.sending
    }

    fn refuses(&mut self, target: Target, unit: &Unit, now: Instant) -> Option<Dropped> {
        let less = if target.limited { Dropped::Bandwidth } else { Dropped::Limits };
        let class = unit.class;
        if let Some(rate) = target.thin {
            let passed = now.saturating_duration_since(self.filled).as_secs_f64();
            // As much as a second may be saved up, so that a keyframe fits in.
            self.tokens = (self.tokens + passed * rate as f64).min(rate as f64);
            self.filled = now;
            if self.tokens <= 0.0 {
                self.waiting = true;
                return Some(less);
            }
        }
        if class.keyframe {
            self.waiting = false;
            self.tier = if target.thin.is_some() { 0 } else { target.tier };
            return None;
        }
        if self.waiting {
            return Some(if target.thin.is_some() { less } else { Dropped::Keyframe });
        }
        self.tier = self.tier.min(target.tier);
        if class.tier > self.tier && class.tier <= target.tier && class.sync && target.thin.is_none() {
            self.tier = class.tier;
        }
        (class.tier > self.tier).then_some(less)
    }

    fn write(&mut self, peer: &mut Peer, stream: &Stream, unit: &Unit, now: Instant) -> bool {
        let known = self.payloads.iter().find(|(key, pt, _)| *key == stream.key && *pt == unit.pt);
        let pt = match known {
            Some((.., pt)) => *pt,
            None => {
                let pt = match_payload(&peer.negotiated(self.mid), &stream.params, unit);
                self.payloads.retain(|(key, ..)| *key == stream.key);
                self.payloads.push((stream.key, unit.pt, pt));
                pt
            }
        };
        let Some(pt) = pt else {
            self.mismatch = crate::peer::media::codec_name(stream.params.spec().codec);
            return false;
        };
        self.mismatch = None;
        let size = unit.payload.len();
        if self.target.is_some_and(|target| target.thin.is_some()) {
            self.tokens -= 8.0 * size as f64;
        }
        let write = self.out.write(unit, pt, stream.is_audio(), now);
        self.sent.packets += 1;
        self.sent.bytes += size as u64;
        if self.target.is_some_and(|target| target.limited) || !self.backlog.is_empty() {
            // A burst would be lost on a path that is too slow already.
            self.backlog.push_back((size, write));
            return false;
        }
        self.hand_over(peer, write)
    }

    fn hand_over(&self, peer: &mut Peer, write: RtpWrite) -> bool {
        let Some(rtc) = &mut peer.rtc else { return false };
        let mut api = rtc.direct_api();
        let Some(line) = api.stream_tx_by_mid(self.mid, None) else { return false };
        line.write_rtp(write);
        peer.forward.count_written(self.mid);
        true
    }

    /// When the next packet of a slow path may go out.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.backlog.is_empty()).then_some(self.pace_at)
    }

    /// Sends what is due on a slow path.
    pub fn release(&mut self, peer: &mut Peer, poller: &Poller, now: Instant) {
        let limited = self.target.is_some_and(|target| target.limited);
        let rate = self.available.filter(|_| limited);
        self.pace_at = self.pace_at.max(now.checked_sub(BURST).unwrap_or(now));
        while self.pace_at <= now
            && let Some((size, write)) = self.backlog.pop_front()
        {
            if let Some(rate) = rate {
                self.pace_at += Duration::from_secs_f64(8.0 * size as f64 / rate as f64);
            }
            self.hand_over(peer, write);
        }
        peer.send_packets(poller, now);
    }
}
