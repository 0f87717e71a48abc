//! All forwarders of an engine: orders of Python, and the engine's turn.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use polling::Poller;
use str0m::media::Mid;

use super::forwarder::Forwarder;
use super::stream::Incoming;
use super::viewer::Viewer;
use super::{Limits, Order, Origin, Peers};
use crate::engine::event::{Answer, Event};
use crate::peer::Peer;

/// The engine's thread was kept from its work: by a burst, or by others on the machine.
const LATE: Duration = Duration::from_millis(100);
/// Reports that come so long after it are about that, not about a viewer's path.
const EXCUSED: Duration = Duration::from_secs(3);

#[derive(Default)]
pub struct Forwarders {
    all: BTreeMap<u64, Forwarder>,
    late: Option<Instant>,
}

fn absent(what: &str) -> String {
    format!("{what} is closed, or belongs to another engine thread: forwarding needs both on the same one")
}

/// The peer behind a line, if the line is negotiated on it.
fn line<'a>(peers: &'a mut Peers, origin: &Origin, what: &str) -> Result<&'a mut Peer, String> {
    let peer = peers.get_mut(&origin.0).filter(|peer| !peer.is_over()).ok_or_else(|| absent(what))?;
    if peer.negotiated(origin.1).is_empty() {
        return Err(format!("{what} has nothing negotiated on its line"));
    }
    Ok(peer)
}

impl Forwarders {
    pub fn order(&mut self, id: u64, order: Order, peers: &mut Peers, now: Instant) {
        match order {
            Order::Open { shared, mailbox } => {
                self.all.insert(id, Forwarder::new(shared, mailbox));
            }
            Order::Sources { request, sources } => {
                let result = self.set_sources(id, sources, peers);
                self.reply(id, request, result);
            }
            Order::Add { request, viewer, limits } => {
                let result = self.add(id, viewer, limits, peers, now);
                self.reply(id, request, result);
            }
            Order::Limit { viewer, limits } => {
                if let Some(forwarder) = self.all.get_mut(&id) {
                    forwarder.limit(viewer, limits);
                }
            }
            Order::Remove { viewer } => self.remove(id, viewer, peers),
            Order::Stats { request } => {
                if let Some(forwarder) = self.all.get(&id) {
                    let answer = Answer::Stats(forwarder.report(peers));
                    forwarder.tell(Event::Reply { request, result: Ok(answer) });
                }
            }
            Order::Close => self.close(id, peers),
        }
    }

    fn reply(&self, id: u64, request: u64, result: Result<(), String>) {
        if let Some(forwarder) = self.all.get(&id) {
            forwarder.tell(Event::Reply { request, result: result.map(|()| Answer::Done) });
        }
    }

    fn set_sources(&mut self, id: u64, sources: Vec<Origin>, peers: &mut Peers) -> Result<(), String> {
        for source in &sources {
            let peer = line(peers, source, "a source")?;
            if !peer.config.packets {
                return Err("a source has to be a PeerConnection(packets=True)".to_owned());
            }
        }
        let Some(forwarder) = self.all.get_mut(&id) else { return Ok(()) };
        forwarder.set_sources(sources);
        self.mark_sources(peers);
        Ok(())
    }

    fn add(
        &mut self,
        id: u64,
        viewer: Origin,
        limits: Limits,
        peers: &mut Peers,
        now: Instant,
    ) -> Result<(), String> {
        let peer = line(peers, &viewer, "the viewer")?;
        if !peer.sends_on(viewer.1) {
            return Err("the viewer's line does not send".to_owned());
        }
        if peer.forward.sinks.contains(&viewer.1) {
            return Err("the viewer's line is forwarded to already".to_owned());
        }
        let Some(forwarder) = self.all.get_mut(&id) else { return Ok(()) };
        if peer.has_sent_frames(viewer.1) {
            peer.renew_line(viewer.1);
        }
        peer.forward.sinks.push(viewer.1);
        forwarder.add(Viewer::new(peer, viewer.1, limits, now));
        Ok(())
    }

    fn remove(&mut self, id: u64, viewer: Origin, peers: &mut Peers) {
        let Some(forwarder) = self.all.get_mut(&id) else { return };
        let index = forwarder.viewers.iter().position(|v| (v.peer, v.mid) == viewer);
        let Some(gone) = index.map(|index| forwarder.viewers.swap_remove(index)) else { return };
        if let Some(peer) = peers.get_mut(&viewer.0) {
            release(peer, viewer.1, gone);
        }
    }

