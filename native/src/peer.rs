//! One peer connection: a str0m `Rtc`, its sockets, and what the engine keeps beside them.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use polling::Poller;
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive};
use str0m::stats::{MediaEgressStats, MediaIngressStats, PeerStats};
use str0m::{Candidate, Input, Output, Rtc, RtcError};

use crate::channel::{Channel, Message};
use crate::command::{PeerConfig, Request};
use crate::congestion::Congestion;
use crate::consent::{Consent, Verdict};
use crate::event::{Answer, Event};
use crate::forward::Tap;
use crate::mailbox::Mailbox;
use crate::media::Media;
use crate::negotiate::Pending;
use crate::net::{ReadBuffers, Socket};
use crate::reach::{RELAY_KEYS, Reach};

/// Sockets of one peer have poller keys from `id * KEYS`.
pub const KEYS: usize = 64;
/// From both descriptions to a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// str0m paces its connectivity checks, and its answers to checks that came before the far end's
/// description, at 50 ms; RFC 8445 (section 14.2) lets it be 5 ms. Each turn sends one check at most, and
/// only one that is due. So quick for a while after each news from the far end, until a pair is selected.
const QUICK_PACE: Duration = Duration::from_millis(5);
const QUICK_FOR: Duration = Duration::from_millis(500);
/// What a local close may take to get its goodbyes out.
const LINGER: Duration = Duration::from_millis(300);
/// Channel bytes that Python has not read: above, SCTP packets are held back, so that the far end's
/// window closes; below, they flow again.
const HOLD_ABOVE: usize = 8 << 20;
pub const RESUME_BELOW: usize = 2 << 20;
/// Held packets; more than a full window (1 MiB), so that only duplicates are lost.
const MOST_HELD: usize = 2 << 20;
/// Addresses that the far end may send from.
const MOST_SOURCES: usize = 64;
/// Errors in one drain that are a peer's bad packets; more mean that str0m is stuck.
const MOST_ERRORS: usize = 100;

/// What the engine thread and Python both see of a peer.
#[derive(Default)]
pub struct PeerShared {
    pub id: u64,
    /// Which of the engine's threads drives it.
    pub thread: usize,
    /// Channel bytes given to Python and not read by the application.
    pub unread: AtomicUsize,
    /// The engine holds packets back until `Request::Resume`.
    pub holding: AtomicBool,
    /// Bytes of received frames in the mailbox.
    pub frames_waiting: AtomicUsize,
    /// Bytes of frames in the command queue.
    pub frames_sending: AtomicUsize,
    /// The longest message that the far end takes; 0 until it has said.
    pub max_message_size: AtomicUsize,
}

impl PeerShared {
    pub fn new(id: u64, thread: usize) -> Self {
        Self { id, thread, ..Self::default() }
    }
}

/// The states of W3C's RTCPeerConnectionState that the engine itself tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    New,
    Connecting,
    Connected,
    Disconnected,
    /// Over; `true` by someone's wish, `false` by failure.
    Over(bool),
}

/// A close under way.
struct Closing {
    reason: String,
    /// The goodbyes have until then to get out.
    until: Instant,
    /// str0m has begun; it refuses while SCTP is still being set up.
    begun: bool,
}

/// A datagram that waits until Python has caught up.
struct Held {
    local: SocketAddr,
    source: SocketAddr,
    bytes: Vec<u8>,
}

/// Counters that W3C statistics name.
#[derive(Default)]
pub struct Counters {
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub packets_received: u64,
    pub bytes_received: u64,
    /// Datagrams that were not for this connection, or not of any protocol of it.
    pub discarded: u64,
    pub candidates_ignored: u64,
    /// Frames of ours that could not be sent.
    pub frames_dropped: u64,
}

pub struct Peer {
    pub shared: Arc<PeerShared>,
    pub mailbox: Arc<Mailbox>,
    pub config: PeerConfig,
    pub state: State,
    pub rtc: Option<Rtc>,
    pub sockets: Vec<Socket>,
    /// STUN and TURN servers.
    pub reach: Reach,
    pub local_candidates: Vec<Candidate>,
    pub remote_candidates: Vec<Candidate>,
    /// Remote candidates that came before the remote description.
    pub early_candidates: Vec<Candidate>,
    /// Our offer that waits for its answer.
    pub pending: Option<Pending>,
    pub remote_known: bool,
    pub candidates_told: bool,
    pub has_channels: bool,
    pub channels: HashMap<u64, Channel>,
    pub channel_keys: HashMap<ChannelId, u64>,
    pub next_remote_key: u64,
    pub media: Vec<Media>,
    /// Where checks with our credentials came from.
    sources: Vec<SocketAddr>,
    /// The pair that str0m sends on: (local, remote).
    pub selected: Option<(SocketAddr, SocketAddr)>,
    pub counters: Counters,
    pub peer_stats: Option<PeerStats>,
    /// Bits a second that the path is thought to carry.
    pub congestion: Congestion,
    pub ingress: HashMap<String, MediaIngressStats>,
    pub egress: HashMap<String, MediaEgressStats>,
    pub forward: Tap,
    /// Why it is over.
    pub ended: String,
    held: VecDeque<Held>,
    held_bytes: usize,
    pub consent: Consent,
    connect_by: Option<Instant>,
    quick_until: Instant,
    /// An ICE restart has begun, and no pair of the new candidates is known to work yet.
    pub restarting: bool,
    /// When str0m's clock was moved last.
    advanced: Instant,
    closing: Option<Closing>,
    pub rtc_deadline: Option<Instant>,
}

