//! The outgoing side of a line that is forwarded to: one unbroken RTP stream, whatever it is made of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::Pt;
use str0m::rtp::{ExtensionValues, RtpWrite, Vp8Descriptor, Vp8Patch};

use super::stream::Unit;

/// A new stream follows the one before it by a frame at least.
const A_FRAME: Duration = Duration::from_millis(33);

/// Sequence numbers, timestamps and VP8's picture numbers. It outlives the forwarding, so that the next one
/// on this line goes on where it ended.
#[derive(Clone, Default)]
pub struct Outgoing {
    next: u64,
    /// What is added to the source's times, modulo 2**64.
    shift: u64,
    last: Option<(u64, Instant)>,
    picture: u16,
    base_layer: u8,
    base_layer_in: Option<u8>,
}

impl Outgoing {
    /// Another stream begins with `unit`, and is `behind` already.
    pub fn attach(&mut self, unit: &Unit, behind: Duration, clock_rate: u32, now: Instant) {
        if let Some((time, at)) = self.last {
            let passed = now.saturating_duration_since(at).saturating_sub(behind).max(A_FRAME);
            let ticks = (passed.as_secs_f64() * f64::from(clock_rate)) as u64;
            self.shift = time.wrapping_add(ticks).wrapping_sub(unit.time);
        }
    }

    /// The packet as this line sends it.
    pub fn write(&mut self, unit: &Unit, pt: Pt, audio: bool, now: Instant) -> RtpWrite {
        // A hole shows the viewer's decoder that something is missing.
        let number = self.next + u64::from(unit.gap && self.last.is_some());
        self.next = number + 1;
        let time = unit.time.wrapping_add(self.shift);
        self.last = Some((time, now));
        let values = ExtensionValues {
            video_orientation: unit.orientation,
            audio_level: unit.audio_level,
            voice_activity: unit.voice,
            ..ExtensionValues::default()
        };
        let write = RtpWrite::new(pt, number.into(), time as u32, now, Arc::clone(&unit.payload))
            .marker(unit.marker)
            .nackable(!audio)
            .ext_vals(values);
        match unit.vp8.as_ref().and_then(|descriptor| self.patch(descriptor, unit.first)) {
            Some(patch) => write.vp8_patch(patch),
            None => write,
        }
    }

    /// Frames that were left out must not show in VP8's picture numbers: receivers would wait for them.
    fn patch(&mut self, descriptor: &Vp8Descriptor, first: bool) -> Option<Vp8Patch> {
        descriptor.picture_id()?;
        if first {
            self.picture = self.picture.wrapping_add(1);
            let base_layer = descriptor.tl0_pic_idx();
            if base_layer != self.base_layer_in {
                self.base_layer = self.base_layer.wrapping_add(1);
                self.base_layer_in = base_layer;
            }
        }
        let build = |picture| {
            let patch = descriptor.patch().picture_id(picture);
            let patch =
                if descriptor.tl0_pic_idx().is_some() { patch.tl0_pic_idx(self.base_layer) } else { patch };
            patch.build().ok()
        };
        // The source's descriptor has room for 15 bits or for 7.
        build(self.picture & 0x7fff).or_else(|| build(self.picture & 0x7f))
    }
}
