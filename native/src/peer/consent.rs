//! Whether the far end is still there, and still wants what we send (RFC 7675).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Nothing heard for so long is told as disconnected. The far end answers our checks, one a second, as
/// long as it lives.
const SILENT: Duration = Duration::from_millis(4500);
/// And for so long as failed.
const LOST: Duration = Duration::from_secs(20);
/// Something is heard, but no check answered: our packets do not get there. Not sooner, since a path may
/// lose several of one check a second and still be of use.
const UNANSWERED: Duration = Duration::from_secs(10);
/// Consent ends 30 s after the last answer (RFC 7675 section 5.1). Answers are counted once a second.
const REVOKED: Duration = Duration::from_secs(28);

/// How a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Fine,
    /// Told as disconnected, with the reason.
    Doubtful(&'static str),
    /// Nothing more may be sent; with the reason.
    Over(&'static str),
}

/// When the far end gave which sign of life.
pub struct Consent {
    /// Anything that came from the far end's address. Anyone may send from there: no consent.
    heard: Instant,
    /// An authenticated answer to one of our checks.
    answered: Instant,
    answers: (Option<SocketAddr>, u64),
}

impl Consent {
    pub fn new(now: Instant) -> Self {
        Self { heard: now, answered: now, answers: (None, 0) }
    }

    /// A pair has been found: its check has just been answered.
    pub fn begin(&mut self, now: Instant) {
        self.heard = now;
        self.answered = now;
    }

    pub fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The pair in use goes to `remote`, and so many of its checks have been answered so far; 0 while an
    /// ICE restart has none yet.
    pub fn count(&mut self, remote: SocketAddr, answers: u64, now: Instant) {
        let seen = (Some(remote), answers);
        if answers > 0 && seen != self.answers {
            self.answers = seen;
            self.answered = now;
        }
    }

    pub fn verdict(&self, now: Instant) -> Verdict {
        let silent = now.saturating_duration_since(self.heard);
        let unanswered = now.saturating_duration_since(self.answered);
        if silent >= LOST {
            Verdict::Over("the far end has been silent for 20 s")
        } else if unanswered >= REVOKED {
            Verdict::Over("the far end has answered no check for 28 s: it may not want what is sent")
        } else if silent >= SILENT {
            Verdict::Doubtful("the far end is silent")
        } else if unanswered >= UNANSWERED {
            Verdict::Doubtful("the far end answers no checks")
        } else {
            Verdict::Fine
        }
    }

    /// When the verdict gets worse if nothing comes.
    pub fn deadline(&self, doubtful: bool) -> Instant {
        if doubtful {
            (self.heard + LOST).min(self.answered + REVOKED)
        } else {
            (self.heard + SILENT).min(self.answered + UNANSWERED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn remote(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn silence_is_doubted_within_five_seconds_and_ends_it_at_twenty() {
        let start = Instant::now();
        let consent = Consent::new(start);
        assert_eq!(consent.verdict(start + 4 * SECOND), Verdict::Fine);
        assert_eq!(consent.deadline(false), start + SILENT);
        assert!(matches!(consent.verdict(start + SILENT), Verdict::Doubtful(_)));
        assert_eq!(consent.deadline(true), start + LOST);
        assert!(matches!(consent.verdict(start + LOST), Verdict::Over(_)));
    }

    #[test]
    fn what_only_sends_has_not_consented() {
        let start = Instant::now();
        let mut consent = Consent::new(start);
        let mut verdicts = Vec::new();
        for second in 1..=30 {
            let now = start + second * SECOND;
            consent.hear(now);
            // As many as before: none is new.
            consent.count(remote(1), 7, now.min(start + SECOND));
            verdicts.push(consent.verdict(now));
        }
        let first = |wanted: fn(&Verdict) -> bool| verdicts.iter().position(wanted).map(|at| at + 1);
        assert_eq!(first(|v| matches!(v, Verdict::Doubtful(_))), Some(11));
        assert_eq!(first(|v| matches!(v, Verdict::Over(_))), Some(29));
    }

    #[test]
    fn each_answer_renews_it() {
        let start = Instant::now();
        let mut consent = Consent::new(start);
        for second in 1..=60 {
            let now = start + second * SECOND;
            consent.hear(now);
            consent.count(remote(1), u64::from(second / 5), now);
            assert_eq!(consent.verdict(now), Verdict::Fine, "second {second}");
        }
    }

    #[test]
    fn another_pair_renews_it_and_a_restart_does_not() {
        let start = Instant::now();
        let mut consent = Consent::new(start);
        consent.count(remote(1), 3, start);
        let later = start + 20 * SECOND;
        consent.count(remote(1), 0, later);
        consent.hear(later);
        assert!(matches!(consent.verdict(later), Verdict::Doubtful(_)));
        consent.count(remote(2), 3, later);
        assert_eq!(consent.verdict(later), Verdict::Fine);
    }
}