    fn close(&mut self, id: u64, peers: &mut Peers) {
        let Some(forwarder) = self.all.remove(&id) else { return };
        for viewer in forwarder.viewers {
            if let Some(peer) = peers.get_mut(&viewer.peer) {
                release(peer, viewer.mid, viewer);
            }
        }
        self.mark_sources(peers);
    }

    /// The event loop behind a mailbox is gone.
    pub fn close_mailbox(&mut self, mailbox: u64, peers: &mut Peers) {
        let of_mailbox =
            |(id, forwarder): (&u64, &Forwarder)| (forwarder.mailbox.id == mailbox).then_some(*id);
        let ids: Vec<u64> = self.all.iter().filter_map(of_mailbox).collect();
        for id in ids {
            self.close(id, peers);
        }
    }

    /// Tells each peer which of its lines are forwarded from.
    fn mark_sources(&self, peers: &mut Peers) {
        for (id, peer) in peers.iter_mut() {
            let all = self.all.values().flat_map(|forwarder| &forwarder.sources);
            let mids: BTreeSet<Mid> = all.filter(|(peer, _)| peer == id).map(|(_, mid)| *mid).collect();
            peer.forward.sources = mids.into_iter().collect();
        }
    }

    /// A peer is over. Its viewers' places are free; viewers of its tracks go quiet until there is another source.
    pub fn gone(&mut self, id: u64, reason: &str) {
        for forwarder in self.all.values_mut() {
            let lost: Vec<Origin> =
                forwarder.sources.iter().filter(|(peer, _)| *peer == id).copied().collect();
            if !lost.is_empty() {
                let kept = forwarder.sources.iter().filter(|(peer, _)| *peer != id).copied().collect();
                forwarder.set_sources(kept);
            }
            for source in lost {
                forwarder.news("source", source, reason);
            }
            let mut ended = Vec::new();
            forwarder.viewers.retain(|viewer| {
                let stays = viewer.peer != id;
                if !stays {
                    ended.push((viewer.peer, viewer.mid));
                }
                stays
            });
            for viewer in ended {
                forwarder.news("viewer", viewer, reason);
            }
        }
    }

    /// Moves packets on. `touched`: peers that something happened to; those that got packets are added.
    pub fn turn(&mut self, touched: &mut BTreeSet<u64>, peers: &mut Peers, poller: &Poller, now: Instant) {
        if self.all.is_empty() {
            return;
        }
        let stalled = self.late.is_some_and(|at| now < at + EXCUSED);
        for id in touched.iter() {
            let Some(peer) = peers.get_mut(id).filter(|peer| peer.forward.news) else { continue };
            peer.forward.news = false;
            self.collect(*id, peer, now);
        }
        for forwarder in self.all.values_mut() {
            forwarder.stalled = stalled;
            let served = catch_unwind(AssertUnwindSafe(|| {
                forwarder.on_timeout(now);
                forwarder.turn(peers, poller, now, &mut |id| {
                    touched.insert(id);
                });
            }));
            if served.is_err() {
                forwarder.fail();
            }
        }
    }

    fn collect(&mut self, id: u64, peer: &mut Peer, now: Instant) {
        for incoming in std::mem::take(&mut peer.forward.packets) {
            let origin = (id, incoming.mid);
            let mut takers = self.all.values_mut().filter(|forwarder| forwarder.sources.contains(&origin));
            let Some(first) = takers.next() else { continue };
            for other in takers {
                feed(other, id, incoming.clone(), now);
            }
            feed(first, id, incoming, now);
        }
        for mid in std::mem::take(&mut peer.forward.asks) {
            for forwarder in self.all.values_mut() {
                forwarder.ask((id, mid), now);
            }
        }
        for forwarder in self.all.values_mut().filter(|f| f.viewers.iter().any(|viewer| viewer.peer == id)) {
            forwarder.stir();
        }
    }

    /// Takes note of how late the engine is with what was due.
    pub fn note_delay(&mut self, delay: Duration, now: Instant) {
        if delay > LATE {
            self.late = Some(now);
        }
    }

    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        self.all.values().filter_map(|forwarder| forwarder.deadline(now)).min()
    }
}

/// A packet that a forwarder breaks on must not take the engine along.
fn feed(forwarder: &mut Forwarder, peer: u64, incoming: Incoming, now: Instant) {
    if catch_unwind(AssertUnwindSafe(|| forwarder.feed(peer, incoming, now))).is_err() {
        forwarder.fail();
    }
}

fn release(peer: &mut Peer, mid: Mid, viewer: Viewer) {
    peer.forward.sinks.retain(|sink| *sink != mid);
    viewer.leave(peer);
    if !peer.config.packets {
        // Frames that Python sends from now on have numbers of their own.
        peer.forward.out.remove(&mid);
        peer.renew_line(mid);
    }
}