impl Peer {
    pub fn new(shared: Arc<PeerShared>, mailbox: Arc<Mailbox>, config: PeerConfig, now: Instant) -> Self {
        Self {
            shared,
            mailbox,
            reach: Reach::new(config.servers),
            config,
            state: State::New,
            rtc: None,
            sockets: Vec::new(),
            local_candidates: Vec::new(),
            remote_candidates: Vec::new(),
            early_candidates: Vec::new(),
            pending: None,
            remote_known: false,
            candidates_told: false,
            has_channels: false,
            channels: HashMap::new(),
            channel_keys: HashMap::new(),
            next_remote_key: 1 << 32,
            media: Vec::new(),
            sources: Vec::new(),
            selected: None,
            counters: Counters::default(),
            peer_stats: None,
            congestion: Congestion::default(),
            ingress: HashMap::new(),
            egress: HashMap::new(),
            forward: Tap::default(),
            ended: String::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            consent: Consent::new(now),
            connect_by: None,
            quick_until: now,
            restarting: false,
            advanced: now,
            closing: None,
            rtc_deadline: None,
        }
    }

    pub fn tell(&self, event: Event) {
        self.mailbox.put(&self.shared, event);
    }

    pub fn reply(&self, request: u64, result: Result<Answer, String>) {
        self.tell(Event::Reply { request, result });
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// Does what Python asked. What follows from it goes out in `settle`.
    pub fn handle(&mut self, request: Request, poller: &Poller, now: Instant) {
        match request {
            Request::Offer { request, wishes, codecs } => {
                let result = self.offer(&wishes, &codecs, poller, now);
                self.conclude(request, result);
            }
            Request::Rollback => self.roll_back(),
            Request::Accept { request, sdp, codecs } => {
                let result = self.accept(&sdp, &codecs, poller, now);
                self.conclude(request, result);
            }
            Request::Answer { request, sdp } => {
                let result = self.answer(&sdp, poller, now);
                self.conclude(request, result);
            }
            Request::Server(server) => self.reach.add(*server),
            Request::Candidate(candidate) => self.add_candidate(*candidate, now),
            Request::Unusable => self.counters.candidates_ignored += 1,
            Request::CreateChannel { gauge, config } => self.create_channel(gauge, config),
            Request::Send { key, binary, data } => {
                if let Some(channel) = self.channels.get_mut(&key) {
                    channel.queue(Message { binary, data });
                }
            }
            Request::CloseChannel { key } => self.close_channel(key),
            Request::Frame { mid, codec, timestamp, data } => {
                self.shared.frames_sending.fetch_sub(data.len(), SeqCst);
                self.send_frame(&mid, &codec, timestamp, data, now);
            }
            Request::WishBitrate { desired } => self.wish_bitrate(desired),
            Request::AskKeyframe { mid } => self.request_keyframe(&mid, now),
            Request::Stats { request } => {
                let report = self.report();
                self.reply(request, Ok(Answer::Stats(report)));
            }
            Request::Resume => self.resume(now),
            Request::Close => self.close("closed here", now),
        }
    }

    /// Answers a negotiation request, after everything that it led to has been told.
    fn conclude(&mut self, request: u64, result: Result<Answer, String>) {
        self.drain();
        let done = result.is_ok();
        if done {
            self.announce_media();
        }
        self.reply(request, result);
        if done {
            self.announce_candidates();
        }
        if self.rtc.as_ref().is_some_and(|rtc| !rtc.is_alive()) {
            self.end(false, "the description could not be used");
        }
    }

    /// Both descriptions are there: str0m starts its checks, and our patience with them.
    pub fn start_connecting(&mut self, now: Instant) {
        if self.state == State::New {
            self.connect_by = Some(now + CONNECT_WITHIN);
            self.change(State::Connecting, "");
        }
    }

    /// The far end told a description or a candidate: the checks that follow from it should not wait.
    pub fn hurry(&mut self, now: Instant) {
        self.quick_until = now + QUICK_FOR;
        self.advance(now);
    }

    /// When a check may go out that str0m would send later.
    fn next_quick(&self) -> Option<Instant> {
        let at = self.advanced + QUICK_PACE;
        let waiting = self.restarting || (self.state == State::Connecting && self.selected.is_none());
        (waiting && at <= self.quick_until).then_some(at)
    }

    /// Moves str0m's clock on, so that what is asked of it now happens now.
    pub fn advance(&mut self, now: Instant) {
        self.advanced = now;
        if let Some(rtc) = &mut self.rtc {
            if let Err(error) = rtc.handle_input(Input::Timeout(now)) {
                tracing::debug!(peer = self.shared.id, %error, "timeout");
            }
            self.drain();
        }
    }

    /// Reads socket `index` until it is empty or others must have their turn.
    pub fn read(&mut self, index: usize, buffers: &mut ReadBuffers) {
        if index >= RELAY_KEYS {
            return self.read_relay(index - RELAY_KEYS, buffers);
        }
        let Some(socket) = self.sockets.get(index) else { return };
        let reader = socket.reader();
        let local = socket.local;
        reader.read(buffers, |now, source, datagram| self.receive(now, local, source, datagram));
    }

    pub fn receive(&mut self, now: Instant, local: SocketAddr, source: SocketAddr, datagram: &[u8]) {
        self.counters.packets_received += 1;
        self.counters.bytes_received += datagram.len() as u64;
        if is_stun(datagram) && self.reach.take_answer(local, source, datagram) {
            return;
        }
        if is_dtls(datagram) && self.must_hold() {
            if self.held_bytes + datagram.len() <= MOST_HELD {
                self.held_bytes += datagram.len();
                self.held.push_back(Held { local, source, bytes: datagram.to_vec() });
            }
            return;
        }
        self.input(now, local, source, datagram);
    }

    fn input(&mut self, now: Instant, destination: SocketAddr, source: SocketAddr, datagram: &[u8]) {
        let known = self.knows(source);
        let Some(rtc) = &mut self.rtc else { return };
        let Ok(receive) = Receive::new(Protocol::Udp, source, destination, datagram) else {
            self.counters.discarded += 1;
            return;
        };
        let input = Input::Receive(now, receive);
        if rtc.accepts(&input) {
            self.consent.hear(now);
            if let Some(place) = self.config.place.as_ref().filter(|_| is_stun(datagram)) {
                place.claim(destination, source, now);
            }
            if is_stun(datagram) && self.sources.len() < MOST_SOURCES && !self.sources.contains(&source) {
                self.sources.push(source);
            }
        } else if is_stun(datagram) || !known {
            self.counters.discarded += 1;
            return;
        }
        if let Err(error) = rtc.handle_input(input) {
            // Anyone who knows our addresses can send nonsense; what really broke shows in `drain`.
            self.counters.discarded += 1;
            tracing::debug!(peer = self.shared.id, %error, "input");
        }
        self.drain();
    }

    /// Whether the far end may send from `source`. Its first DTLS flight is often here before our own
    /// check of the pair is answered; refused, it would come again only a second later.
    fn knows(&self, source: SocketAddr) -> bool {
        self.sources.contains(&source) || self.remote_candidates.iter().any(|c| c.addr() == source)
    }

    /// Whether Python is so far behind that SCTP must wait. Says so to Python first, and looks again
    /// after that: Python may have read everything between the two.
    fn must_hold(&mut self) -> bool {
        if self.shared.holding.load(SeqCst) {
            return true;
        }
        if self.shared.unread.load(SeqCst) <= HOLD_ABOVE {
            return false;
        }
        self.shared.holding.store(true, SeqCst);
        if self.shared.unread.load(SeqCst) > RESUME_BELOW {
            return true;
        }
        self.shared.holding.store(false, SeqCst);
        false
    }

    fn resume(&mut self, now: Instant) {
        self.shared.holding.store(false, SeqCst);
        while let Some(held) = self.held.pop_front() {
            self.held_bytes -= held.bytes.len();
            self.input(now, held.local, held.source, &held.bytes);
        }
    }

    /// Takes everything that str0m has to say. To be called after every change made to it.
    pub fn drain(&mut self) {
        let mut errors = 0;
        while let Some(rtc) = &mut self.rtc {
            match rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.rtc_deadline = Some(at);
                    break;
                }
                Ok(Output::Transmit(packet)) => {
                    self.counters.packets_sent += 1;
                    self.counters.bytes_sent += packet.contents.len() as u64;
                    if !is_stun(&packet.contents) {
                        self.selected = Some((packet.source, packet.destination));
                    }
                    let socket = self.sockets.iter_mut().find(|socket| socket.local == packet.source);
                    if let Some(socket) = socket {
                        socket.push(packet.destination, &packet.contents);
                    } else {
                        let now = Instant::now();
                        self.reach.transmit(packet.source, packet.destination, &packet.contents, now);
                    }
                }
                Ok(Output::Event(event)) => self.on_event(event),
                Err(RtcError::Sctp(error)) => {
                    // str0m met the far end's goodbye while SCTP was still being set up, and stumbled.
                    tracing::debug!(peer = self.shared.id, %error, "output");
                    self.closed_by_far_end(Instant::now());
                    errors += 1;
                    if errors > MOST_ERRORS {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(peer = self.shared.id, %error, "output");
                    errors += 1;
                    if !rtc.is_alive() || errors > MOST_ERRORS {
                        return self.end(false, &error.to_string());
                    }
                }
            }
        }
    }

