//! A forwarder's statistics: one outbound-rtp for each viewer, one inbound-rtp for each encoding of the source.

use super::Peers;
use super::forwarder::Forwarder;
use super::viewer::Viewer;
use crate::peer::media::codec_name;
use crate::peer::stats::Report;
use crate::peer::{Peer, State};

impl Forwarder {
    pub fn report(&self, peers: &Peers) -> Report {
        let mut report = Report::new();
        for (number, stream) in self.streams().iter().enumerate() {
            let rates = stream.rates.cumulative();
            report
                .add(format!("I{number}"), "inbound-rtp")
                .set("kind", if stream.is_audio() { "audio" } else { "video" })
                .set("ssrc", u64::from(*stream.ssrc))
                .set("mid", stream.mid.to_string())
                .set_some("rid", stream.rid.map(|rid| rid.to_string()))
                .set_some("codec", codec_name(stream.params.spec().codec))
                .set("packetsLost", stream.order.lost)
                .set("packetsDiscarded", stream.order.late)
                // Not W3C's: how often this source was asked, what it costs, its temporal layers, its kept group.
                .set("keyframeRequests", stream.keyframe_requests)
                .set("bitrate", rates[rates.len() - 1])
                .set("temporalLayers", u64::from(stream.rates.top()) + 1)
                .set("groupPackets", stream.group.len() as u64);
        }
        for viewer in &self.viewers {
            if let Some(peer) = peers.get(&viewer.peer) {
                self.report_viewer(&mut report, viewer, peer);
            }
        }
        report
    }

    fn report_viewer(&self, report: &mut Report, viewer: &Viewer, peer: &Peer) {
        let stats = peer.egress.get(&viewer.mid.to_string());
        let (sent, target) = (&viewer.sent, viewer.target);
        let limited = target.is_some_and(|target| target.limited);
        let stream = target.and_then(|target| self.streams().iter().find(|stream| stream.key == target.key));
        let dropped = sent.dropped_bandwidth + sent.dropped_limits + sent.dropped_keyframe;
        report
            .add(format!("O{}/{}", viewer.peer, viewer.mid), "outbound-rtp")
            .set("mid", viewer.mid.to_string())
            .set("active", peer.state == State::Connected)
            .set_some("codec", stream.and_then(|stream| codec_name(stream.params.spec().codec)))
            .set_some("rid", stream.and_then(|stream| stream.rid).map(|rid| rid.to_string()))
            .set("framesSent", sent.frames)
            .set("keyFramesSent", sent.keyframes)
            .set("packetsSent", sent.packets)
            .set("bytesSent", sent.bytes)
            .set("retransmittedPacketsSent", peer.forward.repairs(viewer.mid))
            .set("nackCount", stats.map_or(0, |s| s.nacks))
            .set("pliCount", stats.map_or(0, |s| s.plis))
            .set("firCount", stats.map_or(0, |s| s.firs))
            .set("qualityLimitationReason", if limited { "bandwidth" } else { "none" })
            .set("qualityLimitationResolutionChanges", sent.switches)
            .set_some("targetBitrate", target.map(|target| target.rate))
            // Not W3C's: frames of the chosen encoding that this viewer was not sent, by reason.
            .set("framesDropped", dropped)
            .set("framesDroppedBandwidth", sent.dropped_bandwidth)
            .set("framesDroppedLimits", sent.dropped_limits)
            .set("framesDroppedKeyframe", sent.dropped_keyframe)
            .set_some(
                "temporalLayer",
                target.zip(stream).map(|(target, stream)| u64::from(target.tier.min(stream.rates.top()))),
            )
            .set("thinned", target.is_some_and(|target| target.thin.is_some()))
            .set_some("availableOutgoingBitrate", viewer.available)
            .set_some("fractionLost", stats.and_then(|s| s.loss).map(f64::from))
            .set_some("roundTripTime", stats.and_then(|s| s.rtt).map(|time| time.as_secs_f64()));
    }
}
