//! One forwarder: what comes from its sources goes to its viewers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use polling::Poller;

use super::ladder::{Limits, Offer};
use super::stream::{Incoming, Stream, Unit};
use super::viewer::{BATCH, Supply, Viewer};
use super::{Origin, Peers};
use crate::engine::event::{Event, ForwardNews};
use crate::engine::mailbox::Mailbox;
use crate::peer::PeerShared;

/// Encodings of one forwarder; more SSRCs replace the oldest.
const MOST_STREAMS: usize = 16;

pub struct Forwarder {
    shared: Arc<PeerShared>,
    pub mailbox: Arc<Mailbox>,
    /// Lines that it forwards from: (peer, mid).
    pub sources: Vec<Origin>,
    pub viewers: Vec<Viewer>,
    streams: Vec<Stream>,
    last_key: u64,
    /// In order, and not yet with the viewers.
    ready: Vec<(u64, Arc<Unit>)>,
    /// Viewers are to be looked at though nothing came.
    stirred: bool,
    /// The engine was late a moment ago.
    pub stalled: bool,
}

impl Forwarder {
    pub fn new(shared: Arc<PeerShared>, mailbox: Arc<Mailbox>) -> Self {
        Self {
            shared,
            mailbox,
            sources: Vec::new(),
            viewers: Vec::new(),
            streams: Vec::new(),
            last_key: 0,
            ready: Vec::new(),
            stirred: false,
            stalled: false,
        }
    }

    pub fn tell(&self, event: Event) {
        self.mailbox.put(&self.shared, event);
    }

    pub fn news(&self, what: &'static str, origin: Origin, reason: &str) {
        let (peer, mid) = origin;
        self.tell(Event::Forward(ForwardNews {
            what,
            peer,
            mid: mid.to_string(),
            reason: reason.to_owned(),
        }));
    }

    /// Other sources from now on. The viewers go on when a keyframe comes from one of them.
    pub fn set_sources(&mut self, sources: Vec<Origin>) {
        self.streams.retain(|stream| sources.contains(&(stream.peer, stream.mid)));
        self.sources = sources;
        self.stirred = true;
    }

    /// Something broke in here: its viewers go quiet, nobody else is touched.
    pub fn fail(&mut self) {
        self.ready.clear();
        for source in std::mem::take(&mut self.sources) {
            self.news("source", source, "the engine failed on this source");
        }
        self.streams.clear();
    }

    pub fn add(&mut self, viewer: Viewer) {
        self.viewers.push(viewer);
        self.stirred = true;
    }

    pub fn limit(&mut self, viewer: Origin, limits: Limits) {
        if let Some(viewer) = self.viewers.iter_mut().find(|v| (v.peer, v.mid) == viewer) {
            viewer.limit(limits);
            self.stirred = true;
        }
    }

    pub fn stir(&mut self) {
        self.stirred = true;
    }

    /// Takes packets of a source peer; those of other lines are none of ours.
    pub fn feed(&mut self, peer: u64, incoming: Incoming, now: Instant) {
        let known = self.streams.iter().position(|stream| {
            (stream.peer, stream.mid, stream.ssrc) == (peer, incoming.mid, incoming.packet.ssrc)
        });
        let index = known.unwrap_or_else(|| {
            // A new SSRC of the same encoding takes the place of the old one.
            self.streams.retain(|s| (s.peer, s.mid, s.rid) != (peer, incoming.mid, incoming.rid));
            if self.streams.len() >= MOST_STREAMS {
                self.streams.remove(0);
            }
            self.last_key += 1;
            self.streams.push(Stream::new(self.last_key, peer, &incoming, now));
            self.streams.len() - 1
        });
        let mut released = Vec::new();
        let stream = &mut self.streams[index];
        stream.push(incoming, now, &mut released);
        let key = stream.key;
        self.ready.extend(released.into_iter().map(|unit| (key, unit)));
    }

