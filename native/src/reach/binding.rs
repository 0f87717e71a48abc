//! One question to a STUN server: which address does this socket have, seen from there (RFC 8489)?

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use str0m::Candidate;
use stun_proto::types::attribute::{ErrorCode, XorMappedAddress};
use stun_proto::types::message::{BINDING, Message, MessageClass, MessageWriteVec, TransactionId};
use stun_proto::types::prelude::{MessageWrite, MessageWriteExt};

use super::{LAST_WAIT, Origin, Outcome, RTO, SENDINGS, UNREACHABLE};
use crate::net::Socket;

enum Answer {
    Mapped(SocketAddr),
    Refused(u16, String),
}

pub struct Binding {
    local: SocketAddr,
    server: SocketAddr,
    url: Arc<str>,
    id: TransactionId,
    request: Vec<u8>,
    sendings: u32,
    next: Instant,
    answer: Option<Answer>,
}

impl Binding {
    pub fn new(local: SocketAddr, server: SocketAddr, url: &Arc<str>, now: Instant) -> Self {
        let message = Message::builder_request(BINDING, MessageWriteVec::new());
        let id = message.transaction_id();
        let request = message.finish();
        Self { local, server, url: Arc::clone(url), id, request, sendings: 0, next: now, answer: None }
    }

    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Sends the request when it is due; something once it is answered or given up.
    pub fn step(&mut self, sockets: &mut [Socket], now: Instant) -> Option<Outcome> {
        let failed = |code, text| {
            Some(Outcome::Failed { url: Arc::clone(&self.url), server: self.server, code, text })
        };
        match self.answer.take() {
            Some(Answer::Mapped(address)) => {
                return match Candidate::server_reflexive(address, self.local, "udp") {
                    Ok(candidate) => {
                        let origin = Origin { url: Arc::clone(&self.url), relay_protocol: None };
                        Some(Outcome::Found { candidate, origin })
                    }
                    Err(error) => failed(UNREACHABLE, format!("its answer is of no use: {error}")),
                };
            }
            Some(Answer::Refused(code, text)) => return failed(code, text),
            None => {}
        }
        if now < self.next {
            return None;
        }
        if self.sendings == SENDINGS {
            return failed(UNREACHABLE, "no answer".to_owned());
        }
        if let Some(socket) = sockets.iter_mut().find(|socket| socket.local == self.local) {
            socket.push(self.server, &self.request);
        }
        self.sendings += 1;
        self.next =
            now + if self.sendings == SENDINGS { LAST_WAIT } else { RTO * (1 << (self.sendings - 1)) };
        None
    }

    /// Takes the datagram if it is this request's. What cannot be read is nobody's answer: the true
    /// one may still come.
    pub fn take(&mut self, local: SocketAddr, source: SocketAddr, datagram: &[u8]) -> bool {
        if local != self.local || source != self.server {
            return false;
        }
        let Ok(message) = Message::from_bytes(datagram) else { return false };
        if message.transaction_id() != self.id || !message.has_method(BINDING) {
            return false;
        }
        match message.class() {
            MessageClass::Success => {
                if let Ok(mapped) = message.attribute::<XorMappedAddress>() {
                    self.answer = Some(Answer::Mapped(mapped.addr(self.id)));
                }
            }
            MessageClass::Error => {
                if let Ok(error) = message.attribute::<ErrorCode>() {
                    self.answer = Some(Answer::Refused(error.code(), error.reason().to_owned()));
                }
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LOCAL: &str = "192.0.2.1:1000";
    const SERVER: &str = "192.0.2.9:3478";

    fn binding(now: Instant) -> Binding {
        Binding::new(LOCAL.parse().unwrap(), SERVER.parse().unwrap(), &Arc::from("stun:192.0.2.9"), now)
    }

    fn answer(binding: &Binding) -> Vec<u8> {
        let request = Message::from_bytes(&binding.request).unwrap();
        let mut message = Message::builder_success(&request, MessageWriteVec::new());
        let mapped = XorMappedAddress::new("203.0.113.7:40000".parse().unwrap(), binding.id);
        message.add_attribute(&mapped).unwrap();
        message.finish()
    }

    #[test]
    fn a_silent_server_is_given_up_after_15_and_a_half_seconds() {
        let start = Instant::now();
        let mut binding = binding(start);
        let mut times = Vec::new();
        let mut now = start;
        while binding.step(&mut [], now).is_none() {
            times.push(now.duration_since(start).as_millis());
            now = binding.deadline();
        }
        assert_eq!(times, [0, 250, 750, 1750, 3750, 7750]);
        assert_eq!(now.duration_since(start), Duration::from_millis(15_500));
    }

    #[test]
    fn an_answer_becomes_a_candidate() {
        let now = Instant::now();
        let mut binding = binding(now);
        let answer = answer(&binding);
        assert!(binding.take(binding.local, binding.server, &answer));
        let Some(Outcome::Found { candidate, .. }) = binding.step(&mut [], now) else { panic!() };
        assert_eq!(candidate.addr(), "203.0.113.7:40000".parse().unwrap());
    }

    #[test]
    fn what_is_not_its_answer_is_left_alone() {
        let now = Instant::now();
        let mut binding = binding(now);
        let answer = answer(&binding);
        assert!(!binding.take(binding.local, LOCAL.parse().unwrap(), &answer));
        for length in 0..answer.len() {
            binding.take(binding.local, binding.server, &answer[..length]);
        }
        for byte in 0..answer.len() {
            let mut broken = answer.clone();
            // Method, length, magic cookie and transaction id, one after the other.
            broken[byte] ^= 0x11;
            if byte < 20 {
                assert!(!binding.take(binding.local, binding.server, &broken), "byte {byte}");
            }
        }
        assert!(binding.step(&mut [], now).is_none());
    }
}
