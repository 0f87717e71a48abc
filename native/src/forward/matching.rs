//! Which of a viewer's payload types a source's packets go out under.

use str0m::format::{Codec, PayloadParams};
use str0m::media::Pt;

use super::stream::Unit;
use crate::peer::media::{h264_fitness, h264_profile};

/// The payload type for the source's format among those negotiated with a viewer. None: it has none.
pub fn match_payload(viewer: &[PayloadParams], source: &PayloadParams, unit: &Unit) -> Option<Pt> {
    let spec = source.spec();
    let mut of_codec = viewer.iter().filter(|p| p.spec().codec == spec.codec);
    match spec.codec {
        Codec::H264 => {
            // Packets of mode 0 are valid in mode 1, not the other way round (RFC 6184 section 6).
            let mode = spec.format.packetization_mode.unwrap_or(0);
            let offered =
                |p: &PayloadParams| (p.spec().format.profile_level_id.unwrap_or(0x42_001f) >> 8) as u16;
            let named = offered(source);
            let profile = parameter_set(&unit.payload).unwrap_or(named);
            of_codec
                .filter(|p| p.spec().format.packetization_mode.unwrap_or(0) >= mode)
                .max_by_key(|p| h264_fitness(profile, offered(p)))
                .map(PayloadParams::pt)
        }
        Codec::Vp9 => {
            let profile = |p: &PayloadParams| p.spec().format.profile_id.unwrap_or(0);
            of_codec.find(|p| profile(p) == profile(source)).map(PayloadParams::pt)
        }
        _ => of_codec.next().map(PayloadParams::pt),
    }
}

/// The profile in a sequence parameter set that is sent alone or first in an aggregation packet.
fn parameter_set(payload: &[u8]) -> Option<u16> {
    let nal = match payload.first()? & 0x1f {
        7 => payload,
        24 => payload.get(3..)?,
        _ => return None,
    };
    h264_profile(&[&[0, 0, 1], nal.get(..nal.len().min(8))?].concat())
}
