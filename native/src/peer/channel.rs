//! Data channels: what waits to be sent, and the counters that both threads see.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use str0m::Rtc;
use str0m::channel::{ChannelConfig, ChannelId};

use crate::peer::window;

/// Bytes that one channel may hold unsent and unacknowledged; beyond it `send` is refused.
pub const MOST_BUFFERED: u64 = 64 << 20;

/// Counters of one channel, shared by the engine (writes `released`, the totals) and Python (writes `accepted`).
#[derive(Default)]
pub struct Gauge {
    pub key: u64,
    /// Bytes handed to the engine, ever.
    pub accepted: AtomicU64,
    /// Bytes that are not ours to hold any more: acknowledged by the far end, or dropped with the channel.
    pub released: AtomicU64,
    /// Somebody waits until the buffered amount is at most `low`.
    pub waiting: AtomicBool,
    pub low: AtomicUsize,
    /// Above so many bytes on their way `send` waits, down to so many; `Window` says how many.
    pub high_water: AtomicUsize,
    pub low_water: AtomicUsize,
    pub messages_sent: AtomicU64,
    pub bytes_sent: AtomicU64,
    pub messages_received: AtomicU64,
    pub bytes_received: AtomicU64,
}

impl Gauge {
    pub fn new(key: u64) -> Self {
        Self {
            key,
            high_water: AtomicUsize::new(window::LEAST),
            low_water: AtomicUsize::new(window::STEP),
            ..Self::default()
        }
    }

    /// Bytes handed over by `send` that the far end has not acknowledged.
    pub fn buffered(&self) -> u64 {
        self.accepted.load(Relaxed).saturating_sub(self.released.load(Relaxed))
    }
}

/// One message that waits for room in SCTP.
pub struct Message {
    pub binary: bool,
    pub data: Vec<u8>,
}

/// The engine's side of one channel.
pub struct Channel {
    pub gauge: Arc<Gauge>,
    pub config: ChannelConfig,
    /// Known once str0m has made the channel.
    pub id: Option<ChannelId>,
    pub open: bool,
    /// The far end made it.
    pub remote: bool,
    /// The SCTP stream identifier, once open.
    pub stream: Option<u16>,
    outgoing: VecDeque<Message>,
    outgoing_bytes: u64,
    /// Bytes that came to us through the command queue, ever.
    taken: u64,
}

impl Channel {
    pub fn new(gauge: Arc<Gauge>, config: ChannelConfig, remote: bool) -> Self {
        Self {
            gauge,
            config,
            id: None,
            open: false,
            remote,
            stream: None,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            taken: 0,
        }
    }

    /// Queues a message behind those that wait already.
    pub fn queue(&mut self, message: Message) {
        self.taken += message.data.len() as u64;
        self.outgoing_bytes += message.data.len() as u64;
        self.outgoing.push_back(message);
    }

    /// Offers the oldest waiting message to SCTP. True if it was taken, so that the caller drains
    /// str0m and comes back; false when there is none, or no room.
    ///
    /// Errors: str0m's words, when the channel cannot send any more.
    pub fn write_one(&mut self, rtc: &mut Rtc) -> Result<bool, String> {
        let (Some(id), true, Some(message)) = (self.id, self.open, self.outgoing.front()) else {
            return Ok(false);
        };
        let Some(mut channel) = rtc.channel(id) else {
            return Ok(false);
        };
        let written = channel.write(message.binary, &message.data);
        if written.as_ref().is_ok_and(|taken| !taken) {
            return Ok(false);
        }
        let length = message.data.len() as u64;
        self.outgoing.pop_front();
        self.outgoing_bytes -= length;
        written.map_err(|error| error.to_string())?;
        self.gauge.messages_sent.fetch_add(1, Relaxed);
        self.gauge.bytes_sent.fetch_add(length, Relaxed);
        Ok(true)
    }

    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// True while something of ours is on its way; an empty message has no bytes to count.
    pub fn busy(&self) -> bool {
        self.has_outgoing() || self.taken > self.gauge.released.load(Relaxed)
    }

    /// Brings the gauge up to date. True if a waiter is to be told that the buffered amount is low.
    pub fn measure(&mut self, rtc: &mut Rtc) -> bool {
        let inside = self.id.and_then(|id| rtc.channel(id)).map_or(0, |mut c| c.buffered_amount());
        self.release(self.outgoing_bytes + inside as u64)
    }

    /// The channel is gone: nothing is held any more. True if a waiter is to be told.
    pub fn drop_outgoing(&mut self) -> bool {
        self.outgoing.clear();
        self.outgoing_bytes = 0;
        self.release(0)
    }

    fn release(&mut self, held: u64) -> bool {
        self.gauge.released.store(self.taken.saturating_sub(held), Relaxed);
        let low = self.gauge.low.load(Relaxed) as u64;
        self.gauge.buffered() <= low && self.gauge.waiting.swap(false, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> Channel {
        Channel::new(Arc::new(Gauge::new(1)), ChannelConfig::default(), false)
    }

    fn send(channel: &mut Channel, length: usize) {
        channel.gauge.accepted.fetch_add(length as u64, Relaxed);
        channel.queue(Message { binary: true, data: vec![0; length] });
    }

    #[test]
    fn buffered_amount_counts_what_was_handed_over() {
        let mut channel = channel();
        send(&mut channel, 100);
        assert_eq!(channel.gauge.buffered(), 100);
        assert!(channel.busy());
        channel.drop_outgoing();
        assert_eq!(channel.gauge.buffered(), 0);
        assert!(!channel.busy());
    }

    #[test]
    fn a_waiter_is_told_once_and_only_below_the_mark() {
        let mut channel = channel();
        channel.gauge.low.store(50, Relaxed);
        send(&mut channel, 100);
        channel.gauge.waiting.store(true, Relaxed);
        assert!(!channel.release(60));
        assert!(channel.release(50));
        assert!(!channel.release(10));
    }
}