    /// A viewer's far end asks for a keyframe.
    pub fn ask(&mut self, viewer: Origin, now: Instant) {
        let viewer = self.viewers.iter_mut().find(|v| (v.peer, v.mid) == viewer);
        let Some(key) = viewer.and_then(|viewer| viewer.wants_keyframe(now)) else { return };
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.key == key) {
            stream.wanted = true;
        }
    }

    pub fn on_timeout(&mut self, now: Instant) {
        for stream in &mut self.streams {
            if stream.order.deadline().is_some_and(|at| at <= now) {
                let mut released = Vec::new();
                stream.on_timeout(now, &mut released);
                let key = stream.key;
                self.ready.extend(released.into_iter().map(|unit| (key, unit)));
            }
        }
    }

    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let orders = self.streams.iter().filter_map(|stream| stream.order.deadline());
        let asks = self.streams.iter().filter_map(|stream| stream.ask_at(now));
        let paced = self.viewers.iter().filter_map(Viewer::deadline);
        orders.chain(asks).chain(paced).min()
    }

    /// Hands on what is ready, and asks for the keyframes that are missing. `touched`: peers with something to send.
    pub fn turn(&mut self, peers: &mut Peers, poller: &Poller, now: Instant, touched: &mut impl FnMut(u64)) {
        let ready = std::mem::take(&mut self.ready);
        if ready.is_empty() && std::mem::take(&mut self.stirred) {
            self.serve(&[], peers, poller, now, touched);
        }
        for batch in ready.chunks(BATCH) {
            self.serve(batch, peers, poller, now, touched);
        }
        for viewer in self.viewers.iter_mut().filter(|v| v.deadline().is_some_and(|at| at <= now)) {
            if let Some(peer) = peers.get_mut(&viewer.peer) {
                viewer.release(peer, poller, now);
                touched(viewer.peer);
            }
        }
        for stream in &mut self.streams {
            // Without viewers nobody needs it; without an answer it is asked for again.
            stream.wanted &= !self.viewers.is_empty();
            if stream.ask_at(now).is_none_or(|at| at > now) {
                continue;
            }
            stream.asked = Some(now);
            if let Some(peer) = peers.get_mut(&stream.peer) {
                peer.ask_source(stream.mid, stream.rid, now);
                stream.keyframe_requests += 1;
                touched(stream.peer);
            }
        }
    }

    fn serve(
        &mut self,
        ready: &[(u64, Arc<Unit>)],
        peers: &mut Peers,
        poller: &Poller,
        now: Instant,
        touched: &mut impl FnMut(u64),
    ) {
        self.stirred = false;
        let offers = self.offers(now);
        let supply = Supply { streams: &self.streams, offers: &offers, ready, poller, stalled: self.stalled };
        let mut needs = Vec::new();
        let mut mismatches = Vec::new();
        for viewer in &mut self.viewers {
            let Some(peer) = peers.get_mut(&viewer.peer) else { continue };
            let before = viewer.mismatch;
            let outcome = catch_unwind(AssertUnwindSafe(|| viewer.turn(peer, &supply, now, &mut needs)));
            if outcome.is_err() {
                peer.end(false, "the engine failed on this peer while it forwarded");
            }
            if let Some(codec) = viewer.mismatch.filter(|_| before != viewer.mismatch) {
                mismatches.push(((viewer.peer, viewer.mid), codec));
            }
            touched(viewer.peer);
        }
        for (viewer, codec) in mismatches {
            self.news("codec", viewer, codec);
        }
        for stream in &mut self.streams {
            stream.wanted |= needs.contains(&stream.key);
        }
    }

    fn offers(&self, now: Instant) -> Vec<Offer> {
        let any_alive = self.streams.iter().any(|stream| stream.is_alive(now));
        let usable = self.streams.iter().filter(|stream| !any_alive || stream.is_alive(now));
        usable
            .map(|stream| Offer {
                key: stream.key,
                rates: stream.rates.cumulative(),
                top: stream.rates.top(),
            })
            .collect()
    }

    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }
}
