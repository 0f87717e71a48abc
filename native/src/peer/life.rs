//! A peer's states: connecting, connected, silent, and its end with a reason.

use std::time::{Duration, Instant};

use crate::engine::event::Event;
use crate::peer::consent::Verdict;
use crate::peer::{Peer, State};

/// From both descriptions to a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// What a local close may take to get its goodbyes out.
const LINGER: Duration = Duration::from_millis(300);

/// A close under way.
pub struct Closing {
    pub reason: String,
    /// The goodbyes have until then to get out.
    pub until: Instant,
    /// str0m has begun; it refuses while SCTP is still being set up.
    pub begun: bool,
}

impl Peer {
    /// Both descriptions are there: str0m starts its checks, and our patience with them.
    pub fn start_connecting(&mut self, now: Instant) {
        if self.state == State::New {
            self.connect_by = Some(now + CONNECT_WITHIN);
            self.change(State::Connecting, "");
        }
    }

    /// Looks after what depends on time alone.
    pub fn watch(&mut self, now: Instant) {
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

    pub fn say_goodbye(&mut self) {
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
        self.state = State::Over(wished);
        if let Some(report) = self.last_report() {
            self.tell(Event::LastStats(report));
        }
        // The reason first: it is also why the channels close.
        self.change(State::Over(wished), reason);
        let keys: Vec<u64> = self.channels.keys().copied().collect();
        for key in keys {
            self.forget_channel(key);
        }
    }

    pub fn change(&mut self, state: State, reason: &str) {
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
