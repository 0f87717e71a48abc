//! epoll, edge-triggered: each change of a socket is told once, and nothing is ever re-armed.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

/// The key under which `notify` is told.
pub const NOTICE: u64 = u64::MAX;

/// What a socket is known to be ready for: set by events, cleared by whoever finds it is not.
#[derive(Clone, Copy, Default)]
pub struct Ready {
    pub read: bool,
    pub write: bool,
    /// The far end closed, or the socket broke: only reading to the end tells which. Until then a
    /// read that fills less than its buffer has emptied the socket (epoll(7), "Questions", 9).
    pub ended: bool,
}

impl Ready {
    pub fn join(&mut self, other: Self) {
        self.read |= other.read;
        self.write |= other.write;
        self.ended |= other.ended;
    }
}

pub struct Poll {
    epoll: OwnedFd,
    notice: OwnedFd,
}

impl Poll {
    pub fn new() -> io::Result<Self> {
        let poll = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            notice: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        };
        poll.add(&poll.notice, NOTICE)?;
        Ok(poll)
    }

    /// Watches a socket in both directions. `key` comes back with its events.
    pub fn add(&self, socket: impl AsFd, key: u64) -> io::Result<()> {
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(key), flags)?)
    }

    /// Ends that. Needed only where the socket lives on elsewhere: closing ends it too.
    pub fn delete(&self, socket: impl AsFd) {
        // Fails only where it was not watched, and then there is nothing to end.
        let _ = epoll::delete(&self.epoll, socket);
    }

    /// Waits until something changes, at most for `timeout`.
    pub fn wait(&self, events: &mut Vec<(u64, Ready)>, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut happened = Vec::with_capacity(256);
        match epoll::wait(&self.epoll, spare_capacity(&mut happened), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        events.clear();
        events.extend(happened.iter().map(|event| {
            let flags = event.flags;
            let broken = flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
            let ready = Ready {
                read: broken || flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP),
                write: broken || flags.intersects(epoll::EventFlags::OUT),
                ended: broken || flags.intersects(epoll::EventFlags::RDHUP),
            };
            (event.data.u64(), ready)
        }));
        Ok(())
    }

    /// Makes `wait` return.
    pub fn notify(&self) {
        // Each write is an edge, read or not. Fails only when 2**64 - 1 is reached.
        let _ = rustix::io::write(&self.notice, &1_u64.to_ne_bytes());
    }
}
