//! What users have, and what calls may.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use slab::Slab;

use super::server::Now;

/// Candidates that one user of a call may send to.
const MOST_CANDIDATES: usize = 64;
/// Users of one call: two, and one or two who come back under another name.
const MOST_PARTIES: usize = 8;

/// Values found by name, and by number where a packet needs them.
pub struct Named<T> {
    names: HashMap<Box<str>, usize>,
    values: Slab<(Box<str>, T)>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { names: HashMap::new(), values: Slab::new() }
    }
}

impl<T> Named<T> {
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The number of `name`, made where there is none.
    pub fn enter(&mut self, name: &str, new: impl FnOnce() -> T) -> usize {
        if let Some(number) = self.find(name) {
            return number;
        }
        let number = self.values.insert((name.into(), new()));
        self.names.insert(name.into(), number);
        number
    }

    pub fn get(&self, number: usize) -> Option<&T> {
        self.values.get(number).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.values.get_mut(number).map(|(_, value)| value)
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        let names = &mut self.names;
        self.values.retain(|_, (name, value)| {
            let kept = keep(value);
            if !kept {
                names.remove(name);
            }
            kept
        });
    }
}

/// One user: how many allocations, and how many bytes may still pass.
pub struct User {
    /// And reservations.
    pub allocations: usize,
    left: f64,
    since: Instant,
}

impl User {
    pub fn new(rate: u64, now: Instant) -> Self {
        Self { allocations: 0, left: burst(rate), since: now }
    }

    /// Whether `bytes` more may pass at `rate` bytes a second (0: no limit).
    pub fn may_pass(&mut self, bytes: usize, rate: u64, now: Instant) -> bool {
        if rate == 0 {
            return true;
        }
        let earned = now.saturating_duration_since(self.since).as_secs_f64() * rate as f64;
        self.since = now;
        self.left = (self.left + earned).min(burst(rate));
        let may = self.left >= bytes as f64;
        if may {
            self.left -= bytes as f64;
        }
        may
    }
}

/// What may pass at once: half a second's worth, and never less than one large key frame.
fn burst(rate: u64) -> f64 {
    (rate as f64 / 2.0).max(131_072.0)
}

/// One call: its parties may reach each other.
#[derive(Default)]
pub struct Call {
    pub allocations: usize,
    /// Credentials count as valid until then, in unix seconds, though they say less.
    pub kept_until: u64,
    /// All its credentials are void until then, in unix seconds.
    pub revoked_until: u64,
    /// By the user who may send there.
    candidates: HashMap<Box<str>, HashMap<SocketAddr, Instant>>,
}

impl Call {
    /// Notes a candidate that was signaled to `user`.
    pub fn permit(&mut self, user: &str, candidate: SocketAddr, until: Instant) {
        if self.candidates.len() >= MOST_PARTIES && !self.candidates.contains_key(user) {
            return;
        }
        let theirs = self.candidates.entry(user.into()).or_default();
        if theirs.len() >= MOST_CANDIDATES && !theirs.contains_key(&candidate) {
            let oldest = theirs.iter().min_by_key(|(_, until)| **until).map(|(at, _)| *at);
            oldest.and_then(|oldest| theirs.remove(&oldest));
        }
        theirs.insert(candidate, until);
    }

    pub fn permits(&self, user: &str, peer: SocketAddr) -> bool {
        self.candidates.get(user).is_some_and(|theirs| theirs.contains_key(&peer))
    }

    pub fn permits_any_of(&self, user: &str, ip: IpAddr) -> bool {
        let theirs = self.candidates.get(user);
        theirs.is_some_and(|theirs| theirs.keys().any(|candidate| candidate.ip() == ip))
    }

    /// Forgets what is over; whether that changed anything.
    pub fn expire(&mut self, now: Now) -> bool {
        if self.allocations > 0 || self.kept_until > now.unix {
            return false;
        }
        let mut changed = false;
        self.candidates.retain(|_, theirs| {
            let before = theirs.len();
            theirs.retain(|_, until| *until > now.at);
            changed |= before != theirs.len();
            !theirs.is_empty()
        });
        changed
    }

    pub fn is_over(&self, unix: u64) -> bool {
        self.allocations == 0 && self.candidates.is_empty() && self.kept_until.max(self.revoked_until) <= unix
    }
}

/// How many challenges an address gets: they are longer than what asks for them, and a source can be
/// forged. A fixed number of buckets, so that forged sources fill nothing; neighbours share one.
pub struct Challenges {
    buckets: Vec<(u32, Instant)>,
}

impl Challenges {
    const BUCKETS: usize = 4096;
    const BURST: u32 = 200;
    const EACH: Duration = Duration::from_millis(10);

    pub fn new(now: Instant) -> Self {
        Self { buckets: vec![(Self::BURST, now); Self::BUCKETS] }
    }

    /// Whether a client at `ip` gets one more. This machine itself is not counted.
    pub fn may(&mut self, ip: IpAddr, now: Instant) -> bool {
        if ip.is_loopback() {
            return true;
        }
        let key = match ip {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        };
        let index = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize;
        let (left, since) = &mut self.buckets[index % Self::BUCKETS];
        let earned = now.saturating_duration_since(*since).as_millis() / Self::EACH.as_millis();
        if earned > 0 {
            *left = left.saturating_add(earned.min(u128::from(Self::BURST)) as u32).min(Self::BURST);
            *since = now;
        }
        let may = *left > 0;
        *left -= u32::from(may);
        may
    }
}
