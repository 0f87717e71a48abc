//! What a forwarder has to know of a packet, read from its payload: where frames start, which of them can
//! be decoded by themselves, and which of them nobody needs.

use str0m::format::Codec;

/// What the first packets of a frame tell about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// Decodable without anything before it.
    pub keyframe: bool,
    /// 0: everything rests on it. Frames of a higher tier can be left out without harm to those below: the
    /// temporal layer, or 1 where the frame is only marked as no reference for others.
    pub tier: u8,
    /// From here on this tier can be decoded though its frames were left out before.
    pub sync: bool,
}

impl Class {
    const KEYFRAME: Class = Class { keyframe: true, tier: 0, sync: true };

    fn delta(tier: u8, sync: bool) -> Self {
        Self { keyframe: false, tier, sync }
    }
}

/// Reads the class of a frame from a payload in it. None: this payload does not say (parameter sets for
/// the decoder's information, a later fragment), one that follows may.
pub fn classify(codec: Codec, payload: &[u8]) -> Option<Class> {
    match codec {
        Codec::H264 => h264(payload),
        Codec::H265 => h265(payload),
        Codec::Vp8 => vp8(payload),
        Codec::Vp9 => vp9(payload),
        Codec::Av1 => av1(payload),
        // Audio: every packet stands by itself.
        _ => Some(Class::KEYFRAME),
    }
}

/// RFC 6184 section 5.3: nal_ref_idc 0 marks a picture that no other refers to.
fn h264(payload: &[u8]) -> Option<Class> {
    let unit = |header: u8, kind: u8| match kind {
        5 | 7 => Some(Class::KEYFRAME),
        1..=4 if header & 0x60 == 0 => Some(Class::delta(1, true)),
        1..=4 => Some(Class::delta(0, true)),
        _ => None,
    };
    let header = *payload.first()?;
    match header & 0x1f {
        // STAP-A: 16-bit lengths before each unit.
        24 => aggregated(payload.get(1..)?, |nal| unit(nal[0], nal[0] & 0x1f)),
        // FU-A: the header has the reference bits, the second octet the type.
        28 => unit(header, payload.get(1)? & 0x1f),
        kind => unit(header, kind),
    }
}

/// RFC 7798 section 4.4; the types are those of H.265 table 7-1.
fn h265(payload: &[u8]) -> Option<Class> {
    let unit = |header: [u8; 2], kind: u8| {
        let temporal = (header[1] & 7).saturating_sub(1);
        match kind {
            16..=21 | 32 | 33 => Some(Class::KEYFRAME),
            // Even types below 16 are referred to by nobody in their own layer; 2 to 5 are switching points.
            0..=15 if kind.is_multiple_of(2) && temporal == 0 => Some(Class::delta(1, true)),
            0..=15 => Some(Class::delta(temporal, temporal == 0 || (2..=5).contains(&kind))),
            _ => None,
        }
    };
    let header = [*payload.first()?, *payload.get(1)?];
    match (header[0] >> 1) & 0x3f {
        48 => aggregated(payload.get(2..)?, |nal| unit([nal[0], *nal.get(1)?], (nal[0] >> 1) & 0x3f)),
        49 => unit(header, payload.get(2)? & 0x3f),
        kind => unit(header, kind),
    }
}

/// The strongest word of the units in an aggregation packet: a keyframe's, else the first.
fn aggregated(mut rest: &[u8], unit: impl Fn(&[u8]) -> Option<Class>) -> Option<Class> {
    let mut found: Option<Class> = None;
    while let [high, low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let nal = tail.get(..length).filter(|nal| !nal.is_empty())?;
        if let Some(class) = unit(nal) {
            if class.keyframe {
                return Some(class);
            }
            found = found.or(Some(class));
        }
        rest = &tail[length..];
    }
    found
}

