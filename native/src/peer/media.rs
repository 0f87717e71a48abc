//! Encoded media: which payload type a frame goes out under, frames in, keyframe requests.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use str0m::RtcConfig;
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Direction, Frequency, KeyframeRequestKind, MediaData, MediaKind, MediaTime, Mid, Pt};

use crate::engine::event::{Event, Frame, MediaState};
use crate::peer::Peer;
use crate::peer::pieces::Pieces;

/// Received frames that Python has not taken; beyond it frames are dropped up to the next keyframe.
const MOST_WAITING: usize = 16 << 20;
/// A far end that asks for keyframes faster than this is heard this often.
const KEYFRAME_REQUESTS_APART: Duration = Duration::from_millis(100);

/// What is offered and answered where nothing else is asked for.
const DEFAULT: [&str; 3] = ["H264", "VP8", "OPUS"];

/// One media line.
pub struct Media {
    pub mid: Mid,
    pub remote: bool,
    /// The payload type of the last keyframe, which the frames after it share.
    payload: Option<(Codec, Pt)>,
    pieces: Pieces,
    /// Frames were dropped: nothing goes to Python before a keyframe.
    broken: bool,
    asked: Option<Instant>,
    /// The far end named FIR and not PLI.
    pub fir_alone: bool,
    pub frames_sent: u64,
    pub frames_received: u64,
    pub keyframes_received: u64,
    /// Received but not given to Python, which was too slow.
    pub frames_dropped: u64,
}

impl Media {
    pub fn new(mid: Mid, remote: bool) -> Self {
        Self {
            mid,
            remote,
            payload: None,
            pieces: Pieces::default(),
            broken: false,
            asked: None,
            fir_alone: false,
            frames_sent: 0,
            frames_received: 0,
            keyframes_received: 0,
            frames_dropped: 0,
        }
    }
}

/// Switches on the codecs named (upper case), or the default set.
///
/// Errors: a sentence that names what is not known.
pub fn enable(mut config: RtcConfig, codecs: &[String]) -> Result<RtcConfig, String> {
    let default: Vec<String> = DEFAULT.map(str::to_owned).into();
    for name in if codecs.is_empty() { &default } else { codecs } {
        config = match name.as_str() {
            "H264" => config.enable_h264(true),
            "H265" => config.enable_h265(true),
            "VP8" => config.enable_vp8(true),
            "VP9" => config.enable_vp9(true),
            "AV1" => config.enable_av1(true),
            "OPUS" => config.enable_opus(true, false),
            "PCMU" => config.enable_pcmu(true, false),
            "PCMA" => config.enable_pcma(true, false),
            _ => return Err(format!("unknown codec {name}")),
        };
    }
    Ok(config)
}

/// The name that SDP and W3C use for a codec; none for what carries no frames of its own.
pub fn codec_name(codec: Codec) -> Option<&'static str> {
    Some(match codec {
        Codec::H264 => "H264",
        Codec::H265 => "H265",
        Codec::Vp8 => "VP8",
        Codec::Vp9 => "VP9",
        Codec::Av1 => "AV1",
        Codec::Opus => "opus",
        Codec::PCMU => "PCMU",
        Codec::PCMA => "PCMA",
        _ => return None,
    })
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::SendRecv => "sendrecv",
        Direction::Inactive => "inactive",
    }
}

/// The profile_idc and constraint flags of the first H.264 sequence parameter set in an Annex B
/// access unit, as in `profile-level-id` without its level (RFC 6184 section 8.1).
pub fn h264_profile(unit: &[u8]) -> Option<u16> {
    let mut rest = unit;
    loop {
        let start = rest.windows(3).position(|w| w == [0, 0, 1])?;
        rest = rest.get(start + 3..)?;
        match rest.first()? & 0x1f {
            7 => return Some(u16::from_be_bytes([*rest.get(1)?, *rest.get(2)?])),
            // Parameter sets come before the first slice, and slices are long.
            1..=5 => return None,
            _ => {}
        }
    }
}

/// How well a decoder that was promised `offered` plays `stream` (both: profile_idc, constraint flags).
pub fn h264_fitness(stream: u16, offered: u16) -> u8 {
    let [stream_profile, stream_flags] = stream.to_be_bytes();
    let [offered_profile, offered_flags] = offered.to_be_bytes();
    match () {
        // constraint_set1 on a baseline profile makes it Constrained Baseline.
        () if stream_profile == offered_profile && (stream_flags ^ offered_flags) & 0x40 == 0 => 3,
        () if stream_profile == offered_profile => 2,
        // A decoder for a higher profile plays the lower ones.
        () if offered_profile > stream_profile => 1,
        () => 0,
    }
}

