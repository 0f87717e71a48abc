//! The server's thread: reads sockets, keeps time, does what it is told. It never takes the GIL.

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::handle::{Command, Handle};
use super::media::Media;
use super::outbox::{Client, Outbox, Via};
use super::server::{Now, Server};
use super::sockets::{RELAY_KEYS, Sockets};
use super::streams::{STREAM_KEYS, Streams};
use super::waiting::Waiting;
use crate::net::ReadBuffers;
use crate::peer::guard;

/// Reads of one socket before others get their turn.
const READS_A_TURN: usize = 4;
/// What waits in the outbox before it is sent in the midst of a turn.
const ENOUGH: usize = 256 << 10;
/// How often this machine's addresses are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

pub struct Thread {
    handle: Arc<Handle>,
    server: Server,
    sockets: Sockets,
    streams: Streams,
    buffers: ReadBuffers,
    out: Outbox,
    looked_at: Option<Instant>,
    media: Media,
}

fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Now { at: Instant::now(), unix }
}

impl Thread {
    pub fn new(handle: Arc<Handle>, server: Server, sockets: Sockets) -> Self {
        let (buffers, out) = (ReadBuffers::new(), Outbox::default());
        let streams = Streams::new(Arc::clone(&handle));
        Self { handle, server, sockets, streams, buffers, out, looked_at: None, media: Media::default() }
    }

    pub fn run(mut self) {
        let mut waiting = Waiting::new();
        let mut keys = Vec::new();
        self.look_at_addresses(Instant::now());
        while !self.handle.is_stopped() {
            let at = Instant::now();
            let due = [self.server.poll_timeout(at), self.streams.poll_timeout(at)];
            let wait = due.into_iter().flatten().min();
            let wait = wait.map(|at| at.saturating_duration_since(Instant::now()));
            keys.clear();
            if let Err(error) = waiting.wait(&self.handle.poller, wait, &mut keys) {
                tracing::error!(%error, "the TURN server cannot wait for its sockets");
                std::thread::sleep(Duration::from_millis(10));
            }
            for command in self.handle.take() {
                self.handle(command);
            }
            let again = self.streams.take_again().into_iter().map(|index| STREAM_KEYS + index);
            for key in again.chain(keys.drain(..)) {
                // A fault in one datagram must not take the others with it.
                let outcome = catch_unwind(AssertUnwindSafe(|| self.read(key)));
                if let Err(panic) = outcome {
                    tracing::error!("the TURN server failed on a datagram: {}", guard::words(&*panic));
                    if let Some(index) = key.checked_sub(STREAM_KEYS) {
                        self.streams.close(index, &mut self.server, &mut self.sockets);
                    }
                }
                if self.out.size() > ENOUGH {
                    self.flush();
                }
            }
            let at = now();
            self.server.handle_timeout(at, &mut self.sockets);
            self.streams.handle_timeout(at.at, &mut self.server, &mut self.sockets);
            self.flush();
            if self.looked_at.is_none_or(|looked| at.at - looked > LOOK_EVERY) {
                self.look_at_addresses(at.at);
            }
        }
        self.media.end();
    }

    fn flush(&mut self) {
        let Self { server, sockets, streams, out, .. } = self;
        sockets.flush(out, |client, message| streams.push(client, message));
        streams.flush(server, sockets);
    }

    fn read(&mut self, key: usize) {
        if let Some(stream) = key.checked_sub(STREAM_KEYS) {
            let Self { server, sockets, streams, out, .. } = self;
            return streams.drive(stream, now(), server, sockets, out);
        }
        if let Some(relay) = key.checked_sub(RELAY_KEYS) {
            return self.read_relay(relay);
        }
        let Some((io, number)) = self.sockets.listener(key) else { return };
        let anywhere = io.local.ip().is_unspecified();
        let Self { server, sockets, buffers, out, media, .. } = self;
        let mut media = media.begin();
        for _ in 0..READS_A_TURN {
            let at = now();
            let more = io.receive(buffers, |meta, datagram| {
                let reached = meta.dst_ip.filter(|_| anywhere).unwrap_or(io.local.ip());
                let local = SocketAddr::new(reached, io.local.port());
                if media.as_mut().is_some_and(|media| media.take(local, meta.addr, datagram)) {
                    return;
                }
                let client = Client { via: Via::Udp(number), address: meta.addr, local: reached };
                server.receive(at, client, datagram, sockets, out);
            });
            if !more || out.size() > ENOUGH {
                return;
            }
        }
    }

    fn read_relay(&mut self, relay: usize) {
        let Some(io) = self.sockets.relay(relay) else { return };
        let Self { server, buffers, out, .. } = self;
        for _ in 0..READS_A_TURN {
            let at = now();
            let more = io.receive(buffers, |meta, datagram| {
                // Without flow label and zone, as peers' addresses are told.
                let peer = SocketAddr::new(meta.addr.ip(), meta.addr.port());
                server.receive_from_peer(at, relay, peer, datagram, out);
            });
            if !more || out.size() > ENOUGH {
                return;
            }
        }
    }

    fn handle(&mut self, command: Command) {
        let at = now();
        match command {
            Command::Permit { call, user, candidate } => self.server.permit(&call, &user, candidate, at),
            Command::Media(port) => {
                self.server.set_media(port.strong_count() > 0);
                self.media = Media::new(port);
            }
            Command::Keep { call, until } => self.server.keep(&call, until),
            Command::Adopt(newcomer) => {
                self.streams.adopt(newcomer, at.at, &mut self.server, &mut self.sockets);
            }
            Command::Revoke { call } => self.server.revoke(&call, at, &mut self.sockets),
        }
    }

    fn look_at_addresses(&mut self, now: Instant) {
        self.looked_at = Some(now);
        // Where they cannot be had, what was known stays.
        let Ok(found) = if_addrs::get_if_addrs() else { return };
        let own: Vec<IpAddr> =
            found.iter().map(if_addrs::Interface::ip).chain(self.sockets.published()).collect();
        self.server.set_own(own);
    }
}
