//! The door's one thread: who is ready, whose time is up, who may come in.

mod admission;

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use slab::Slab;

use super::poll::{NOTICE, Ready};
use super::route::Route;
use super::shared::{Accepted, Shared};
use super::tunnel::{End, Step, Tunnel};
use crate::turn::Newcomer;

/// Keys of the listening sockets begin here; below are connections, two keys each.
const LISTENERS: u64 = u64::MAX / 2;
/// What is taken from one socket pair at once; shared by all, since one is served at a time.
const SCRATCH: usize = 32 * 1024;
/// How long a client may take nothing of what Python left for it when it closed.
const LINGER: Duration = Duration::from_secs(5);
struct Connection {
    net: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    ready: Ready,
    /// Tells this connection from an earlier one in the same slot.
    serial: u64,
    stage: Stage,
}

enum Stage {
    /// Nothing was read yet.
    First,
    /// TLS, but Python does not know of it yet.
    Greeting(Box<Tunnel>),
    /// TLS, and Python has the other end.
    Open(Box<Tunnel>),
}

/// A connection that is looked at again at a time.
struct Due {
    at: Instant,
    index: usize,
    serial: u64,
    moved: u64,
}

pub struct Reactor {
    shared: Arc<Shared>,
    listeners: Vec<TcpListener>,
    connections: Slab<Connection>,
    /// How many have not been handed on.
    undecided: usize,
    /// Until when each must be; oldest first, with some that were handed on since.
    deadlines: VecDeque<Due>,
    lingering: VecDeque<Due>,
    /// Connections whose turn ended before their work did.
    again: Vec<usize>,
    may_accept: bool,
    /// Not before this: the process is out of something.
    accept_at: Option<Instant>,
    /// At this time at the latest there is room for one more.
    room_at: Option<Instant>,
    serial: u64,
    scratch: Box<[u8]>,
}

impl Reactor {
    pub fn new(shared: Arc<Shared>, listeners: Vec<TcpListener>) -> io::Result<Self> {
        for listener in &listeners {
            shared.poll.add(listener, LISTENERS)?;
        }
        Ok(Self {
            shared,
            listeners,
            connections: Slab::new(),
            undecided: 0,
            deadlines: VecDeque::new(),
            lingering: VecDeque::new(),
            again: Vec::new(),
            may_accept: false,
            accept_at: None,
            room_at: None,
            serial: 0,
            scratch: vec![0; SCRATCH].into(),
        })
    }

    pub fn run(mut self) {
        let mut events = Vec::new();
        let mut turn = Vec::new();
        while !self.at_end() {
            if !self.shared.accepting.load(Relaxed) {
                self.close_listeners();
            }
            if let Err(error) = self.shared.poll.wait(&mut events, self.timeout()) {
                tracing::error!(%error, "the door cannot wait for its sockets and closes");
                break;
            }
            std::mem::swap(&mut turn, &mut self.again);
            for &(key, ready) in &events {
                self.note(key, ready, &mut turn);
            }
            for index in turn.drain(..) {
                self.drive(index);
            }
            let now = Instant::now();
            self.expire(now);
            self.accept(now);
        }
        self.close_listeners();
        let open: Vec<usize> = self.connections.iter().map(|(index, _)| index).collect();
        for index in open {
            self.remove(index);
        }
    }

    fn at_end(&self) -> bool {
        let Some(&by) = self.shared.end_by.get() else { return false };
        // Nobody waits any more for those that are undecided.
        let settled = |connection: &Connection| match &connection.stage {
            Stage::Open(tunnel) => tunnel.is_settled(),
            Stage::First | Stage::Greeting(_) => true,
        };
        Instant::now() >= by || self.connections.iter().all(|(_, connection)| settled(connection))
    }

    fn note(&mut self, key: u64, ready: Ready, turn: &mut Vec<usize>) {
        if key >= LISTENERS {
            self.may_accept |= key != NOTICE;
            return;
        }
        let Ok(index) = usize::try_from(key / 2) else { return };
        let Some(connection) = self.connections.get_mut(index) else { return };
        match (key % 2, &mut connection.stage) {
            (0, _) => connection.ready.join(ready),
            (_, Stage::Open(tunnel)) => tunnel.pair_ready.join(ready),
            _ => return,
        }
        if turn.last() != Some(&index) {
            turn.push(index);
        }
    }

    /// Gives one connection its turn. A spurious turn does no harm.
    fn drive(&mut self, index: usize) {
        loop {
            let Some(connection) = self.connections.get_mut(index) else { return };
            let Connection { net, ready, stage, serial, .. } = connection;
            let tunnel = match stage {
                Stage::First => {
                    if ready.read && self.decide(index) {
                        continue;
                    }
                    return;
                }
                Stage::Greeting(tunnel) | Stage::Open(tunnel) => tunnel,
            };
            let scratch = &mut self.scratch;
            // A fault in one connection must not take the others with it.
            let step = catch_unwind(AssertUnwindSafe(|| tunnel.drive(net, ready, scratch)))
                .unwrap_or(Step::End(End::TlsFailed));
            match step {
                Step::Wait => {}
                Step::Again => self.again.push(index),
                Step::Linger => {
                    let at = Instant::now() + LINGER;
                    self.lingering.push_back(Due { at, index, serial: *serial, moved: tunnel.moved });
                    continue;
                }
                Step::Hand(theirs) => self.hand_tls(index, theirs.into()),
                Step::Turn => self.hand_to_turn(index),
                Step::End(end) => {
                    match end {
                        End::Done => {}
                        End::TlsFailed => count(&self.shared.counters.tls_failed),
                        End::Refused => count(&self.shared.counters.refused),
                    }
                    self.remove(index);
                }
            }
            return;
        }
    }

