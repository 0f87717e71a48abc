//! Messages out of a stream: STUN by its length, ChannelData by its length and padding.

use super::wire::{CHANNEL_HEADER, COOKIE, HEADER};

/// What came is neither STUN nor ChannelData, or larger than it may be: nothing after it can be told.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

/// Cuts a stream into messages (RFC 8489 section 6.2.2, RFC 8656 section 12.5).
#[derive(Default)]
pub struct Framer {
    /// A message that has not come whole.
    begun: Vec<u8>,
}

impl Framer {
    /// Whether a message has begun that is not whole.
    pub fn is_half(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Takes what came, and hands on each whole message, ChannelData without its padding.
    pub fn take(&mut self, mut bytes: &[u8], most: usize, mut each: impl FnMut(&[u8])) -> Result<(), Broken> {
        // First what has begun, without copying more than belongs to it.
        while self.is_half() && !bytes.is_empty() {
            let missing = match size(&self.begun, most)? {
                Size::Known { padded, .. } => padded - self.begun.len(),
                Size::Unknown { head } => head - self.begun.len(),
            };
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.begun.extend_from_slice(now);
            bytes = later;
            if let Size::Known { length, padded } = size(&self.begun, most)?
                && self.begun.len() == padded
            {
                each(&self.begun[..length]);
                self.begun.clear();
            }
        }
        while !bytes.is_empty() {
            match size(bytes, most)? {
                Size::Known { length, padded } if padded <= bytes.len() => {
                    each(&bytes[..length]);
                    bytes = &bytes[padded..];
                }
                _ => {
                    self.begun.extend_from_slice(bytes);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Gives memory back that a large message took.
    pub fn shrink(&mut self) {
        if self.begun.is_empty() {
            self.begun = Vec::new();
        }
    }
}

/// The length of the first of messages that follow one another, each whole, with its padding.
pub fn first(messages: &[u8]) -> usize {
    match size(messages, usize::MAX) {
        Ok(Size::Known { padded, .. }) => padded.min(messages.len()),
        _ => messages.len(),
    }
}

enum Size {
    /// Told by so many bytes at the beginning.
    Unknown {
        head: usize,
    },
    Known {
        length: usize,
        padded: usize,
    },
}

// Channels by the range of RFC 5766, which coturn's tester still uses.
fn size(bytes: &[u8], most: usize) -> Result<Size, Broken> {
    let length = |rest: &[u8; 2]| usize::from(u16::from_be_bytes(*rest));
    let (length, padded) = match bytes {
        [0x00..=0x03, _, a, b, cookie @ ..] => {
            let length = length(&[*a, *b]);
            let seen = cookie.len().min(COOKIE.len());
            if length % 4 != 0 || cookie[..seen] != COOKIE[..seen] {
                return Err(Broken);
            }
            (HEADER + length, HEADER + length)
        }
        [0x00..=0x03, ..] => return Ok(Size::Unknown { head: CHANNEL_HEADER }),
        [0x40..=0x7f, _, a, b, ..] => {
            let length = CHANNEL_HEADER + length(&[*a, *b]);
            (length, length.next_multiple_of(4))
        }
        [0x40..=0x7f, ..] => return Ok(Size::Unknown { head: CHANNEL_HEADER }),
        _ => return Err(Broken),
    };
    if padded > most {
        return Err(Broken);
    }
    Ok(Size::Known { length, padded })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 65_535;

    fn stun(length: u16) -> Vec<u8> {
        let mut message = vec![0, 1];
        message.extend(length.to_be_bytes());
        message.extend(COOKIE);
        message.extend(vec![7; 12 + usize::from(length)]);
        message
    }

    fn data(payload: usize, pad: bool) -> Vec<u8> {
        let mut message = vec![0x40, 1];
        message.extend((payload as u16).to_be_bytes());
        message.extend(vec![9; payload]);
        if pad {
            message.resize(message.len().next_multiple_of(4), 0);
        }
        message
    }

    #[test]
    fn every_way_to_cut_a_stream_gives_the_same_messages() {
        let wanted = [stun(0), data(5, false), data(0, false), stun(1200), data(1201, false), data(3, false)];
        let stream =
            [stun(0), data(5, true), data(0, true), stun(1200), data(1201, true), data(3, true)].concat();
        for step in (1..70).chain([1000, stream.len()]) {
            let (mut framer, mut found) = (Framer::default(), Vec::new());
            for piece in stream.chunks(step) {
                framer.take(piece, MOST, |message| found.push(message.to_vec())).unwrap();
            }
            assert_eq!(found, wanted, "in pieces of {step}");
            assert!(!framer.is_half());
        }
    }

    #[test]
    fn what_is_no_message_is_told_by_its_first_wrong_byte() {
        for wrong in [&[0x04][..], &[0x16], &[0x80], &[0xff], &[0, 1, 0, 2], &[0, 1, 0, 0, 0x21, 0x13]] {
            for step in 1..=wrong.len() {
                let mut framer = Framer::default();
                let outcome: Result<(), Broken> = wrong
                    .chunks(step)
                    .try_for_each(|piece| framer.take(piece, MOST, |_| panic!("a message")));
                assert_eq!(outcome, Err(Broken), "{wrong:?} in pieces of {step}");
            }
        }
    }

    #[test]
    fn more_than_the_most_is_refused_by_its_header() {
        for (head, most) in [(&data(65_532, false)[..4], 4096), (&stun(65_532)[..4], 4096)] {
            assert_eq!(Framer::default().take(head, most, |_| ()), Err(Broken));
        }
        let mut framer = Framer::default();
        assert_eq!(framer.take(&data(4092, false), 4096, |_| ()), Ok(()));
        assert!(!framer.is_half());
    }
}