    /// Writes waiting channel messages, brings gauges up to date, sends what is due.
    pub fn settle(&mut self, poller: &Poller, now: Instant) {
        self.pump(now);
        self.say_goodbye();
        self.reach_out(poller, now);
        for socket in &mut self.sockets {
            socket.flush(poller);
        }
        self.watch(now);
    }

    /// Looks after what depends on time alone.
    fn watch(&mut self, now: Instant) {
        if let Some(closing) = &self.closing {
            let drained = self.rtc.as_ref().is_none_or(|rtc| !rtc.is_alive());
            if drained || now >= closing.until {
                let reason = closing.reason.clone();
                self.end(true, &reason);
            }
            return;
        }
        match (self.state, self.consent.verdict(now)) {
            (State::Connecting, _) if self.connect_by.is_some_and(|by| now >= by) => {
                self.end(false, "no connection within 30 s: no candidate pair worked");
            }
            (State::Connected | State::Disconnected, Verdict::Over(reason)) => self.end(false, reason),
            (State::Connected, Verdict::Doubtful(reason)) => self.change(State::Disconnected, reason),
            (State::Disconnected, Verdict::Fine) => self.change(State::Connected, ""),
            _ => {}
        }
        if self.rtc.as_ref().is_some_and(|rtc| !rtc.is_alive()) {
            self.end(false, "the connection ended");
        }
    }