/// The payload type for a frame of `codec`. H.264 only goes out in packetization mode 1, under the
/// profile that is nearest to the stream's own.
fn choose(params: &[PayloadParams], codec: Codec, frame: &[u8]) -> Option<Pt> {
    let of_codec = params.iter().filter(|p| p.spec().codec == codec);
    if codec != Codec::H264 {
        return of_codec.map(PayloadParams::pt).next();
    }
    let stream = h264_profile(frame).unwrap_or(0x42e0);
    of_codec
        .filter(|p| p.spec().format.packetization_mode == Some(1))
        .max_by_key(|p| {
            let offered = p.spec().format.profile_level_id.unwrap_or(0x42_001f);
            h264_fitness(stream, (offered >> 8) as u16)
        })
        .map(PayloadParams::pt)
}

impl Peer {
    fn media_mut(&mut self, mid: Mid) -> Option<&mut Media> {
        self.media.iter_mut().find(|media| media.mid == mid)
    }

    /// The payload parameters negotiated for a media line, in order of preference.
    pub fn negotiated(&self, mid: Mid) -> Vec<PayloadParams> {
        let Some((rtc, media)) = self.rtc.as_ref().and_then(|rtc| Some((rtc, rtc.media(mid)?))) else {
            return Vec::new();
        };
        let all = rtc.codec_config().params().iter();
        all.filter(|params| media.remote_pts().contains(&params.pt())).copied().collect()
    }

    /// Takes up the far end's media lines. str0m tells of them only when SRTP is ready; applications
    /// want them with the answer.
    pub fn adopt_media(&mut self, mids: &[String]) {
        for mid in mids {
            let mid = Mid::from(mid.as_str());
            let usable = self.rtc.as_ref().and_then(|rtc| rtc.media(mid)).is_some_and(|m| !m.disabled());
            if usable && self.media_mut(mid).is_none() {
                self.media.push(Media::new(mid, true));
            }
        }
    }

    pub fn on_media_changed(&mut self, mid: Mid) {
        if let Some(index) = self.media.iter().position(|media| media.mid == mid) {
            self.announce(index);
        }
    }

    pub fn announce_media(&mut self) {
        for index in 0..self.media.len() {
            self.announce(index);
        }
    }

    fn announce(&mut self, index: usize) {
        let (mid, remote) = (self.media[index].mid, self.media[index].remote);
        let Some(media) = self.rtc.as_ref().and_then(|rtc| rtc.media(mid)) else { return };
        let (kind, stopped) = (media.kind(), media.disabled());
        let direction = if stopped { Direction::Inactive } else { media.direction() };
        let mut codecs: Vec<&'static str> = Vec::new();
        for name in self.negotiated(mid).iter().filter_map(|p| codec_name(p.spec().codec)) {
            if !codecs.contains(&name) {
                codecs.push(name);
            }
        }
        let kind = if kind == MediaKind::Audio { "audio" } else { "video" };
        let direction = direction_name(direction);
        let mid = mid.to_string();
        self.tell(Event::Media(MediaState { mid, kind, direction, codecs, remote, stopped }));
    }

    /// Sends one frame. A frame that cannot be sent (nothing negotiated for it, not connected) is dropped.
    pub fn send_frame(&mut self, mid: &str, codec: &str, timestamp: u64, data: Vec<u8>, now: Instant) {
        let mid = Mid::from(mid);
        if self.config.packets || self.forward.sinks.contains(&mid) {
            // Such a line has the forwarder's numbers.
            self.counters.frames_dropped += 1;
            return;
        }
        let params = self.negotiated(mid);
        let Some(media) = self.media.iter_mut().find(|media| media.mid == mid) else { return };
        let named = |p: &&PayloadParams| {
            codec_name(p.spec().codec)
                .is_some_and(|name| codec.is_empty() || name.eq_ignore_ascii_case(codec))
        };
        let Some(spec) = params.iter().find(named).map(PayloadParams::spec) else {
            self.counters.frames_dropped += 1;
            return;
        };
        let keyframe = spec.codec == Codec::H264 && h264_profile(&data).is_some();
        let known = media.payload.filter(|(codec, _)| *codec == spec.codec && !keyframe);
        let pt = known.map(|(_, pt)| pt).or_else(|| choose(&params, spec.codec, &data));
        let (Some(pt), Some(writer)) = (pt, self.rtc.as_mut().and_then(|rtc| rtc.writer(mid))) else {
            self.counters.frames_dropped += 1;
            return;
        };
        media.payload = Some((spec.codec, pt));
        media.frames_sent += 1;
        let frequency = if spec.codec.is_audio() { spec.clock_rate } else { Frequency::NINETY_KHZ };
        if let Err(error) = writer.write(pt, now, MediaTime::new(timestamp, frequency), data) {
            tracing::debug!(peer = self.shared.id, %error, "frame");
            self.counters.frames_dropped += 1;
        }
        // A frame is made into packets by the next timeout.
        self.advance(now);
    }

