//! An engine's threads, and its UDP port where all peers share one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::engine::Handle;
use crate::engine::command::Command;
use crate::net::port::Port;

static LAST_ID: AtomicU64 = AtomicU64::new(0);

pub struct Threads {
    handles: Vec<Arc<Handle>>,
    pub port: Option<Arc<Port>>,
}

impl Threads {
    /// Starts `count` threads, at least one, whose peers are all at `port` where there is one.
    pub fn start(count: usize, port: Option<Arc<Port>>) -> io::Result<Self> {
        let start = |index| Handle::start(index, port.clone());
        let handles = (0..count.max(1)).map(start).collect::<io::Result<Vec<_>>>()?;
        let threads = Self { handles, port };
        if let Some(port) = &threads.port {
            port.attach(&threads.handles)?;
        }
        Ok(threads)
    }

    /// A number that no peer, mailbox or forwarder of this process has had: lines of one engine mean nothing
    /// to another.
    pub fn next_id() -> u64 {
        LAST_ID.fetch_add(1, SeqCst) + 1
    }

    pub fn is_running(&self) -> bool {
        self.handles.iter().all(|handle| handle.is_running())
    }

    pub fn get(&self, index: usize) -> &Arc<Handle> {
        &self.handles[index]
    }

    /// The thread with the fewest peers.
    pub fn idlest(&self) -> usize {
        let by_load = |index: &usize| self.handles[*index].peers.load(SeqCst);
        (0..self.handles.len()).min_by_key(by_load).unwrap_or(0)
    }

    /// How many peers each thread has.
    pub fn load(&self) -> Vec<usize> {
        self.handles.iter().map(|handle| handle.peers.load(SeqCst)).collect()
    }

    pub fn close_mailbox(&self, id: u64) {
        for handle in &self.handles {
            handle.send(Command::CloseMailbox { id });
        }
    }

    /// Closes every peer with its goodbyes and waits for the threads to end.
    pub fn stop(&self) {
        // First all are told, then waited for.
        for handle in &self.handles {
            handle.send(Command::Stop);
        }
        for handle in &self.handles {
            handle.join();
        }
        if let Some(port) = &self.port {
            port.close();
        }
    }
}

impl Drop for Threads {
    /// Nobody can have a peer here any more.
    fn drop(&mut self) {
        for handle in &self.handles {
            handle.send(Command::Stop);
        }
    }
}