/// RFC 7741 section 4.2.
fn vp8(payload: &[u8]) -> Option<Class> {
    let first = *payload.first()?;
    if first & 0x17 != 0x10 {
        // Not the start of the first partition.
        return None;
    }
    let mut at = 1;
    let (mut tier, mut sync) = (0, true);
    if first & 0x80 != 0 {
        let present = *payload.get(1)?;
        at = 2;
        if present & 0x80 != 0 {
            at += if *payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(present & 0x40 != 0);
        if present & 0x30 != 0 {
            let octet = *payload.get(at)?;
            at += 1;
            if present & 0x20 != 0 {
                tier = octet >> 6;
                sync = tier == 0 || octet & 0x20 != 0;
            }
        }
    }
    if payload.get(at)? & 1 == 0 {
        return Some(Class::KEYFRAME);
    }
    // N: nothing refers to this frame.
    let droppable = first & 0x20 != 0 && tier == 0;
    Some(Class::delta(if droppable { 1 } else { tier }, sync))
}

/// RFC 9628 section 4.2. A picture of several spatial layers is one frame here.
fn vp9(payload: &[u8]) -> Option<Class> {
    let first = *payload.first()?;
    if first & 0x08 == 0 {
        return None;
    }
    let mut at = 1;
    if first & 0x80 != 0 {
        at += if *payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    let layers = if first & 0x20 != 0 { *payload.get(at)? } else { 0 };
    if first & 0x40 == 0 && (layers >> 1) & 7 == 0 {
        return Some(Class::KEYFRAME);
    }
    let tier = layers >> 5;
    Some(Class::delta(tier, tier == 0 || layers & 0x10 != 0))
}

/// The AV1 RTP payload format, section 4.4: N marks a new coded video sequence; the layer is in the OBU's
/// own extension header.
fn av1(payload: &[u8]) -> Option<Class> {
    let aggregation = *payload.first()?;
    if aggregation & 0x80 != 0 {
        return None;
    }
    if aggregation & 0x08 != 0 {
        return Some(Class::KEYFRAME);
    }
    let count = (aggregation >> 4) & 3;
    let mut rest = payload.get(1..)?;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let (length, size) = if number == count { (rest.len(), 0) } else { leb128(rest)? };
        let obu = rest.get(size..)?;
        let header = *obu.first()?;
        // Frame headers and frames.
        if matches!((header >> 3) & 15, 3 | 6) {
            let tier = if header & 4 != 0 { obu.get(1)? >> 5 } else { 0 };
            return Some(Class::delta(tier, tier == 0));
        }
        rest = obu.get(length..).unwrap_or_default();
    }
    None
}

/// A little-endian base-128 number, and how many octets it took.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(tier: u8, sync: bool) -> Option<Class> {
        Some(Class::delta(tier, sync))
    }

    const KEY: Option<Class> = Some(Class::KEYFRAME);

    #[test]
    fn nothing_breaks_it() {
        let mut state = 1_u32;
        let mut octet = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for _ in 0..200_000 {
            let payload: Vec<u8> = (0..octet() % 24).map(|_| octet()).collect();
            for codec in [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus] {
                let class = classify(codec, &payload).unwrap_or_default();
                assert!(class.tier < 8, "{codec:?} {payload:?}");
            }
        }
    }

    #[test]
    fn h264_by_type_and_reference_bits() {
        assert_eq!(classify(Codec::H264, &[0x65, 0x88]), KEY);
        assert_eq!(classify(Codec::H264, &[0x67, 0x42]), KEY);
        assert_eq!(classify(Codec::H264, &[0x61, 0x9a]), delta(0, true));
        assert_eq!(classify(Codec::H264, &[0x01, 0x9a]), delta(1, true));
        // An access unit delimiter and an SEI message say nothing.
        assert_eq!(classify(Codec::H264, &[0x09, 0xf0]), None);
        assert_eq!(classify(Codec::H264, &[0x06, 0x05]), None);
        // FU-A of an IDR slice, of a picture that nobody refers to.
        assert_eq!(classify(Codec::H264, &[0x7c, 0x85]), KEY);
        assert_eq!(classify(Codec::H264, &[0x1c, 0x81]), delta(1, true));
        // STAP-A: SEI and a slice; SEI and parameter sets.
        assert_eq!(classify(Codec::H264, &[0x18, 0, 1, 6, 0, 2, 0x41, 1]), delta(0, true));
        assert_eq!(classify(Codec::H264, &[0x18, 0, 1, 6, 0, 2, 0x67, 1, 0, 1, 0x68]), KEY);
        // Lengths beyond the end, nothing at all.
        assert_eq!(classify(Codec::H264, &[0x18, 0, 9, 6]), None);
        assert_eq!(classify(Codec::H264, &[]), None);
    }

    #[test]
    fn h265_by_type_and_layer() {
        assert_eq!(classify(Codec::H265, &[19 << 1, 1, 0]), KEY);
        assert_eq!(classify(Codec::H265, &[49 << 1, 1, 0x80 | 20]), KEY);
        assert_eq!(classify(Codec::H265, &[1 << 1, 1, 0]), delta(0, true));
        assert_eq!(classify(Codec::H265, &[0, 1, 0]), delta(1, true));
        assert_eq!(classify(Codec::H265, &[1 << 1, 2, 0]), delta(1, false));
        assert_eq!(classify(Codec::H265, &[3 << 1, 2, 0]), delta(1, true));
    }

    #[test]
    fn vp8_by_descriptor() {
        assert_eq!(classify(Codec::Vp8, &[0x10, 0]), KEY);
        assert_eq!(classify(Codec::Vp8, &[0x10, 1]), delta(0, true));
        assert_eq!(classify(Codec::Vp8, &[0x30, 1]), delta(1, true));
        // Picture number of 15 bits, TL0PICIDX, layer 2 without and with Y.
        assert_eq!(classify(Codec::Vp8, &[0x90, 0xe0, 0x80, 1, 7, 0x80, 1]), delta(2, false));
        assert_eq!(classify(Codec::Vp8, &[0x90, 0xe0, 0x80, 1, 7, 0xa0, 1]), delta(2, true));
        // Another partition, and one cut short.
        assert_eq!(classify(Codec::Vp8, &[0x11, 0]), None);
        assert_eq!(classify(Codec::Vp8, &[0x90, 0xe0, 0x80]), None);
    }

    #[test]
    fn vp9_by_descriptor() {
        assert_eq!(classify(Codec::Vp9, &[0x88, 0x80, 1]), KEY);
        assert_eq!(classify(Codec::Vp9, &[0xe8, 0x80, 1, 0x00]), delta(0, true));
        assert_eq!(classify(Codec::Vp9, &[0xe8, 0x80, 1, 0x40]), delta(2, false));
        assert_eq!(classify(Codec::Vp9, &[0xe8, 0x80, 1, 0x50]), delta(2, true));
        // Predicted from its own lower spatial layer only: not a start by itself.
        assert_eq!(classify(Codec::Vp9, &[0xa8, 0x80, 1, 0x02]), delta(0, true));
    }

    #[test]
    fn av1_by_sequence_and_extension() {
        assert_eq!(classify(Codec::Av1, &[0x18, 0x0a]), KEY);
        assert_eq!(classify(Codec::Av1, &[0x10, 6 << 3, 1]), delta(0, true));
        assert_eq!(classify(Codec::Av1, &[0x10, (6 << 3) | 4, 1 << 5, 1]), delta(1, false));
        // A tile list before the frame; a fragment's rest.
        assert_eq!(classify(Codec::Av1, &[0x20, 2, 5 << 3, 0, (3 << 3) | 4, 2 << 5]), delta(2, false));
        assert_eq!(classify(Codec::Av1, &[0x90, 6 << 3]), None);
    }
}
