//! Offer, answer and candidates (RFC 8829, RFC 8838): a peer's side of the negotiation.

use std::time::{Duration, Instant};

use polling::Poller;
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::config::DtlsVersion;
use str0m::media::{Direction, Mid};
use str0m::{Candidate, Rtc};

use crate::engine::command::Wishes;
use crate::engine::event::{Answer, Event};
use crate::peer::Peer;
use crate::peer::congestion;
use crate::peer::guard;
use crate::peer::handshake;
use crate::peer::media::{self, Media};
use crate::peer::sdp;
use crate::peer::window;

/// A check that is not answered goes again after 100 ms, then twice as long each time up to `CHECK_EVERY`: the first are
/// often dropped by a NAT that has not sent yet. libwebrtc repeats them every 48 ms until a pair works.
const CHECK_AGAIN: Duration = Duration::from_millis(100);
/// Our consent checks, and so the far end's answers, come this often (RFC 7675 allows 5 s).
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// About 20 s of checks before a pair is given up.
const CHECKS: usize = 22;
const STATS_EVERY: Duration = Duration::from_secs(1);
/// The longest message that we take; told in SDP.
pub const MAX_MESSAGE: u32 = 256 << 10;
/// Candidates kept until the remote description is there, and remote candidates used at all.
const MOST_CANDIDATES: usize = 100;

/// An offer of ours that waits for its answer.
pub struct Pending {
    offer: SdpPendingOffer,
    sdp: String,
    /// The directions of changed lines as they were: str0m changes them with the offer already.
    before: Vec<(Mid, Direction)>,
}

impl Peer {
    pub fn offer(
        &mut self,
        wishes: &Wishes,
        codecs: &[String],
        poller: &Poller,
        now: Instant,
    ) -> Result<Answer, String> {
        self.prepare(codecs, poller, now)?;
        let Some(rtc) = &mut self.rtc else {
            return Err("the connection is closed".to_owned());
        };
        if let Some(pending) = &self.pending {
            if wishes.is_empty() {
                // Asked again. Channels made since then open with the answer.
                return Ok(Answer::Description { sdp: pending.sdp.clone(), mids: Vec::new() });
            }
            return Err("an offer is out already: wait for its answer".to_owned());
        }
        let changes: Vec<_> = wishes.changes.iter().map(|c| (Mid::from(c.mid.as_str()), c.to)).collect();
        let known = changes.iter().filter_map(|(mid, _)| rtc.media(*mid).map(|m| (*mid, m.direction())));
        let before: Vec<_> = known.collect();
        let mut change = rtc.sdp_api();
        for (mid, to) in changes {
            match to {
                Some(direction) => change.set_direction(mid, direction),
                None => change.stop_media(mid),
            }
        }
        let mut mids = Vec::with_capacity(wishes.media.len());
        for request in &wishes.media {
            mids.push(change.add_media(request.kind, request.direction, None, None, None));
        }
        if wishes.ice_restart && self.remote_known {
            // The old candidates stay: what still works of them may work again.
            change.ice_restart(true);
        }
        for channel in self.channels.values_mut().filter(|channel| channel.id.is_none()) {
            let id = change.add_channel_with_config(channel.config.clone());
            channel.id = Some(id);
            self.channel_keys.insert(id, channel.gauge.key);
        }
        let Some((offer, pending)) = change.apply() else {
            return Err("nothing to negotiate: add a transceiver or a data channel first".to_owned());
        };
        let sdp = offer.to_sdp_string();
        self.pending = Some(Pending { offer: pending, sdp: sdp.clone(), before });
        self.media.extend(mids.iter().map(|mid| Media::new(*mid, false)));
        let mids = mids.iter().map(ToString::to_string).collect();
        Ok(Answer::Description { sdp, mids })
    }

    pub fn accept(
        &mut self,
        sdp: &str,
        codecs: &[String],
        poller: &Poller,
        now: Instant,
    ) -> Result<Answer, String> {
        let remote = sdp::read_remote(sdp);
        let offer = SdpOffer::from_sdp_string(&remote.sdp).map_err(|error| error.to_string())?;
        self.prepare(codecs, poller, now)?;
        self.roll_back();
        let Some(rtc) = &mut self.rtc else {
            return Err("the connection is closed".to_owned());
        };
        let before = rtc.direct_api().local_ice_credentials().ufrag;
        let answer = guard::describe(rtc, |rtc| rtc.sdp_api().accept_offer(offer))?;
        let restarted = rtc.direct_api().local_ice_credentials().ufrag != before;
        self.adopt_media(&remote.mids);
        if restarted {
            self.restart(poller, now);
        }
        self.on_remote(remote, now);
        Ok(Answer::Description { sdp: answer.to_sdp_string(), mids: Vec::new() })
    }