    pub fn on_timeout(&mut self, now: Instant) {
        if [self.rtc_deadline, self.next_quick()].into_iter().flatten().any(|at| at <= now) {
            self.advance(now);
        }
    }

    /// When the engine has to come back to this peer.
    pub fn deadline(&self) -> Option<Instant> {
        let watch = match self.state {
            State::Connecting => self.connect_by,
            State::Connected => Some(self.consent.deadline(false)),
            State::Disconnected => Some(self.consent.deadline(true)),
            _ => None,
        };
        let closing = self.closing.as_ref().map(|closing| closing.until);
        let reach = self.reach.deadline();
        [self.rtc_deadline, self.next_quick(), watch, closing, reach].into_iter().flatten().min()
    }

    pub fn on_connected(&mut self) {
        if matches!(self.state, State::New | State::Connecting) {
            self.connect_by = None;
            self.consent.begin(Instant::now());
            self.change(State::Connected, "");
        }
    }

    /// Starts a clean close: RTCP BYE, SCTP shutdown, DTLS close_notify.
    pub fn close(&mut self, reason: &str, now: Instant) {
        if self.is_over() || self.closing.is_some() {
            return;
        }
        self.advance(now);
        self.closing = Some(Closing { reason: reason.to_owned(), until: now + LINGER, begun: false });
    }

    fn say_goodbye(&mut self) {
        let (Some(rtc), Some(closing)) = (&mut self.rtc, &mut self.closing) else { return };
        if closing.begun {
            return;
        }
        closing.begun = rtc.close().is_ok();
        self.drain();
    }

    /// The far end said goodbye; str0m's own goodbye drains by itself.
    pub fn closed_by_far_end(&mut self, now: Instant) {
        if self.closing.is_none() {
            let reason = "the far end closed the connection".to_owned();
            self.closing = Some(Closing { reason, until: now + LINGER, begun: true });
        }
    }

    /// The end, told to Python with its reason; the engine drops the peer after this.
    pub fn end(&mut self, wished: bool, reason: &str) {
        if self.is_over() {
            return;
        }
        reason.clone_into(&mut self.ended);
        // The reason first: it is also why the channels close.
        self.change(State::Over(wished), reason);
        let keys: Vec<u64> = self.channels.keys().copied().collect();
        for key in keys {
            self.forget_channel(key);
        }
    }

    fn change(&mut self, state: State, reason: &str) {
        self.state = state;
        self.forward.note();
        let name = match state {
            State::New => "new",
            State::Connecting => "connecting",
            State::Connected => "connected",
            State::Disconnected => "disconnected",
            State::Over(true) => "closed",
            State::Over(false) => "failed",
        };
        self.tell(Event::State { state: name, reason: reason.to_owned() });
    }
}

/// RFC 7983: the first byte tells the protocols of one port apart.
fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

pub fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3))
}
