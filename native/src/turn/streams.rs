//! All clients over TCP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polling::{Event, PollMode};
use slab::Slab;

use super::handle::Handle;
use super::outbox::{Client, Outbox, Via};
use super::server::{Now, Server};
use super::sockets::{Sockets, share_of_files};
use super::stream::{Newcomer, Outcome, Stream};

/// The poller's keys of streams begin here.
pub const STREAM_KEYS: usize = 1 << 24;
/// More streams than a hub has use for.
const MOST_STREAMS: usize = 4096;
/// How often their time is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

pub struct Streams {
    open: Slab<Stream>,
    /// With something to write, or more to read than fitted in a turn.
    dirty: Vec<usize>,
    again: Vec<usize>,
    look_at: Option<Instant>,
    most: usize,
    handle: Arc<Handle>,
    scratch: Box<[u8]>,
}

impl Streams {
    pub fn new(handle: Arc<Handle>) -> Self {
        Self {
            open: Slab::new(),
            dirty: Vec::new(),
            again: Vec::new(),
            look_at: None,
            most: share_of_files(MOST_STREAMS),
            handle,
            scratch: vec![0; 64 << 10].into(),
        }
    }

    /// Takes a connection. Where there is no room, the oldest that has not allocated makes it.
    pub fn adopt(&mut self, newcomer: Newcomer, now: Instant, server: &mut Server, sockets: &mut Sockets) {
        if self.open.len() >= self.most {
            let strangers = self.open.iter().filter(|(_, stream)| !server.is_client(stream.client));
            match strangers.min_by_key(|(_, stream)| stream.since).map(|(index, _)| index) {
                Some(oldest) => self.close(oldest, server, sockets),
                None => return self.handle.counters.refused_streams.up(),
            }
        }
        let entry = self.open.vacant_entry();
        let index = entry.key();
        let (Ok(number), key) = (u32::try_from(index), STREAM_KEYS + index) else { return };
        let client = Client { via: Via::Stream(number), address: newcomer.peer, local: newcomer.local.ip() };
        // Told of what is there already, as of all that comes.
        // SAFETY: `close` deletes it from the poller before it is closed.
        #[allow(unsafe_code)]
        let watched =
            unsafe { self.handle.poller.add_with_mode(&newcomer.net, Event::all(key), PollMode::Edge) };
        if watched.is_err() {
            return self.handle.counters.refused_streams.up(); // the kernel is out of memory for watches
        }
        entry.insert(Stream::new(newcomer, client, now));
        self.again.push(index); // what TLS has decrypted already comes with no event
        self.look_at.get_or_insert(now + LOOK_EVERY);
        self.handle.counters.streams.set(self.open.len() as u64);
    }

    /// Those whose turn ended before their work did.
    pub fn take_again(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.again)
    }

    /// Gives one stream its turn. A spurious turn does no harm.
    pub fn drive(
        &mut self,
        index: usize,
        now: Now,
        server: &mut Server,
        sockets: &mut Sockets,
        out: &mut Outbox,
    ) {
        let Some(stream) = self.open.get_mut(index) else { return };
        let client = stream.client;
        let allocated = server.is_client(client);
        let outcome = stream.read(now.at, allocated, &mut self.scratch, |message| {
            server.receive(now, client, message, sockets, out);
        });
        match outcome {
            Outcome::More => self.again.push(index),
            Outcome::Empty => {}
            Outcome::Ended => return self.close(index, server, sockets),
        }
        if !stream.write() {
            self.close(index, server, sockets);
        }
    }

    /// Leaves a message for a client.
    pub fn push(&mut self, client: Client, message: &[u8]) {
        let Via::Stream(number) = client.via else { return };
        let index = number as usize;
        // Another client may be where this one was.
        let stream = self.open.get_mut(index).filter(|stream| stream.client == client);
        let Some(stream) = stream else { return };
        if !stream.push(message) {
            return self.handle.counters.lost.up();
        }
        if self.dirty.last() != Some(&index) {
            self.dirty.push(index);
        }
    }

    /// Writes what was left for clients.
    pub fn flush(&mut self, server: &mut Server, sockets: &mut Sockets) {
        for index in std::mem::take(&mut self.dirty) {
            if self.open.get_mut(index).is_some_and(|stream| !stream.write()) {
                self.close(index, server, sockets);
            }
        }
    }

    pub fn close(&mut self, index: usize, server: &mut Server, sockets: &mut Sockets) {
        let Some(stream) = self.open.try_remove(index) else { return };
        let _ = self.handle.poller.delete(&stream.net);
        server.client_closed(stream.client, sockets);
        stream.end();
        self.handle.counters.streams.set(self.open.len() as u64);
    }

    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.again.is_empty() { self.look_at } else { Some(now) }
    }

    /// Closes those whose time is up.
    pub fn handle_timeout(&mut self, now: Instant, server: &mut Server, sockets: &mut Sockets) {
        if self.look_at.is_none_or(|at| now < at) {
            return;
        }
        let is_over = |(index, stream): (usize, &mut Stream)| {
            stream.is_over(now, server.is_client(stream.client)).then_some(index)
        };
        let over: Vec<usize> = self.open.iter_mut().filter_map(is_over).collect();
        for index in over {
            self.close(index, server, sockets);
        }
        self.look_at = (!self.open.is_empty()).then(|| now + LOOK_EVERY);
    }
}
