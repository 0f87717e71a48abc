//! The thread that owns every peer: commands in, datagrams in and out, timers. It never runs Python.

pub mod arrive;
pub mod command;
pub mod event;
pub mod log;
pub mod mailbox;
pub mod threads;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use polling::{Events, Poller};

use crate::engine::command::Command;
use crate::forward::Forwarders;
use crate::net::ReadBuffers;
use crate::net::addresses;
use crate::net::port::{Datagram, Port};
use crate::peer::guard;
use crate::peer::{KEYS, Peer};

/// How long `stop` waits for the goodbyes of all peers.
const STOP_WITHIN: Duration = Duration::from_millis(500);

/// The poller's key of the address watch: peers begin with `KEYS`.
const ADDRESSES_KEY: usize = 0;

/// What Python holds of the engine: a queue of commands and a way to wake the thread.
pub struct Handle {
    queue: Mutex<Vec<Command>>,
    pub poller: Poller,
    /// How many peers it has.
    pub peers: AtomicUsize,
    stopped: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    process: u32,
}

impl Handle {
    /// Starts thread number `index` of an engine, and `port` where its peers share one.
    pub fn start(index: usize, port: Option<Arc<Port>>) -> io::Result<Arc<Self>> {
        let handle = Arc::new(Self {
            queue: Mutex::new(Vec::new()),
            poller: Poller::new()?,
            peers: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            thread: Mutex::new(None),
            process: std::process::id(),
        });
        let engine = Engine::new(Arc::clone(&handle), index, port);
        let name = if index == 0 { "plait-engine".to_owned() } else { format!("plait-engine-{index}") };
        let thread = thread::Builder::new().name(name).spawn(|| engine.run())?;
        *handle.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(handle)
    }

    /// False in a process forked from the engine's own, and after `stop`: then nothing is done any more.
    pub fn is_running(&self) -> bool {
        self.process == std::process::id() && !self.stopped.load(SeqCst)
    }

