//! How many channel bytes of one connection may be on their way: what its path holds, within bounds.
//!
//! What is unacknowledged inside SCTP bounds a round trip. Over a long fast path the least of it is too
//! little; over a slow one more would only be a longer queue before everything else that is sent. So the room
//! follows what the far end acknowledged in a while and the round trip of a path that was quiet.

use std::time::{Duration, Instant};

/// The least room, which fills 35 MB/s at 30 ms.
pub const LEAST: usize = 1 << 20;
/// The most: what our own end takes as a receiver as well.
pub const MOST: usize = 4 << 20;
/// What `send` may fill up again at a time: each time wakes Python.
pub const STEP: usize = 256 << 10;
/// One look takes at least so long.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What one connection's channels have been seen to carry.
pub struct Window {
    began: Instant,
    acknowledged: u64,
    /// Bytes that may be on their way, inside SCTP and of each channel before its `send` waits.
    pub room: usize,
    /// Where such a `send` goes on: early enough that the path never runs dry meanwhile.
    pub low: usize,
}

impl Window {
    pub fn new(now: Instant) -> Self {
        Self { began: now, acknowledged: 0, room: LEAST, low: STEP }
    }

    /// The far end has acknowledged so many bytes more. Returns whether it is time to `fit`.
    pub fn note(&mut self, acknowledged: u64, now: Instant) -> bool {
        self.acknowledged += acknowledged;
        now.saturating_duration_since(self.began) >= LOOK_EVERY
    }

    /// Takes what was noted since the last time. `round_trip` is that of the path without a queue.
    ///
    /// Twice what was under way at that rate: with once, the rate could never be seen to grow.
    pub fn fit(&mut self, round_trip: Option<Duration>, now: Instant) {
        let passed = now.saturating_duration_since(self.began);
        let under_way =
            self.acknowledged as f64 / passed.as_secs_f64() * round_trip.unwrap_or_default().as_secs_f64();
        let under_way = under_way as usize;
        self.room = (2 * under_way).clamp(LEAST, MOST);
        self.low = (under_way + STEP).min(self.room - STEP);
        (self.began, self.acknowledged) = (now, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Option<Duration> = Some(Duration::from_millis(100));

    /// The room and the low mark after a second at `rate` bytes a second.
    fn after(rate: u64, round_trip: Option<Duration>) -> (usize, usize) {
        let start = Instant::now();
        let mut window = Window::new(start);
        for tenth in 1..=10 {
            let now = start + tenth * LOOK_EVERY;
            assert!(window.note(rate / 10, now));
            window.fit(round_trip, now);
        }
        (window.room, window.low)
    }

    #[test]
    fn a_slow_path_and_a_short_one_have_the_least() {
        assert_eq!(after(1_000_000, ROUND_TRIP), (LEAST, 100_000 + STEP));
        assert_eq!(after(100_000_000, Some(Duration::from_micros(200))), (LEAST, 20_000 + STEP));
        assert_eq!(after(100_000_000, None), (LEAST, STEP));
    }

    #[test]
    fn a_long_fast_path_has_twice_what_is_under_way_and_never_more_than_the_most() {
        assert_eq!(after(10_000_000, ROUND_TRIP), (2_000_000, 1_000_000 + STEP));
        assert_eq!(after(100_000_000, ROUND_TRIP), (MOST, MOST - STEP));
    }

    #[test]
    fn a_pause_gives_the_room_back() {
        let start = Instant::now();
        let mut window = Window::new(start);
        assert!(window.note(1_000_000, start + LOOK_EVERY));
        window.fit(ROUND_TRIP, start + LOOK_EVERY);
        assert!(!window.note(1_000_000, start + LOOK_EVERY + LOOK_EVERY / 2));
        assert!(window.note(1, start + 20 * LOOK_EVERY));
        window.fit(ROUND_TRIP, start + 20 * LOOK_EVERY);
        assert_eq!(window.room, LEAST);
    }
}
