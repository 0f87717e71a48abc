//! What a viewer is given, thought over a few times a second: which encoding, how many of its frames.

use std::time::{Duration, Instant};

use super::{Supply, Viewer};
use crate::forward::ladder::{Offer, Target, choose};
use crate::forward::path::Sample;
use crate::peer::Peer;

/// What a viewer gets is thought over this often.
const REVIEW_EVERY: Duration = Duration::from_millis(200);
/// It gets more only after there was room for that, and something to spare, for so long.
const RISE_AFTER: Duration = Duration::from_secs(2);
const SPARE: u64 = 115;
/// Frames that let it join a higher temporal layer come within this, or a keyframe is asked for.
const CLIMB_WITHIN: Duration = Duration::from_secs(4);

impl Viewer {
    /// Decides what this viewer gets from now on.
    pub(super) fn review(
        &mut self,
        peer: &mut Peer,
        supply: &Supply<'_>,
        now: Instant,
        needs: &mut Vec<u64>,
    ) {
        let offers = supply.offers;
        let old = self.target.and_then(|old| {
            let offer = offers.iter().find(|offer| offer.key == old.key)?;
            let rate = old.thin.unwrap_or(offer.rates[usize::from(old.tier)]);
            Some(Target { rate, ..old })
        });
        if old.is_some() && !self.forced && self.reviewed.is_some_and(|at| now < at + REVIEW_EVERY) {
            return;
        }
        self.reviewed = Some(now);
        let estimate = self.estimate(peer, supply, now);
        let Some(new) = choose(offers, estimate, self.limits) else {
            self.target = None;
            return;
        };
        let weight = |target: &Target| (target.thin.is_none(), target.rate);
        let Some(old) = old.filter(|_| !std::mem::take(&mut self.forced)) else {
            return self.aim(new, needs);
        };
        self.climb(offers, now, needs);
        if new.key == old.key && new.tier == old.tier && new.thin.is_some() == old.thin.is_some() {
            self.rising = None;
            self.target = Some(new);
        } else if weight(&new) < weight(&old) {
            self.aim(new, needs);
        } else {
            let spare = estimate.map(|estimate| estimate * 100 / SPARE);
            let sure = choose(offers, spare, self.limits).filter(|sure| weight(sure) > weight(&old));
            let Some(sure) = sure else {
                self.rising = None;
                return;
            };
            if now >= *self.rising.get_or_insert(now) + RISE_AFTER {
                self.aim(sure, needs);
            }
        }
    }

    /// AV1's frames do not tell where a layer may be joined, and others' need not come: after a while it
    /// takes a keyframe.
    fn climb(&mut self, offers: &[Offer], now: Instant, needs: &mut Vec<u64>) {
        let below = self.target.filter(|target| {
            let top = offers.iter().find(|offer| offer.key == target.key).map_or(0, |offer| offer.top);
            let there = self.current == Some(target.key) && !self.waiting && target.thin.is_none();
            there && self.tier < target.tier.min(top)
        });
        let Some(target) = below else {
            self.climbing = None;
            return;
        };
        if now >= *self.climbing.get_or_insert(now) + CLIMB_WITHIN {
            self.climbing = Some(now);
            needs.push(target.key);
        }
    }

    fn aim(&mut self, target: Target, needs: &mut Vec<u64>) {
        let was_thin = self.target.is_some_and(|old| old.thin.is_some());
        if self.live && target.thin.is_none() && (self.current != Some(target.key) || was_thin) {
            needs.push(target.key);
        }
        self.target = Some(target);
        self.rising = None;
    }

    /// Bits a second that the path carries, as far as that is known.
    fn estimate(&mut self, peer: &mut Peer, supply: &Supply<'_>, now: Instant) -> Option<u64> {
        let best = choose(supply.offers, None, self.limits).map_or(0, |best| best.rate);
        self.judge(peer, best, supply.stalled, now);
        self.wish(peer, best);
        self.available = [peer.congestion.estimate, self.path.budget()].into_iter().flatten().min();
        self.available
    }

    /// Where str0m estimates as well: what there would be a use for, so that it probes up to there.
    fn wish(&mut self, peer: &mut Peer, best: u64) {
        let wish = best * 3 / 2;
        if peer.config.initial_bitrate.is_some() && wish.abs_diff(self.wished) > self.wished / 4 {
            self.wished = wish;
            peer.wish_bitrate(wish);
        }
    }

    /// Takes in what the receiver has reported since the last time.
    fn judge(&mut self, peer: &Peer, best: u64, stalled: bool, now: Instant) {
        let Some(stats) = peer.peer_stats.as_ref().filter(|stats| Some(stats.timestamp) != self.sampled)
        else {
            return;
        };
        let passed = self.sampled.map(|at| stats.timestamp.saturating_duration_since(at).as_secs_f64());
        let bits = 8 * (self.sent.bytes - self.counted);
        (self.sampled, self.counted) = (Some(stats.timestamp), self.sent.bytes);
        let Some(passed) = passed.filter(|passed| *passed > 0.1) else { return };
        if stalled {
            return self.path.ignore();
        }
        let line = peer.egress.get(&self.mid.to_string());
        self.path.sample(
            Sample {
                sent: (bits as f64 / passed) as u64,
                loss: stats.egress_loss_fraction.or(line.and_then(|line| line.loss)),
                round_trip: stats.rtt.or(line.and_then(|line| line.rtt)),
            },
            now,
        );
        self.path.lift_above(best);
    }
}