    /// Queues a command and wakes the thread if it sleeps. False if the engine is not running.
    pub fn send(&self, command: Command) -> bool {
        if !self.is_running() {
            return false;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = queue.is_empty();
        queue.push(command);
        drop(queue);
        if was_empty {
            let _ = self.poller.notify();
        }
        true
    }

    /// Waits for the thread to end, after `Command::Stop`.
    pub fn join(&self) {
        if self.process != std::process::id() {
            return;
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn take(&self, commands: &mut Vec<Command>) {
        std::mem::swap(commands, &mut self.queue.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

struct Engine {
    handle: Arc<Handle>,
    index: usize,
    port: Option<Arc<Port>>,
    /// Boxed: a peer is kilobytes, and a table keeps up to half of its places empty.
    peers: HashMap<u64, Box<Peer>>,
    /// When each peer wants to be looked at again, and the same sorted by time.
    due: HashMap<u64, Instant>,
    timers: BTreeSet<(Instant, u64)>,
    buffers: ReadBuffers,
    /// None where the system does not tell.
    addresses: Option<addresses::Watch>,
    forwarders: Forwarders,
    stop_by: Option<Instant>,
}

impl Engine {
    fn new(handle: Arc<Handle>, index: usize, port: Option<Arc<Port>>) -> Self {
        let addresses = addresses::Watch::start(&handle.poller, ADDRESSES_KEY)
            .inspect_err(|error| tracing::info!(%error, "changes of addresses are not noticed"))
            .ok();
        Self {
            handle,
            index,
            port,
            peers: HashMap::new(),
            due: HashMap::new(),
            timers: BTreeSet::new(),
            buffers: ReadBuffers::new(),
            addresses,
            forwarders: Forwarders::default(),
            stop_by: None,
        }
    }

    fn run(mut self) {
        let mut events = Events::new();
        let mut commands = Vec::new();
        let mut touched = BTreeSet::new();
        while !self.is_done(Instant::now()) {
            let next = self.timers.first().map(|(at, _)| *at);
            let addresses = self.addresses.as_ref().and_then(addresses::Watch::deadline);
            let next = [next, self.stop_by, addresses].into_iter().flatten().min();
            let forwarding = self.forwarders.deadline(Instant::now());
            let next = [next, self.stop_by, forwarding].into_iter().flatten().min();
            let wait = next.map(|at| at.saturating_duration_since(Instant::now()));
            events.clear();
            if let Err(error) = self.handle.poller.wait(&mut events, wait) {
                tracing::error!(%error, "cannot wait for events");
                thread::sleep(Duration::from_millis(10));
            }
            let now = Instant::now();
            let handle = Arc::clone(&self.handle);
            handle.take(&mut commands);
            for command in commands.drain(..) {
                self.handle(command, &mut touched, now);
            }
            self.watch_addresses(&events, &mut touched, now);
            for event in events.iter().filter(|event| event.key != ADDRESSES_KEY) {
                if event.key < KEYS {
                    self.read_port(event.key, &mut touched);
                    continue;
                }
                let id = (event.key / KEYS) as u64;
                touched.insert(id);
                if event.readable {
                    self.guarded(id, |peer, engine| peer.read(event.key % KEYS, engine));
                }
            }
            if let Some((at, _)) = self.timers.first() {
                self.forwarders.note_delay(now.saturating_duration_since(*at), now);
            }
            while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
                self.timers.remove(&(at, id));
                self.due.remove(&id);
                touched.insert(id);
                self.guarded(id, |peer, _| peer.on_timeout(now));
            }
            self.forwarders.turn(&mut touched, &mut self.peers, &handle.poller, now);
            for id in std::mem::take(&mut touched) {
                self.guarded(id, |peer, _| peer.settle(&handle.poller, Instant::now()));
                self.schedule(id);
            }
        }
        self.handle.stopped.store(true, SeqCst);
        let ids: Vec<u64> = self.peers.keys().copied().collect();
        for id in ids {
            self.guarded(id, |peer, _| peer.end(true, "the engine was stopped"));
            self.schedule(id);
        }
    }

    fn watch_addresses(&mut self, events: &Events, touched: &mut BTreeSet<u64>, now: Instant) {
        let Some(watch) = &mut self.addresses else { return };
        if events.iter().any(|event| event.key == ADDRESSES_KEY) {
            watch.read(now);
        }
        if !watch.is_due(now) {
            return;
        }
        let handle = Arc::clone(&self.handle);
        for id in self.peers.keys().copied().collect::<Vec<_>>() {
            touched.insert(id);
            self.guarded(id, |peer, _| peer.look_at_addresses(&handle.poller));
        }
    }

    fn handle(&mut self, command: Command, touched: &mut BTreeSet<u64>, now: Instant) {
        match command {
            Command::Open { peer, mailbox, config } => {
                let id = peer.id;
                self.peers.insert(id, Box::new(Peer::new(peer, mailbox, config, now)));
            }
            Command::Peer { id, request } => {
                touched.insert(id);
                let handle = Arc::clone(&self.handle);
                self.guarded(id, |peer, _| peer.handle(request, &handle.poller, now));
            }
            Command::Datagrams(datagrams) => {
                for datagram in datagrams {
                    if let Some(port) = &self.port {
                        port.arrived(&datagram);
                    }
                    let Datagram { peer: id, local, source, bytes } = datagram;
                    touched.insert(id);
                    self.guarded(id, |peer, _| peer.receive(now, local, source, &bytes));
                }
            }
            Command::Forward { id, order } => self.forwarders.order(id, order, &mut self.peers, now),
            Command::CloseMailbox { id } => {
                self.forwarders.close_mailbox(id, &mut self.peers);
                let ids: Vec<u64> = self
                    .peers
                    .values()
                    .filter(|peer| peer.mailbox.id == id)
                    .map(|peer| peer.shared.id)
                    .collect();
                self.close(&ids, "its event loop is gone", touched, now);
            }
            Command::Stop => {
                self.stop_by = Some(now + STOP_WITHIN);
                let ids: Vec<u64> = self.peers.keys().copied().collect();
                self.close(&ids, "the engine was stopped", touched, now);
            }
        }
    }

    /// Reads a socket of the port that all peers share, and hands each datagram to its peer.
    fn read_port(&mut self, key: usize, touched: &mut BTreeSet<u64>) {
        let Some(port) = &self.port else { return };
        let Some((reader, local)) = port.reader(key) else { return };
        let peers = &mut self.peers;
        let mut elsewhere: BTreeMap<usize, Vec<Datagram>> = BTreeMap::new();
        reader.read(&mut self.buffers, |now, source, datagram| {
            let Some((thread, id)) = port.find(local, source, datagram) else { return };
            if thread != self.index {
                let datagram = Datagram { peer: id, local, source, bytes: datagram.to_vec() };
                elsewhere.entry(thread).or_default().push(datagram);
            } else if let Some(peer) = peers.get_mut(&id) {
                touched.insert(id);
                shield(peer, |peer| peer.receive(now, local, source, datagram));
            }
        });
        for (thread, datagrams) in elsewhere {
            port.hand_over(thread, datagrams);
        }
    }

    fn close(&mut self, ids: &[u64], reason: &str, touched: &mut BTreeSet<u64>, now: Instant) {
        for id in ids {
            touched.insert(*id);
            self.guarded(*id, |peer, _| peer.close(reason, now));
        }
    }

    fn is_done(&self, now: Instant) -> bool {
        self.stop_by.is_some_and(|by| self.peers.is_empty() || now >= by)
    }

    /// Does something with a peer, if it is here.
    fn guarded(&mut self, id: u64, action: impl FnOnce(&mut Peer, &mut ReadBuffers)) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let buffers = &mut self.buffers;
        log::working_for(id);
        shield(peer, |peer| action(peer, buffers));
        log::working_for(0);
    }

    /// Notes when the peer has to be looked at again, or drops it if it is over.
    fn schedule(&mut self, id: u64) {
        let Some(peer) = self.peers.get(&id) else { return };
        let next = if peer.is_over() { None } else { peer.deadline() };
        if self.due.get(&id).copied() != next {
            if let Some(at) = self.due.remove(&id) {
                self.timers.remove(&(at, id));
            }
            if let Some(at) = next {
                self.due.insert(id, at);
                self.timers.insert((at, id));
            }
        }
        if peer.is_over()
            && let Some(mut peer) = self.peers.remove(&id)
        {
            self.forwarders.gone(id, &peer.ended);
            self.handle.peers.fetch_sub(1, SeqCst);
            for socket in &mut peer.sockets {
                socket.close(&self.handle.poller);
            }
            let poller = &self.handle.poller;
            // Whatever a broken peer does when it goes must not take the engine along.
            let _ = catch_unwind(AssertUnwindSafe(|| peer.reach.close(poller)));
            let _ = catch_unwind(AssertUnwindSafe(|| drop(peer)));
        }
    }
}

/// Does something with a peer. A panic ends that peer, and nobody else.
fn shield(peer: &mut Peer, action: impl FnOnce(&mut Peer)) {
    let outcome = catch_unwind(AssertUnwindSafe(|| action(peer)));
    if let Err(panic) = outcome {
        peer.end(false, &format!("the engine failed on this peer: {}", guard::words(&*panic)));
    }
}
