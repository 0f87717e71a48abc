//! What other threads hold of the server: a queue of commands and a way to wake its thread.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use polling::Poller;

use super::counters::Counters;
use super::stream::Newcomer;
use crate::net::port::Port;

pub enum Command {
    /// A connection whose first bytes are STUN's.
    Adopt(Newcomer),
    /// A candidate that was signaled to a user of a call.
    Permit { user: String, call: String, candidate: SocketAddr },
    /// An engine has its peers at this server's port; or, when it is gone, none.
    Media(Weak<Port>),
    /// A call goes on, until unix seconds.
    Keep { call: String, until: u64 },
    /// A call ends.
    Revoke { call: String },
}

pub struct Handle {
    pub poller: Poller,
    pub counters: Arc<Counters>,
    queue: Mutex<Vec<Command>>,
    stopped: AtomicBool,
    /// There is an engine at this server's port.
    pub has_media: AtomicBool,
    process: u32,
}

impl Handle {
    pub fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            poller: Poller::new()?,
            counters: Arc::default(),
            queue: Mutex::default(),
            stopped: AtomicBool::new(false),
            has_media: AtomicBool::new(false),
            process: std::process::id(),
        }))
    }

    /// False in a process forked from the server's own, and after `stop`.
    pub fn is_running(&self) -> bool {
        self.process == std::process::id() && !self.stopped.load(SeqCst)
    }

    /// Queues a command and wakes the thread. False where the server is not running.
    pub fn send(&self, command: Command) -> bool {
        if !self.is_running() {
            return false;
        }
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.poller.notify().is_ok()
    }

    /// Takes a connection for good. False where the server is not running: it is closed.
    pub fn adopt(&self, newcomer: Newcomer) -> bool {
        self.send(Command::Adopt(newcomer))
    }

    pub fn take(&self) -> Vec<Command> {
        std::mem::take(&mut self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the thread to end. False where there is none to wait for.
    pub fn stop(&self) -> bool {
        if !self.is_running() {
            return false;
        }
        self.stopped.store(true, SeqCst);
        self.poller.notify().is_ok()
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
    }
}
