//! Who may come in, and who must make room.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::poll::Ready;
use super::{Connection, Due, Reactor, Stage, count, key};

/// New connections taken in one turn, so that a flood of them leaves time for the others.
const ACCEPTS: usize = 64;
/// An undecided connection is left alone for this long, even where others wait for its place.
const GRACE: Duration = Duration::from_secs(1);
/// How long no connection is taken after the process ran out of descriptors or memory.
const EXHAUSTED: Duration = Duration::from_millis(100);

impl Reactor {
    /// Takes the connections that wait, as far as there is room and it is their turn.
    pub(super) fn accept(&mut self, now: Instant) {
        if self.accept_at.is_some_and(|at| now < at) {
            return;
        }
        (self.accept_at, self.room_at) = (None, None);
        let mut left = ACCEPTS;
        let mut number = 0;
        while self.may_accept && number < self.listeners.len() {
            if !self.has_room(now) {
                return;
            }
            match self.listeners[number].accept() {
                Ok((net, peer)) => {
                    self.make_room();
                    self.admit(net, peer, now);
                    left -= 1;
                    if left == 0 {
                        return; // `may_accept` stays: the rest in the next turn
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => number += 1,
                Err(error) if transient(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be taken for a moment");
                    self.accept_at = Some(now + EXHAUSTED);
                    return;
                }
            }
        }
        self.may_accept = false;
    }

    fn admit(&mut self, net: TcpStream, peer: SocketAddr, now: Instant) {
        let shared = Arc::clone(&self.shared);
        count(&shared.counters.accepted);
        if shared.counters.active() + self.undecided >= shared.limits.max_connections {
            count(&shared.counters.refused);
            return;
        }
        let prepared =
            net.set_nonblocking(true).and_then(|()| net.set_nodelay(true)).and_then(|()| net.local_addr());
        let Ok(local) = prepared else { return }; // gone already
        self.serial += 1;
        let serial = self.serial;
        let entry = self.connections.vacant_entry();
        let index = entry.key();
        if shared.poll.add(&net, key(index)).is_err() {
            count(&shared.counters.refused); // the kernel is out of memory for watches
            return;
        }
        let ready = Ready::default();
        entry.insert(Connection { net, peer, local, ready, serial, stage: Stage::First });
        self.undecided += 1;
        self.deadlines.push_back(Due { at: now + shared.limits.handshake_timeout, index, serial, moved: 0 });
    }

    /// Whether one more may wait; where too many do, the oldest must have had its grace.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.undecided < self.shared.limits.max_undecided {
            return true;
        }
        while self.deadlines.front().is_some_and(|due| !self.is_undecided(due)) {
            self.deadlines.pop_front();
        }
        let Some(oldest) = self.deadlines.front() else { return true };
        let graced = oldest.at - self.shared.limits.handshake_timeout + GRACE;
        if now < graced {
            self.room_at = Some(graced);
        }
        now >= graced
    }

    /// Closes the oldest undecided connection where one too many waits; after `has_room`.
    fn make_room(&mut self) {
        if self.undecided >= self.shared.limits.max_undecided
            && let Some(oldest) = self.deadlines.pop_front()
        {
            count(&self.shared.counters.refused);
            self.remove(oldest.index);
        }
    }
}

/// One connection's own bad luck, as accept(2) lists it; the next one may be well.
fn transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Interrupted
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::PermissionDenied
    )
}