    /// Looks at the first byte; true where the connection goes on as TLS.
    fn decide(&mut self, index: usize) -> bool {
        let Some(connection) = self.connections.get_mut(index) else { return false };
        let mut first = [0_u8; 1];
        match connection.net.peek(&mut first) {
            Ok(1) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.ready.read = false;
                return false;
            }
            Ok(_) | Err(_) => {
                self.remove(index); // gone without a word
                return false;
            }
        }
        match Route::of(first[0]) {
            Route::Http => {
                self.hand_plain(index);
                return false;
            }
            Route::Tls => {
                let config = self.shared.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(config) = config
                    && let Ok(tunnel) = Tunnel::new(config)
                {
                    connection.stage = Stage::Greeting(Box::new(tunnel));
                    return true;
                }
            }
            Route::Turn => {
                self.hand_to_turn(index);
                return false;
            }
            Route::Unknown => {}
        }
        count(&self.shared.counters.refused);
        self.remove(index);
        false
    }

    fn hand_plain(&mut self, index: usize) {
        let connection = self.connections.remove(index);
        self.shared.poll.delete(&connection.net);
        self.undecided -= 1;
        self.shared.counters.came();
        let Connection { net, peer, local, .. } = connection;
        self.shared.hand(Accepted { fd: net.into(), peer, local, tls: false });
    }

    fn hand_tls(&mut self, index: usize, fd: OwnedFd) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let (peer, local) = (connection.peer, connection.local);
        let stage = std::mem::replace(&mut connection.stage, Stage::First);
        let (Stage::Greeting(tunnel) | Stage::Open(tunnel)) = stage else { return };
        let added = tunnel.pair().map(|pair| self.shared.poll.add(pair, key(index) + 1));
        self.undecided -= 1;
        self.shared.counters.came();
        connection.stage = Stage::Open(tunnel);
        if matches!(added, Some(Ok(()))) {
            self.shared.hand(Accepted { fd, peer, local, tls: true });
        } else {
            count(&self.shared.counters.refused); // the kernel is out of memory for watches
            self.remove(index);
        }
    }

    /// Hands a connection to the TURN server, which has it for good; closes it where there is none.
    fn hand_to_turn(&mut self, index: usize) {
        let connection = self.connections.remove(index);
        self.shared.poll.delete(&connection.net);
        self.undecided -= 1;
        let Connection { net, peer, local, stage, .. } = connection;
        let tls = match stage {
            Stage::First => None,
            Stage::Greeting(tunnel) | Stage::Open(tunnel) => Some(Box::new(tunnel.into_tls())),
        };
        let newcomer = Newcomer { net, tls, peer, local };
        if !self.shared.turn.as_ref().is_some_and(|turn| turn.adopt(newcomer)) {
            count(&self.shared.counters.refused);
        }
    }

    fn remove(&mut self, index: usize) {
        let Some(connection) = self.connections.try_remove(index) else { return };
        if matches!(connection.stage, Stage::Open(_)) {
            self.shared.counters.left();
        } else {
            self.undecided -= 1;
        }
    }

    fn close_listeners(&mut self) {
        self.listeners.clear();
        self.may_accept = false;
    }

    fn is_undecided(&self, due: &Due) -> bool {
        self.connections
            .get(due.index)
            .is_some_and(|found| found.serial == due.serial && !matches!(found.stage, Stage::Open(_)))
    }

    fn expire(&mut self, now: Instant) {
        while let Some(due) = next_due(&mut self.deadlines, now) {
            if self.is_undecided(&due) {
                count(&self.shared.counters.expired);
                self.remove(due.index);
            }
        }
        while let Some(due) = next_due(&mut self.lingering, now) {
            let Some(connection) = self.connections.get(due.index) else { continue };
            let Stage::Open(tunnel) = &connection.stage else { continue };
            if connection.serial != due.serial {
                continue;
            }
            if tunnel.moved > due.moved {
                let again = Due { at: now + LINGER, moved: tunnel.moved, ..due };
                self.lingering.push_back(again);
            } else {
                self.remove(due.index);
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let later = self.accept_at.or(self.room_at);
        if !self.again.is_empty() || (self.may_accept && later.is_none()) {
            return Some(Duration::ZERO);
        }
        let due = [self.deadlines.front(), self.lingering.front()];
        let end_by = self.shared.end_by.get().copied();
        let next = due.into_iter().flatten().map(|due| due.at).chain(later).chain(end_by).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }
}

fn next_due(queue: &mut VecDeque<Due>, now: Instant) -> Option<Due> {
    if queue.front()?.at <= now { queue.pop_front() } else { None }
}

/// A connection's key; the one after it is its socket pair's.
const fn key(index: usize) -> u64 {
    index as u64 * 2
}

fn count(counter: &std::sync::atomic::AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
