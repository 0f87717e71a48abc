//! What the door's thread and Python both touch.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustls::ServerConfig;

use super::poll::Poll;
use super::tls::Challenges;
use crate::turn;

/// What one door lets in.
pub struct Limits {
    /// From accept to the first byte of the protocol inside: TLS handshake included.
    pub handshake_timeout: Duration,
    /// Connections at a time, those in Python's hands included.
    pub max_connections: usize,
    /// Connections that have not shown their first byte yet; the oldest makes room for a new one.
    pub max_undecided: usize,
}

/// A stream for Python.
pub struct Accepted {
    pub fd: OwnedFd,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub tls: bool,
}

#[derive(Default)]
pub struct Counters {
    pub accepted: AtomicU64,
    pub tls_failed: AtomicU64,
    pub refused: AtomicU64,
    pub expired: AtomicU64,
    active: AtomicUsize,
}

impl Counters {
    pub fn active(&self) -> usize {
        self.active.load(Relaxed)
    }

    pub fn came(&self) {
        self.active.fetch_add(1, Relaxed);
    }

    pub fn left(&self) {
        // Saturates: a caller that releases twice must not wrap the count and shut the door.
        let _ = self.active.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
    }

    pub fn read(&self) -> [(&'static str, u64); 5] {
        [
            ("accepted", self.accepted.load(Relaxed)),
            ("tls_failed", self.tls_failed.load(Relaxed)),
            ("refused", self.refused.load(Relaxed)),
            ("expired", self.expired.load(Relaxed)),
            ("active", self.active() as u64),
        ]
    }
}

pub struct Shared {
    pub limits: Limits,
    pub counters: Counters,
    pub poll: Poll,
    pub tls: RwLock<Option<Arc<ServerConfig>>>,
    pub challenges: Arc<Challenges>,
    /// Takes connections that speak STUN or TURN.
    pub turn: Option<Arc<turn::Handle>>,
    /// Readable when `waiting` holds something.
    pub wake: OwnedFd,
    pub accepting: AtomicBool,
    /// Set when the thread is to end: at once where no stream is open, else by this time.
    pub end_by: OnceLock<Instant>,
    waiting: Mutex<VecDeque<Accepted>>,
}

impl Shared {
    pub fn new(
        limits: Limits,
        tls: Option<Arc<ServerConfig>>,
        challenges: Arc<Challenges>,
        turn: Option<Arc<turn::Handle>>,
    ) -> io::Result<Self> {
        Ok(Self {
            limits,
            counters: Counters::default(),
            poll: Poll::new()?,
            tls: RwLock::new(tls),
            challenges,
            turn,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            accepting: AtomicBool::new(true),
            end_by: OnceLock::new(),
            waiting: Mutex::default(),
        })
    }

    /// Leaves a stream for Python; bounded by `max_connections`, since each counts as active.
    pub fn hand(&self, stream: Accepted) {
        let mut waiting = self.waiting();
        if waiting.is_empty() {
            // Cannot fail short of 2**64 - 1 wake-ups unread.
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
        waiting.push_back(stream);
    }

    /// Takes what was left for Python and lets the wake-up descriptor fall silent.
    pub fn take(&self) -> VecDeque<Accepted> {
        let mut waiting = self.waiting();
        let _ = rustix::io::read(&self.wake, &mut [0_u8; 8]); // EAGAIN: it was silent already
        std::mem::take(&mut *waiting)
    }

    pub fn stop_accepting(&self) {
        self.accepting.store(false, Relaxed);
        self.poll.notify();
    }

    pub fn end(&self, within: Duration) {
        let _ = self.end_by.set(Instant::now() + within); // the first word holds
        self.poll.notify();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Accepted>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
