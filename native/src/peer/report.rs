//! A peer's statistics report (https://www.w3.org/TR/webrtc-stats/).

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use str0m::crypto::Fingerprint;
use str0m::media::{MediaKind, Mid};
use str0m::{Candidate, CandidateKind};

use crate::peer::media::codec_name;
use crate::peer::pairs::Pair;
use crate::peer::stats::Report;
use crate::peer::{Peer, State};
use crate::reach::Origin;

const TRANSPORT: &str = "T";
const LOCAL_CERTIFICATE: &str = "CERT-local";
const REMOTE_CERTIFICATE: &str = "CERT-remote";

fn candidate_kind(kind: CandidateKind) -> &'static str {
    match kind {
        CandidateKind::Host => "host",
        CandidateKind::PeerReflexive => "prflx",
        CandidateKind::ServerReflexive => "srflx",
        CandidateKind::Relayed => "relay",
    }
}

fn add_candidate(
    report: &mut Report,
    id: &str,
    kind: &'static str,
    address: SocketAddr,
    candidate: Option<&Candidate>,
    origin: Option<&Origin>,
) {
    report
        .add(id, kind)
        .set("transportId", TRANSPORT)
        .set("address", address.ip().to_string())
        .set("port", u64::from(address.port()))
        .set("protocol", "udp")
        // An address that nobody told us of was found by the checks themselves.
        .set("candidateType", candidate.map_or("prflx", |c| candidate_kind(c.kind())))
        .set_some("priority", candidate.map(|c| u64::from(c.prio())))
        .set_some("url", origin.map(|origin| &*origin.url))
        .set_some("relayProtocol", origin.and_then(|origin| origin.relay_protocol));
}

impl Report {
    /// Adds a pair's connectivity checks to the object added last.
    fn count_checks(&mut self, pair: &Pair) {
        if let Some(object) = self.objects.last_mut() {
            object
                .set("requestsSent", pair.requests_sent)
                .set("requestsReceived", pair.requests_received)
                .set("responsesSent", pair.responses_sent);
        }
    }
}

/// W3C's RTCCertificateStats, without the certificate itself.
fn add_certificate(report: &mut Report, id: &str, fingerprint: &Fingerprint) {
    let bytes: Vec<String> = fingerprint.bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    report
        .add(id, "certificate")
        .set("fingerprint", bytes.join(":"))
        .set("fingerprintAlgorithm", fingerprint.hash_func.as_str());
}

impl Peer {
    /// The report of a peer that is over: what it had come to. None where its session is broken.
    pub fn last_report(&mut self) -> Option<Report> {
        catch_unwind(AssertUnwindSafe(|| self.report())).ok()
    }

    pub fn report(&mut self) -> Report {
        let mut report = Report::new();
        self.report_candidates(&mut report);
        self.report_pairs(&mut report);
        let theirs = self.report_certificates(&mut report);
        self.report_transport(&mut report, theirs);
        self.report_channels(&mut report);
        for index in 0..self.media.len() {
            self.report_media(&mut report, index);
        }
        report
    }

    fn report_candidates(&self, report: &mut Report) {
        for (index, candidate) in self.local_candidates.iter().enumerate() {
            let (id, address) = (format!("L{index}"), candidate.addr());
            let origin = self.reach.origin(address);
            add_candidate(report, &id, "local-candidate", address, Some(candidate), origin);
        }
        for (index, candidate) in self.remote_candidates.iter().enumerate() {
            add_candidate(
                report,
                &format!("R{index}"),
                "remote-candidate",
                candidate.addr(),
                Some(candidate),
                None,
            );
        }
    }

    /// The pair in use, and the others that were tried.
    fn report_pairs(&self, report: &mut Report) {
        let now = Instant::now();
        if let Some((local, remote)) = self.selected {
            let tried = self.pairs.iter().find(|pair| (pair.local, pair.remote) == (local, remote));
            self.report_selected(report, (local, remote), tried);
        }
        for (index, pair) in self.pairs.iter().enumerate() {
            if self.selected == Some((pair.local, pair.remote)) {
                continue;
            }
            let remote_id = self.remote_id(report, pair.remote, &format!("RP{index}"));
            report
                .add(format!("CP{index}"), "candidate-pair")
                .set("transportId", TRANSPORT)
                .set("localCandidateId", self.local_id(pair.local))
                .set("remoteCandidateId", remote_id)
                .set("state", pair.state(now))
                .set("nominated", false)
                .set("responsesReceived", pair.responses_received)
                .set_some("currentRoundTripTime", pair.round_trip.map(|time| time.as_secs_f64()));
            report.count_checks(pair);
        }
    }

