//! Waiting for sockets with one call to the kernel.
//!
//! `Poller::wait` makes five: it sets its timer, arms it, waits, reads its notice and arms that. With few
//! datagrams for each wake-up that is a good part of what a datagram costs.

use std::io;
use std::time::Duration;

use polling::{Events, Poller};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// Sockets told of at once.
const MOST: usize = 1024;
/// The poller's own key, for its notice.
const NOTICE: u64 = usize::MAX as u64;

pub struct Waiting {
    happened: Vec<epoll::Event>,
    events: Events,
}

impl Waiting {
    pub fn new() -> Self {
        Self { happened: Vec::with_capacity(MOST), events: Events::new() }
    }

    /// Waits until sockets are ready or the poller was notified, at most for `timeout`; adds their keys. One may be
    /// told twice.
    pub fn wait(
        &mut self,
        poller: &Poller,
        timeout: Option<Duration>,
        keys: &mut Vec<usize>,
    ) -> io::Result<()> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        self.happened.clear();
        match epoll::wait(poller, spare_capacity(&mut self.happened), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut noticed = false;
        for event in &self.happened {
            match event.data.u64() {
                NOTICE => noticed = true,
                key => keys.extend(usize::try_from(key)),
            }
        }
        if noticed {
            // Takes the notice, and arms it for the next.
            self.events.clear();
            poller.wait(&mut self.events, Some(Duration::ZERO))?;
            keys.extend(self.events.iter().map(|event| event.key));
        }
        Ok(())
    }
}
