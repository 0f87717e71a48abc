//! What the engine and the libraries under it have to say (`tracing`), on its way to Python's logging.
//!
//! Native threads never run Python: records wait in a queue, and the event loop whose mailbox was made last takes
//! them with its events. While the level is off, an event costs one comparison.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::{Event, Level, Metadata, Subscriber, callsite};

use crate::engine::mailbox::Mailbox;

/// Records that wait for Python; what comes beyond it is counted and dropped.
pub const MOST_WAITING: usize = 4096;
/// A longer message is cut: some events quote whole packets.
const LONGEST: usize = 2048;

/// Python's levels (https://docs.python.org/3/library/logging.html#logging-levels); trace has none and takes 5.
const LEVELS: [(u8, Level); 5] =
    [(40, Level::ERROR), (30, Level::WARN), (20, Level::INFO), (10, Level::DEBUG), (5, Level::TRACE)];
const OFF: u8 = u8::MAX;

/// One record, ready for a logger.
pub struct Record {
    /// Python's level.
    pub level: u8,
    /// A Rust module path, such as `str0m::sctp`.
    pub target: &'static str,
    /// The engine's number of the connection that it is about, or 0.
    pub peer: u64,
    pub message: String,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Record>,
    dropped: u64,
    reader: Weak<Mailbox>,
}

/// From this of Python's levels on, records are made.
static LEVEL: AtomicU8 = AtomicU8::new(OFF);
static QUEUE: Mutex<Option<Queue>> = Mutex::new(None);

thread_local! {
    static PEER: Cell<u64> = const { Cell::new(0) };
}

fn with_queue<T>(what: impl FnOnce(&mut Queue) -> T) -> T {
    what(QUEUE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

/// Says which connection this thread works for (0: none).
pub fn working_for(peer: u64) {
    PEER.set(peer);
}

/// Records are taken from now on by the reader of this mailbox.
pub fn read_by(mailbox: &Arc<Mailbox>) {
    with_queue(|queue| queue.reader = Arc::downgrade(mailbox));
}

/// Makes records from one of Python's levels on.
pub fn set_level(level: u8) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // Refused where a Rust program has its own; then that one gets the events.
        let _ = tracing::subscriber::set_global_default(ToPython);
    });
    if LEVEL.swap(level, Relaxed) != level {
        callsite::rebuild_interest_cache();
    }
}

/// Takes at most `count` records if `mailbox` is the one to read them, and how many were dropped before them.
pub fn take(mailbox: &Arc<Mailbox>, count: usize) -> (Vec<Record>, u64) {
    with_queue(|queue| {
        if queue.records.is_empty() || !std::ptr::eq(queue.reader.as_ptr(), Arc::as_ptr(mailbox)) {
            return (Vec::new(), 0);
        }
        let some = queue.records.len().min(count);
        let records = queue.records.drain(..some).collect();
        if !queue.records.is_empty() {
            mailbox.ring();
        }
        (records, std::mem::take(&mut queue.dropped))
    })
}

fn python_level(level: Level) -> u8 {
    LEVELS.iter().find(|(_, known)| *known == level).map_or(OFF, |(number, _)| *number)
}

/// The subscriber of this process.
struct ToPython;

impl Subscriber for ToPython {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && python_level(*metadata.level()) >= LEVEL.load(Relaxed)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let from = LEVEL.load(Relaxed);
        let lowest = LEVELS.iter().rev().find(|(number, _)| *number >= from);
        Some(lowest.map_or(LevelFilter::OFF, |(_, level)| LevelFilter::from_level(*level)))
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let record = Record {
            level: python_level(*metadata.level()),
            target: metadata.target(),
            peer: PEER.get(),
            message: text.finish(),
        };
        let reader = with_queue(|queue| {
            if queue.records.len() >= MOST_WAITING {
                queue.dropped += 1;
                return None;
            }
            queue.records.push_back(record);
            (queue.records.len() == 1).then(|| queue.reader.clone())
        });
        if let Some(mailbox) = reader.and_then(|reader| reader.upgrade()) {
            mailbox.ring();
        }
    }

    // No library under the engine makes spans; which connection it is about says `PEER`.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &SpanRecord<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An event as one line: its message, then `name=value` for each field.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(mut self) -> String {
        self.message.push_str(&self.fields);
        if self.message.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| self.message.is_char_boundary(*at)).unwrap_or(0);
            self.message.truncate(end);
            self.message.push('…');
        }
        self.message
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The queue is the process's own, so one test holds all of its life; what other tests say meanwhile is in it.
    #[test]
    fn records_wait_bounded_for_the_one_reader() {
        let (reader, other) = (Arc::new(Mailbox::new(1).unwrap()), Arc::new(Mailbox::new(2).unwrap()));
        read_by(&reader);
        set_level(20);
        working_for(7);
        tracing::debug!("too fine");
        tracing::warn!(count = 3, "something {}", "odd");
        for _ in 0..MOST_WAITING + 4 {
            tracing::info!("more");
        }
        working_for(0);
        assert!(take(&other, 10).0.is_empty());
        let (records, dropped) = take(&reader, MOST_WAITING);
        assert_eq!(records.len(), MOST_WAITING);
        assert!(dropped >= 5);
        let ours: Vec<_> = records.iter().filter(|record| record.target == module_path!()).collect();
        assert_eq!(ours[0].message, "something odd count=3");
        assert_eq!((ours[0].level, ours[0].peer), (30, 7));
        set_level(OFF);
        tracing::error!("nobody listens");
        assert!(take(&reader, MOST_WAITING).0.iter().all(|record| record.message != "nobody listens"));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = Text { message: "é".repeat(LONGEST), fields: String::new() };
        let cut = text.finish();
        assert!(cut.len() <= LONGEST + '…'.len_utf8() && cut.ends_with('…'));
    }
}