    pub fn on_frame(&mut self, received: MediaData) {
        let spec = received.params.spec();
        let Some(codec) = codec_name(spec.codec) else { return };
        let frame = Frame {
            mid: received.mid.to_string(),
            codec,
            timestamp: received.time.numer(),
            // A packet of sound is decodable by itself.
            keyframe: received.is_keyframe() || spec.codec.is_audio(),
            contiguous: received.contiguous,
            data: received.data,
        };
        let in_pieces = spec.codec == Codec::H265;
        let Some(media) = self.media_mut(received.mid) else { return };
        let whole = if in_pieces { media.pieces.take(frame) } else { Some(frame) };
        if let Some(frame) = whole {
            self.hand_over(received.mid, frame);
        }
    }

    fn hand_over(&mut self, mid: Mid, frame: Frame) {
        let full = self.shared.frames_waiting.load(SeqCst) > MOST_WAITING;
        let Some(media) = self.media_mut(mid) else { return };
        media.frames_received += 1;
        media.keyframes_received += u64::from(frame.keyframe);
        media.broken = full || (media.broken && !frame.keyframe);
        if media.broken {
            media.frames_dropped += 1;
            return;
        }
        self.shared.frames_waiting.fetch_add(frame.data.len(), SeqCst);
        self.tell(Event::Frame(frame));
    }

    pub fn on_keyframe_request(&mut self, mid: Mid) {
        if self.forward.takes_ask(mid) {
            return;
        }
        let now = Instant::now();
        let Some(media) = self.media_mut(mid) else { return };
        if media.asked.is_some_and(|asked| now < asked + KEYFRAME_REQUESTS_APART) {
            return;
        }
        media.asked = Some(now);
        self.tell(Event::KeyframeRequest { mid: mid.to_string() });
    }

    /// PLI (RFC 4585), which says that a picture is lost, unless the far end takes only FIR (RFC 5104).
    pub fn keyframe_request_kind(&self, mid: Mid) -> KeyframeRequestKind {
        let fir_alone = self.media.iter().any(|media| media.mid == mid && media.fir_alone);
        if fir_alone { KeyframeRequestKind::Fir } else { KeyframeRequestKind::Pli }
    }

    /// Asks the far end for a keyframe, by PLI where negotiated, else by FIR (RFC 4585, RFC 5104).
    pub fn request_keyframe(&mut self, mid: &str, now: Instant) {
        self.advance(now);
        if self.config.packets {
            return self.ask_source(Mid::from(mid), None, now);
        }
        let kind = self.keyframe_request_kind(Mid::from(mid));
        let Some(mut writer) = self.rtc.as_mut().and_then(|rtc| rtc.writer(Mid::from(mid))) else { return };
        if let Err(error) = writer.request_keyframe(None, kind) {
            tracing::debug!(peer = self.shared.id, %error, "keyframe request");
        }
        self.drain();
        // The request is made into RTCP by the next timeout.
        self.advance(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_read_from_the_parameter_set() {
        let unit = [0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x67, 0x64, 0x00, 0x1f, 0, 0, 1, 0x68, 1];
        assert_eq!(h264_profile(&unit), Some(0x6400));
        assert_eq!(h264_profile(&[0, 0, 1, 0x65, 1, 2, 3]), None);
        assert_eq!(h264_profile(&[0, 0, 1, 0x67]), None);
    }

    #[test]
    fn the_nearest_profile_wins() {
        let high = 0x6400;
        let constrained_baseline = 0x42e0;
        assert!(h264_fitness(high, 0x6400) > h264_fitness(high, 0x4d00));
        assert!(h264_fitness(constrained_baseline, 0x42e0) > h264_fitness(constrained_baseline, 0x4200));
        assert!(h264_fitness(constrained_baseline, 0x4200) > h264_fitness(constrained_baseline, 0x6400));
        assert!(h264_fitness(0x4d40, 0x6400) > h264_fitness(0x4d40, 0x42e0));
    }

    #[test]
    fn unknown_codecs_are_named() {
        let error = enable(RtcConfig::new(), &["H263".to_owned()]).unwrap_err();
        assert!(error.contains("H263"));
    }
}
