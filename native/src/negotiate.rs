//! Offer, answer and candidates (RFC 8829, RFC 8838): a peer's side of the negotiation.

use std::time::{Duration, Instant};

use polling::Poller;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::{Candidate, Rtc};

use crate::command::MediaRequest;
use crate::event::{Answer, Event};
use crate::gather;
use crate::media::{self, Media};
use crate::net::Socket;
use crate::peer::{KEYS, Peer};
use crate::sdp;

/// Our consent checks, and so the far end's answers, come this often (RFC 7675 allows 5 s).
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// About 20 s of checks before a pair is given up.
const CHECKS: usize = 22;
const STATS_EVERY: Duration = Duration::from_secs(1);
/// Unacknowledged channel bytes inside SCTP, and so the most that one round trip carries.
const SCTP_BUFFER: usize = 1 << 20;
/// The longest message that we take; told in SDP.
pub const MAX_MESSAGE: u32 = 256 << 10;
/// Candidates kept until the remote description is there, and remote candidates used at all.
const MOST_CANDIDATES: usize = 100;

impl Peer {
    pub fn offer(
        &mut self,
        media: &[MediaRequest],
        codecs: &[String],
        poller: &Poller,
        now: Instant,
    ) -> Result<Answer, String> {
        self.prepare(codecs, poller, now)?;
        let Some(rtc) = &mut self.rtc else {
            return Err("the connection is closed".to_owned());
        };
        if let Some((_, sdp)) = &self.pending {
            if media.is_empty() {
                // Asked again. Channels made since then open with the answer.
                return Ok(Answer::Description { sdp: sdp.clone(), mids: Vec::new() });
            }
            return Err("an offer is out already: wait for its answer".to_owned());
        }
        let mut change = rtc.sdp_api();
        let mut mids = Vec::with_capacity(media.len());
        for request in media {
            mids.push(change.add_media(request.kind, request.direction, None, None, None));
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
        self.pending = Some((pending, sdp.clone()));
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
        let Some(rtc) = &mut self.rtc else {
            return Err("the connection is closed".to_owned());
        };
        // An offer of ours that is not answered yet is rolled back: its channels wait for the next.
        if self.pending.take().is_some() {
            for channel in self.channels.values_mut().filter(|channel| !channel.open) {
                channel.id = None;
            }
            self.media.retain(|media| rtc.media(media.mid).is_some());
        }
        let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| error.to_string())?;
        self.adopt_media(&remote.mids);
        self.on_remote(remote, now);
        Ok(Answer::Description { sdp: answer.to_sdp_string(), mids: Vec::new() })
    }

    pub fn answer(&mut self, sdp: &str, now: Instant) -> Result<Answer, String> {
        let remote = sdp::read_remote(sdp);
        let answer = SdpAnswer::from_sdp_string(&remote.sdp).map_err(|error| error.to_string())?;
        self.advance(now);
        let (Some(rtc), Some((pending, _))) = (&mut self.rtc, self.pending.take()) else {
            return Err("no offer waits for an answer".to_owned());
        };
        rtc.sdp_api().accept_answer(pending, answer).map_err(|error| error.to_string())?;
        self.on_remote(remote, now);
        Ok(Answer::Description { sdp: String::new(), mids: Vec::new() })
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
            .set_dtls_cert(self.config.certificate.clone())
            .set_stats_interval(Some(STATS_EVERY))
            .set_sctp_max_buffered_amount(SCTP_BUFFER)
            .set_sctp_max_message_size(MAX_MESSAGE);
        let mut config = media::enable(config, codecs)?;
        config.set_max_stun_rto(CHECK_EVERY);
        config.set_max_stun_retransmits(CHECKS);
        let mut rtc = config.build(now);
        // Where only relays may be used, the far end must not even learn of our addresses.
        let hosts =
            if self.config.relay_only { Vec::new() } else { gather::host_addresses(self.config.loopback) };
        for ip in hosts {
            let key = self.shared.id as usize * KEYS + self.sockets.len();
            // An address may have gone since it was listed, or not allow binding.
            let Ok(socket) = Socket::bind(ip, poller, key) else { continue };
            let candidate = Candidate::host(socket.local, "udp").ok();
            if let Some(added) = candidate.and_then(|candidate| rtc.add_local_candidate(candidate).cloned()) {
                self.local_candidates.push(added);
            }
            self.sockets.push(socket);
        }
        self.rtc = Some(rtc);
        self.advance(now);
        Ok(())
    }
}