    fn local_id(&self, local: SocketAddr) -> String {
        let index = self.local_candidates.iter().position(|candidate| candidate.addr() == local);
        format!("L{}", index.unwrap_or(usize::MAX))
    }

    /// A candidate that nobody told us of, the checks have found: it is added under the id given.
    fn remote_id(&self, report: &mut Report, remote: SocketAddr, found: &str) -> String {
        if let Some(index) = self.remote_candidates.iter().position(|candidate| candidate.addr() == remote) {
            return format!("R{index}");
        }
        add_candidate(report, found, "remote-candidate", remote, None, None);
        found.to_owned()
    }

    fn report_selected(&self, report: &mut Report, of: (SocketAddr, SocketAddr), tried: Option<&Pair>) {
        let (local_id, remote_id) = (self.local_id(of.0), self.remote_id(report, of.1, "RP"));
        let checks = self.peer_stats.as_ref().and_then(|stats| stats.selected_candidate_pair.as_ref());
        report
            .add("CP", "candidate-pair")
            .set("transportId", TRANSPORT)
            .set("localCandidateId", local_id)
            .set("remoteCandidateId", remote_id)
            .set("state", "succeeded")
            .set("nominated", true)
            .set("packetsSent", self.counters.packets_sent)
            .set("packetsReceived", self.counters.packets_received)
            .set("bytesSent", self.counters.bytes_sent)
            .set("bytesReceived", self.counters.bytes_received)
            .set_some(
                "currentRoundTripTime",
                checks.and_then(|pair| pair.current_round_trip_time).map(|time| time.as_secs_f64()),
            )
            .set_some("availableOutgoingBitrate", self.congestion.estimate.map(|bits| bits as f64))
            .set_some("totalRoundTripTime", checks.map(|pair| pair.total_round_trip_time.as_secs_f64()))
            .set_some("responsesReceived", checks.map(|pair| pair.responses_received));
        if let Some(pair) = tried {
            report.count_checks(pair);
        }
    }

    /// Ours, and the far end's once DTLS has verified it. True where it has.
    fn report_certificates(&mut self, report: &mut Report) -> bool {
        let Some(rtc) = &mut self.rtc else { return false };
        let direct = rtc.direct_api();
        add_certificate(report, LOCAL_CERTIFICATE, direct.local_dtls_fingerprint());
        let theirs = direct.remote_dtls_fingerprint();
        if let Some(theirs) = theirs {
            add_certificate(report, REMOTE_CERTIFICATE, theirs);
        }
        theirs.is_some()
    }

