//! One peer connection: a str0m `Rtc`, its sockets, and what the engine keeps beside them.

pub mod capture;
pub mod channel;
pub mod congestion;
pub mod consent;
pub mod gather;
pub mod guard;
pub mod handshake;
pub mod inbound;
pub mod life;
pub mod media;
pub mod negotiate;
pub mod pairs;
pub mod pieces;
pub mod report;
pub mod restart;
pub mod sdp;
pub mod stats;
pub mod window;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use polling::Poller;
use str0m::channel::ChannelId;
use str0m::stats::{MediaEgressStats, MediaIngressStats, PeerStats};
use str0m::{Candidate, Input, Output, Rtc, RtcError};

use crate::engine::arrive::{Held, is_stun};
use crate::engine::command::{PeerConfig, Request};
use crate::engine::event::{Answer, Event};
use crate::engine::mailbox::Mailbox;
use crate::forward::Tap;
use crate::net::Socket;
use crate::peer::channel::{Channel, Message};
use crate::peer::congestion::Congestion;
use crate::peer::consent::Consent;
use crate::peer::life::Closing;
use crate::peer::media::Media;
use crate::peer::negotiate::Pending;
use crate::peer::pairs::Pairs;
use crate::peer::window::Window;
use crate::reach::Reach;

/// Sockets of one peer have poller keys from `id * KEYS`.
pub const KEYS: usize = 64;
/// str0m paces its connectivity checks, and its answers to checks that came before the far end's
/// description, at 50 ms; RFC 8445 (section 14.2) lets it be 5 ms. Each turn sends one check at most, and
/// only one that is due. So quick for a while after each news from the far end, until a pair is selected.
const QUICK_PACE: Duration = Duration::from_millis(5);
const QUICK_FOR: Duration = Duration::from_secs(1);
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
    pub window: Window,
    pub media: Vec<Media>,
    /// Where checks with our credentials came from.
    pub sources: Vec<SocketAddr>,
    /// The pair that str0m sends on: (local, remote).
    pub selected: Option<(SocketAddr, SocketAddr)>,
    pub pairs: Pairs,
    pub counters: Counters,
    pub peer_stats: Option<PeerStats>,
    /// Bits a second that the path is thought to carry.
    pub congestion: Congestion,
    pub ingress: HashMap<String, MediaIngressStats>,
    pub egress: HashMap<String, MediaEgressStats>,
    pub forward: Tap,
    /// Why it is over.
    pub ended: String,
    pub held: VecDeque<Held>,
    pub held_bytes: usize,
    /// Datagrams that str0m has taken in since it was drained last.
    pub undrained: usize,
    pub consent: Consent,
    pub connect_by: Option<Instant>,
    pub quick_until: Instant,
    /// An ICE restart has begun, and no pair of the new candidates is known to work yet.
    pub restarting: bool,
    /// When str0m's clock was moved last.
    pub advanced: Instant,
    pub closing: Option<Closing>,
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
            window: Window::new(now),
            media: Vec::new(),
            sources: Vec::new(),
            selected: None,
            pairs: Pairs::default(),
            counters: Counters::default(),
            peer_stats: None,
            congestion: Congestion::default(),
            ingress: HashMap::new(),
            egress: HashMap::new(),
            forward: Tap::default(),
            ended: String::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            undrained: 0,
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
            Request::RenewServers(count) => self.reach.renew(count),
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

    /// The far end told a description or a candidate: the checks that follow from it should not wait.
    pub fn hurry(&mut self, now: Instant) {
        self.expect_checks(now);
        self.advance(now);
    }

    /// As `hurry`, where str0m's clock is moved by what follows.
    pub fn expect_checks(&mut self, now: Instant) {
        self.quick_until = now + QUICK_FOR;
    }

    /// When a check may go out that str0m would send later.
    pub fn next_quick(&self) -> Option<Instant> {
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

    /// Takes everything that str0m has to say. To be called after every change made to it.
    pub fn drain(&mut self) {
        let mut errors = 0;
        self.undrained = 0;
        while let Some(rtc) = &mut self.rtc {
            match rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.rtc_deadline = Some(at);
                    break;
                }
                Ok(Output::Transmit(packet)) => {
                    self.counters.packets_sent += 1;
                    self.counters.bytes_sent += packet.contents.len() as u64;
                    if is_stun(&packet.contents) {
                        self.pairs.sent(packet.source, packet.destination, &packet.contents, Instant::now());
                    } else {
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
        if self.undrained > 0 {
            self.drain();
        }
        self.pump(now);
        self.say_goodbye();
        self.reach_out(poller, now);
        for socket in &mut self.sockets {
            socket.flush(poller);
        }
        self.watch(now);
        self.flush_capture();
    }
}
