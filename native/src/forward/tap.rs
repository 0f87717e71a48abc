//! Where a peer and the forwarders meet: packets that leave it for viewers, packets that reach it as one.

use std::collections::HashMap;
use std::time::Instant;

use polling::Poller;
use str0m::Rtc;
use str0m::media::{Mid, Pt, Rid};
use str0m::rtp::{RtpPacket, Ssrc};
use str0m::stats::MediaEgressStats;

use super::outgoing::Outgoing;
use super::stream::Incoming;
use crate::peer::Peer;

/// A pacer lets one packet go at a time; more turns than this belong to the next wake-up.
const MOST_TURNS: usize = 512;
/// SSRCs that are remembered of a peer.
const MOST_STREAMS: usize = 64;

/// Packets of a line: those that were written, and those that went out again.
#[derive(Clone, Copy, Default)]
struct Written {
    packets: u64,
    repairs: u64,
}

/// A peer's part in forwarding; empty for most.
#[derive(Default)]
pub struct Tap {
    /// Lines that are forwarded from: packets of others are not kept.
    pub sources: Vec<Mid>,
    /// Lines that are forwarded to.
    pub sinks: Vec<Mid>,
    /// Packets of `sources` since the last turn.
    pub packets: Vec<Incoming>,
    /// Lines of `sinks` whose far end asked for a keyframe since the last turn.
    pub asks: Vec<Mid>,
    /// Something above, or the peer's state, is new.
    pub news: bool,
    /// Lines that were forwarded to before.
    pub out: HashMap<Mid, Outgoing>,
    known: Vec<(Ssrc, Mid, Option<Rid>)>,
    written: HashMap<Mid, Written>,
}

impl Tap {
    fn is_used(&self) -> bool {
        !(self.sources.is_empty() && self.sinks.is_empty())
    }

    /// Says that the forwarders have to look at this peer.
    pub fn note(&mut self) {
        self.news |= self.is_used();
    }

    pub fn count_written(&mut self, mid: Mid) {
        self.written.entry(mid).or_default().packets += 1;
    }

    /// str0m counts all packets of a line together.
    pub fn count_repairs(&mut self, stats: &MediaEgressStats) {
        if let Some(line) = self.written.get_mut(&stats.mid) {
            line.repairs = line.repairs.max(stats.packets.saturating_sub(line.packets));
        }
    }

    pub fn repairs(&self, mid: Mid) -> u64 {
        self.written.get(&mid).map_or(0, |line| line.repairs)
    }

    /// Takes the far end's request for a keyframe where the line is forwarded to.
    pub fn takes_ask(&mut self, mid: Mid) -> bool {
        let ours = self.sinks.contains(&mid);
        if ours {
            self.asks.push(mid);
            self.news = true;
        }
        ours
    }

    fn origin(&mut self, rtc: &mut Rtc, ssrc: Ssrc) -> Option<(Mid, Option<Rid>)> {
        if let Some((_, mid, rid)) = self.known.iter().find(|(known, ..)| *known == ssrc) {
            return Some((*mid, *rid));
        }
        let mut api = rtc.direct_api();
        let stream = api.stream_rx(&ssrc)?;
        let (mid, rid) = (stream.mid(), stream.rid());
        if self.known.len() >= MOST_STREAMS {
            self.known.remove(0);
        }
        self.known.push((ssrc, mid, rid));
        Some((mid, rid))
    }
}

impl Peer {
    pub fn on_packet(&mut self, packet: RtpPacket) {
        if self.forward.sources.is_empty() {
            return;
        }
        let Some(rtc) = &mut self.rtc else { return };
        let Some((mid, rid)) = self.forward.origin(rtc, packet.header.ssrc) else { return };
        let pt: Pt = packet.header.payload_type;
        let params = rtc.codec_config().params().iter().find(|params| params.pt() == pt).copied();
        if let Some(params) = params.filter(|_| self.forward.sources.contains(&mid)) {
            self.forward.packets.push(Incoming { mid, rid, params, packet: packet.into() });
            self.forward.news = true;
        }
    }

    /// Sends packets that were written, all that are to go out now: at once, while they are in the cache, and
    /// before those of the next viewer need room.
    pub fn send_packets(&mut self, poller: &Poller, now: Instant) {
        for _ in 0..MOST_TURNS {
            self.advance(now);
            if self.rtc_deadline.is_none_or(|at| at > now) {
                break;
            }
        }
        for socket in &mut self.sockets {
            socket.flush(poller);
        }
    }

    /// Asks the far end for a keyframe of one encoding.
    pub fn ask_source(&mut self, mid: Mid, rid: Option<Rid>, now: Instant) {
        let kind = self.keyframe_request_kind(mid);
        let Some(rtc) = &mut self.rtc else { return };
        if let Some(stream) = rtc.direct_api().stream_rx_by_mid(mid, rid) {
            stream.request_keyframe(kind);
        }
        // The request is made into RTCP by the next timeout.
        self.advance(now);
    }

    /// Whether a line is negotiated to send.
    pub fn sends_on(&self, mid: Mid) -> bool {
        let media = self.rtc.as_ref().and_then(|rtc| rtc.media(mid));
        media.is_some_and(|media| media.direction().is_sending())
    }

    pub fn has_sent_frames(&self, mid: Mid) -> bool {
        !self.config.packets && self.media.iter().any(|media| media.mid == mid && media.frames_sent > 0)
    }

    /// Counts frames that were forwarded on a line.
    pub fn count_frames(&mut self, mid: Mid, frames: u64) {
        if let Some(media) = self.media.iter_mut().find(|media| media.mid == mid) {
            media.frames_sent += frames;
        }
    }

    /// Gives a line that Python has sent frames on a new SSRC: numbers would go back on the old one.
    pub fn renew_line(&mut self, mid: Mid) {
        self.forward.written.remove(&mid);
        let Some(rtc) = &mut self.rtc else { return };
        let mut api = rtc.direct_api();
        let (ssrc, rtx) = (api.new_ssrc(), api.new_ssrc());
        let repaired = api.stream_tx_by_mid(mid, None).is_some_and(|line| line.rtx().is_some());
        api.reset_stream_tx(mid, None, ssrc, repaired.then_some(rtx));
    }
}