    fn dtls_state(&self) -> &'static str {
        match self.state {
            State::Connected | State::Disconnected => "connected",
            State::Over(true) => "closed",
            State::Over(false) => "failed",
            // DTLS begins as soon as a pair is selected.
            State::Connecting if self.selected.is_some() => "connecting",
            State::New | State::Connecting => "new",
        }
    }

    fn report_transport(&self, report: &mut Report, theirs: bool) {
        let lost: u64 = self.sockets.iter().map(|socket| socket.lost).sum();
        report
            .add(TRANSPORT, "transport")
            .set("dtlsState", self.dtls_state())
            .set_some("localCertificateId", self.rtc.as_ref().map(|_| LOCAL_CERTIFICATE))
            .set_some("remoteCertificateId", theirs.then_some(REMOTE_CERTIFICATE))
            .set_some("selectedCandidatePairId", self.selected.map(|_| "CP"))
            .set("packetsSent", self.counters.packets_sent)
            .set("packetsReceived", self.counters.packets_received)
            .set("bytesSent", self.counters.bytes_sent)
            .set("bytesReceived", self.counters.bytes_received)
            // Not W3C's: what was thrown away, and why.
            .set("datagramsDiscarded", self.counters.discarded)
            .set("datagramsLost", lost)
            .set("candidatesIgnored", self.counters.candidates_ignored);
    }

    fn report_channels(&self, report: &mut Report) {
        for (key, channel) in &self.channels {
            let gauge = &channel.gauge;
            report
                .add(format!("D{key}"), "data-channel")
                .set("label", channel.config.label.as_str())
                .set("protocol", channel.config.protocol.as_str())
                .set("state", if channel.open { "open" } else { "connecting" })
                .set_some("dataChannelIdentifier", channel.stream.map(u64::from))
                .set("messagesSent", gauge.messages_sent.load(Relaxed))
                .set("bytesSent", gauge.bytes_sent.load(Relaxed))
                .set("messagesReceived", gauge.messages_received.load(Relaxed))
                .set("bytesReceived", gauge.bytes_received.load(Relaxed));
        }
    }

    fn report_media(&mut self, report: &mut Report, index: usize) {
        let mid = self.media[index].mid;
        let Some((kind, direction)) =
            self.rtc.as_ref().and_then(|rtc| rtc.media(mid)).map(|m| (m.kind(), m.direction()))
        else {
            return;
        };
        let kind = if kind == MediaKind::Audio { "audio" } else { "video" };
        let codec = self.negotiated(mid).first().and_then(|p| codec_name(p.spec().codec));
        if direction.is_sending() {
            self.report_outbound(report, index, mid, kind, codec);
        }
        if direction.is_receiving() {
            self.report_inbound(report, index, mid, kind, codec);
        }
    }

    fn report_outbound(
        &mut self,
        report: &mut Report,
        index: usize,
        mid: Mid,
        kind: &str,
        codec: Option<&str>,
    ) {
        let ssrc = self.rtc.as_mut().and_then(|rtc| {
            let mut direct = rtc.direct_api();
            direct.stream_tx_by_mid(mid, None).map(|stream| u64::from(*stream.ssrc()))
        });
        let media = &self.media[index];
        let stats = self.egress.get(&mid.to_string());
        let id = format!("O{mid}");
        report
            .add(id.as_str(), "outbound-rtp")
            .set("kind", kind)
            .set("mid", mid.to_string())
            .set("transportId", TRANSPORT)
            .set_some("ssrc", ssrc)
            .set_some("codec", codec)
            .set("framesSent", media.frames_sent)
            .set("packetsSent", stats.map_or(0, |s| s.packets))
            .set("bytesSent", stats.map_or(0, |s| s.bytes))
            .set("retransmittedPacketsSent", stats.map_or(0, |s| s.packets_retransmitted))
            .set("retransmittedBytesSent", stats.map_or(0, |s| s.bytes_retransmitted))
            .set("nackCount", stats.map_or(0, |s| s.nacks))
            .set("pliCount", stats.map_or(0, |s| s.plis))
            .set("firCount", stats.map_or(0, |s| s.firs));
        let Some((stats, remote)) = stats.and_then(|s| s.remote.as_ref().map(|r| (s, r))) else { return };
        let clock = clock_rate(kind);
        report
            .add(format!("RI{mid}"), "remote-inbound-rtp")
            .set("kind", kind)
            .set("localId", id)
            .set_some("ssrc", ssrc)
            .set("transportId", TRANSPORT)
            .set("packetsLost", remote.packets_lost)
            .set("jitter", f64::from(remote.jitter) / clock)
            .set_some("fractionLost", stats.loss.map(f64::from))
            .set_some("roundTripTime", stats.rtt.map(|time| time.as_secs_f64()));
    }

    fn report_inbound(
        &mut self,
        report: &mut Report,
        index: usize,
        mid: Mid,
        kind: &str,
        codec: Option<&str>,
    ) {
        let ssrc = self.rtc.as_mut().and_then(|rtc| {
            let mut direct = rtc.direct_api();
            direct.stream_rx_by_mid(mid, None).map(|stream| u64::from(*stream.ssrc()))
        });
        let media = &self.media[index];
        let stats = self.ingress.get(&mid.to_string());
        let clock = clock_rate(kind);
        report
            .add(format!("I{mid}"), "inbound-rtp")
            .set("kind", kind)
            .set("mid", mid.to_string())
            .set("transportId", TRANSPORT)
            .set_some("ssrc", ssrc)
            .set_some("codec", codec)
            .set("framesReceived", media.frames_received)
            .set("keyFramesReceived", media.keyframes_received)
            .set("framesDropped", media.frames_dropped)
            .set("packetsReceived", stats.map_or(0, |s| s.packets))
            .set("bytesReceived", stats.map_or(0, |s| s.bytes))
            .set("nackCount", stats.map_or(0, |s| s.nacks))
            .set("pliCount", stats.map_or(0, |s| s.plis))
            .set("firCount", stats.map_or(0, |s| s.firs))
            .set("jitter", stats.map_or(0.0, |s| f64::from(s.jitter) / clock))
            .set_some("fractionLost", stats.and_then(|s| s.loss).map(f64::from));
    }
}

/// Of RTP timestamps, a second: Opus' (RFC 7587), and that of every video codec.
fn clock_rate(kind: &str) -> f64 {
    if kind == "audio" { 48_000.0 } else { 90_000.0 }
}