    pub fn answer(&mut self, sdp: &str, poller: &Poller, now: Instant) -> Result<Answer, String> {
        let remote = sdp::read_remote(sdp);
        let answer = SdpAnswer::from_sdp_string(&remote.sdp).map_err(|error| error.to_string())?;
        self.advance(now);
        let (Some(rtc), Some(pending)) = (&mut self.rtc, self.pending.take()) else {
            return Err("no offer waits for an answer".to_owned());
        };
        let before = rtc.direct_api().local_ice_credentials().ufrag;
        guard::describe(rtc, |rtc| rtc.sdp_api().accept_answer(pending.offer, answer))?;
        if rtc.direct_api().local_ice_credentials().ufrag != before {
            self.restart(poller, now);
        }
        self.on_remote(remote, now);
        Ok(Answer::Description { sdp: String::new(), mids: Vec::new() })
    }

    /// Withdraws an offer of ours that is not answered yet: its channels and lines wait for the next.
    pub fn roll_back(&mut self) {
        let (Some(rtc), Some(pending)) = (&mut self.rtc, self.pending.take()) else { return };
        for channel in self.channels.values_mut().filter(|channel| !channel.open) {
            channel.id = None;
        }
        self.media.retain(|media| rtc.media(media.mid).is_some());
        for (mid, direction) in pending.before {
            // What is stopped stays so.
            if rtc.media(mid).is_some_and(|media| !media.disabled()) {
                rtc.sdp_api().set_direction(mid, direction);
            }
        }
    }

    /// Adds a remote candidate, or keeps it until the remote description is there.
    pub fn add_candidate(&mut self, candidate: Candidate, now: Instant) {
        if self.early_candidates.len() + self.remote_candidates.len() >= MOST_CANDIDATES {
            self.counters.candidates_ignored += 1;
            return;
        }
        match &mut self.rtc {
            Some(rtc) if self.remote_known => {
                if !self.remote_candidates.contains(&candidate) {
                    rtc.add_remote_candidate(candidate.clone());
                    self.remote_candidates.push(candidate);
                    self.hurry(now);
                }
            }
            _ => self.early_candidates.push(candidate),
        }
    }

    /// Tells Python the local candidates that it has not been told, once, and that these are all.
    pub fn announce_candidates(&mut self) {
        if self.candidates_told {
            return;
        }
        self.candidates_told = true;
        for candidate in &self.local_candidates {
            self.tell(Event::Candidate(Some(candidate.to_sdp_string())));
        }
        self.announce_end();
    }

    fn on_remote(&mut self, remote: sdp::Remote, now: Instant) {
        self.remote_known = true;
        self.counters.candidates_ignored += remote.ignored;
        self.has_channels |= remote.has_channels;
        for media in &mut self.media {
            media.fir_alone = remote.fir_alone.contains(&media.mid.to_string());
        }
        self.shared.max_message_size.store(remote.max_message_size, std::sync::atomic::Ordering::SeqCst);
        self.start_connecting(now);
        self.drain();
        let early = std::mem::take(&mut self.early_candidates);
        for candidate in early.into_iter().chain(remote.candidates) {
            self.add_candidate(candidate, now);
        }
        self.hurry(now);
        self.open_waiting_channels();
    }

    /// Makes the `Rtc` and its sockets on the first negotiation: only then the codecs are known.
    fn prepare(&mut self, codecs: &[String], poller: &Poller, now: Instant) -> Result<(), String> {
        if self.rtc.is_some() {
            self.advance(now);
            return Ok(());
        }
        let config = Rtc::builder()
            .clear_codecs()
            .set_crypto_provider(handshake::provider())
            .set_dtls_cert(self.config.certificate.clone())
            .set_stats_interval(Some(STATS_EVERY))
            .set_sctp_max_buffered_amount(window::LEAST)
            .set_sctp_max_message_size(MAX_MESSAGE)
            .set_dtls_version(DtlsVersion::Auto)
            .set_snap_enabled(true);
        let config = congestion::enable(config, self.config.initial_bitrate);
        let mut config = media::enable(config, codecs)?;
        if self.config.packets {
            config = config.set_rtp_mode(true);
        }
        if self.config.capture.is_some() {
            config = config.enable_raw_packets(true);
        }
        config.set_initial_stun_rto(CHECK_AGAIN);
        config.set_max_stun_rto(CHECK_EVERY);
        config.set_max_stun_retransmits(CHECKS);
        self.rtc = Some(config.build(now));
        self.apply_wish();
        self.gather(poller);
        self.advance(now);
        Ok(())
    }
}
