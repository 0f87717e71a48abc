//! H.265 pictures put together again. str0m 0.25 takes the last fragment of any NAL unit (RFC 7798 section
//! 4.4.3) for the end of its picture, so that a picture of several large units comes in pieces that share a
//! timestamp. It is whole when the next one begins.

use crate::engine::event::Frame;

#[derive(Default)]
pub struct Pieces(Option<Frame>);

impl Pieces {
    /// Takes what came; returns the picture before it, where this begins another.
    pub fn take(&mut self, piece: Frame) -> Option<Frame> {
        match &mut self.0 {
            Some(picture) if picture.timestamp == piece.timestamp => {
                picture.data = [&*picture.data, &*piece.data].concat().into();
                picture.keyframe |= piece.keyframe;
                picture.contiguous &= piece.contiguous;
                None
            }
            waiting => waiting.replace(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(timestamp: u64, keyframe: bool, contiguous: bool, data: &[u8]) -> Frame {
        Frame { mid: "0".to_owned(), codec: "H265", timestamp, keyframe, contiguous, data: data.into() }
    }

    #[test]
    fn what_shares_a_timestamp_is_one_picture() {
        let mut pieces = Pieces::default();
        assert!(pieces.take(piece(0, false, true, b"parameters")).is_none());
        assert!(pieces.take(piece(0, true, true, b" slice")).is_none());
        let picture = pieces.take(piece(3000, false, false, b"next")).unwrap();
        assert_eq!(&*picture.data, b"parameters slice");
        assert!(picture.keyframe && picture.contiguous);
        assert!(pieces.take(piece(3000, false, true, b"!")).is_none());
        let picture = pieces.take(piece(6000, true, true, b"")).unwrap();
        assert_eq!(&*picture.data, b"next!");
        assert!(!picture.contiguous);
    }
}
