//! What str0m reports about a peer, translated for Python.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Instant;

use str0m::channel::{ChannelConfig, ChannelData, ChannelId, Reliability};
use str0m::stats::PeerStats;
use str0m::{Event as RtcEvent, IceConnectionState};

use crate::engine::event::{ChannelOpen, Event};
use crate::peer::Peer;
use crate::peer::channel::{Channel, Gauge};

/// Channels that one peer may have open at a time; RFC 8831 would allow 65,535.
const MOST_CHANNELS: usize = 1024;

impl Peer {
    pub fn on_event(&mut self, event: RtcEvent) {
        match event {
            RtcEvent::Connected => self.on_connected(),
            RtcEvent::IceConnectionStateChange(
                IceConnectionState::Connected | IceConnectionState::Completed,
            ) => {
                self.restarting = false;
            }
            RtcEvent::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                tracing::debug!(peer = self.shared.id, "no candidate pair works");
            }
            RtcEvent::MediaChanged(changed) => self.on_media_changed(changed.mid),
            RtcEvent::MediaData(data) => self.on_frame(data),
            RtcEvent::RawPacket(packet) => self.capture(&packet),
            RtcEvent::RtpPacket(packet) => self.on_packet(packet),
            RtcEvent::EgressBitrateEstimate(estimate) => self.on_estimate(&estimate),
            RtcEvent::KeyframeRequest(request) => self.on_keyframe_request(request.mid),
            RtcEvent::ChannelOpen(id, label) => self.on_channel_open(id, label),
            RtcEvent::ChannelData(data) => self.on_channel_data(data),
            RtcEvent::ChannelClose(id) => {
                if let Some(key) = self.channel_keys.get(&id) {
                    self.forget_channel(*key);
                }
            }
            RtcEvent::PeerStats(stats) => self.on_peer_stats(stats),
            RtcEvent::MediaIngressStats(stats) => {
                self.ingress.insert(stats.mid.to_string(), stats);
            }
            RtcEvent::MediaEgressStats(stats) => {
                self.forward.count_repairs(&stats);
                self.egress.insert(stats.mid.to_string(), stats);
            }
            RtcEvent::Closed => self.closed_by_far_end(Instant::now()),
            _ => {}
        }
    }

    /// Once a second. An idle connection shows only here that a restart has moved it to another pair.
    fn on_peer_stats(&mut self, stats: PeerStats) {
        if let Some(pair) = &stats.selected_candidate_pair {
            self.consent.count(pair.remote.addr, pair.responses_received, Instant::now());
            if self.selected.is_some() {
                self.selected = Some((pair.local.addr, pair.remote.addr));
            }
        }
        self.peer_stats = Some(stats);
    }

    fn on_channel_open(&mut self, id: ChannelId, label: String) {
        let Some(rtc) = &mut self.rtc else { return };
        let config = rtc.channel(id).and_then(|channel| channel.config().cloned());
        let config = config.unwrap_or_else(|| ChannelConfig { label, ..ChannelConfig::default() });
        let stream = rtc.direct_api().sctp_stream_id_by_channel_id(id).unwrap_or(u16::MAX);
        let key = match self.channel_keys.get(&id) {
            Some(key) => *key,
            None if self.channels.len() >= MOST_CHANNELS => {
                rtc.direct_api().close_data_channel(id);
                return;
            }
            None => {
                let key = self.next_remote_key;
                self.next_remote_key += 1;
                let mut channel = Channel::new(Arc::new(Gauge::new(key)), config.clone(), true);
                channel.id = Some(id);
                self.channels.insert(key, channel);
                self.channel_keys.insert(id, key);
                key
            }
        };
        let Some(channel) = self.channels.get_mut(&key) else { return };
        channel.open = true;
        channel.stream = Some(stream);
        let (max_retransmits, max_packet_life_time) = match config.reliability {
            Reliability::Reliable => (None, None),
            Reliability::MaxRetransmits { retransmits } => (Some(retransmits), None),
            Reliability::MaxPacketLifetime { lifetime } => (None, Some(lifetime)),
        };
        let open = ChannelOpen {
            gauge: Arc::clone(&channel.gauge),
            label: config.label,
            protocol: config.protocol,
            ordered: config.ordered,
            max_retransmits,
            max_packet_life_time,
            stream,
            remote: channel.remote,
        };
        self.tell(Event::ChannelOpen(open));
    }

    fn on_channel_data(&mut self, received: ChannelData) {
        let Some(key) = self.channel_keys.get(&received.id).copied() else { return };
        let Some(channel) = self.channels.get(&key) else { return };
        channel.gauge.messages_received.fetch_add(1, Relaxed);
        channel.gauge.bytes_received.fetch_add(received.data.len() as u64, Relaxed);
        self.shared.unread.fetch_add(received.data.len(), SeqCst);
        self.tell(Event::ChannelData { key, binary: received.binary, data: received.data });
    }

    /// Adds a channel of ours: at once where the association is negotiated, else with the next offer.
    pub fn create_channel(&mut self, gauge: Arc<Gauge>, config: ChannelConfig) {
        let key = gauge.key;
        self.channels.insert(key, Channel::new(gauge, config, false));
        self.open_waiting_channels();
    }

    /// Opens channels that need no negotiation (any more). Not while an offer of ours is out: a
    /// second change would make str0m refuse its answer.
    pub fn open_waiting_channels(&mut self) {
        if !(self.has_channels && self.remote_known && self.pending.is_none()) {
            return;
        }
        let Some(rtc) = &mut self.rtc else { return };
        for channel in self.channels.values_mut().filter(|channel| channel.id.is_none()) {
            let mut change = rtc.sdp_api();
            let id = change.add_channel_with_config(channel.config.clone());
            change.apply();
            channel.id = Some(id);
            self.channel_keys.insert(id, channel.gauge.key);
        }
        self.advance(Instant::now());
    }

    pub fn close_channel(&mut self, key: u64) {
        let id = self.channels.get(&key).and_then(|channel| channel.id);
        if let (Some(rtc), Some(id)) = (&mut self.rtc, id) {
            rtc.direct_api().close_data_channel(id);
            self.drain();
        }
        self.forget_channel(key);
    }

    /// Drops a channel and tells Python that it is closed.
    pub fn forget_channel(&mut self, key: u64) {
        let Some(mut channel) = self.channels.remove(&key) else { return };
        if let Some(id) = channel.id {
            self.channel_keys.remove(&id);
        }
        channel.drop_outgoing();
        self.tell(Event::ChannelClosed { key });
    }

    /// Moves waiting messages into SCTP, one of each channel in turn, as long as it takes any; then
    /// tells those who wait for room.
    pub fn pump(&mut self, now: Instant) {
        let busy: Vec<u64> =
            self.channels.iter().filter(|(_, channel)| channel.busy()).map(|(key, _)| *key).collect();
        if busy.is_empty() {
            return;
        }
        if busy.iter().any(|key| self.channels.get(key).is_some_and(Channel::has_outgoing)) {
            self.advance(now);
        }
        let mut progress = true;
        while progress {
            progress = false;
            for key in &busy {
                let (Some(rtc), Some(channel)) = (&mut self.rtc, self.channels.get_mut(key)) else {
                    continue;
                };
                match channel.write_one(rtc) {
                    Ok(true) => progress = true,
                    Ok(false) => continue,
                    Err(error) => tracing::debug!(peer = self.shared.id, %error, "write"),
                }
                self.drain();
            }
        }
        let mut acknowledged = 0;
        for key in busy {
            let (Some(rtc), Some(channel)) = (&mut self.rtc, self.channels.get_mut(&key)) else { continue };
            let before = channel.gauge.released.load(Relaxed);
            let low = channel.measure(rtc);
            acknowledged += channel.gauge.released.load(Relaxed).saturating_sub(before);
            if low {
                self.tell(Event::ChannelLow { key });
            }
        }
        self.fit_window(acknowledged, now);
    }

    /// Lets as much be on its way as the path is seen to hold.
    fn fit_window(&mut self, acknowledged: u64, now: Instant) {
        if !self.window.note(acknowledged, now) {
            return;
        }
        let round_trip = self.selected.and_then(|(local, remote)| self.pairs.least_round_trip(local, remote));
        self.window.fit(round_trip, now);
        if let Some(rtc) = &mut self.rtc {
            rtc.direct_api().set_sctp_max_buffered_amount(self.window.room);
        }
        for channel in self.channels.values() {
            channel.gauge.high_water.store(self.window.room, Relaxed);
            channel.gauge.low_water.store(self.window.low, Relaxed);
        }
    }
}
