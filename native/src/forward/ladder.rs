//! Which of a source's encodings, and how many of its frames, one viewer gets.

use super::stream::TIERS;

/// What the application allows one viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bits a second.
    pub bitrate: Option<u64>,
    /// Temporal layers above this one are left out.
    pub tier: Option<u8>,
    /// How many encodings above the smallest: 0 is the smallest alone.
    pub layer: Option<usize>,
}

/// One encoding that there is.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub key: u64,
    /// Bits a second of all tiers up to each.
    pub rates: [u64; TIERS],
    pub top: u8,
}

/// What a viewer is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub key: u64,
    pub tier: u8,
    /// Even the least is too much: what fits into so many bits a second, from each keyframe on.
    pub thin: Option<u64>,
    /// What it costs, bits a second; 0 while that is not known.
    pub rate: u64,
    /// It is less than the limits alone would allow.
    pub limited: bool,
}

/// The most that fits `budget` (bits a second; None: no bound), by measured rates. None: nothing is offered.
pub fn choose(offers: &[Offer], budget: Option<u64>, limits: Limits) -> Option<Target> {
    let mut ranked: Vec<&Offer> = offers.iter().collect();
    ranked.sort_by_key(|offer| offer.rates[TIERS - 1]);
    if let Some(layer) = limits.layer {
        ranked.truncate(layer + 1);
    }
    let least = *ranked.first()?;
    let budget = [budget, limits.bitrate].into_iter().flatten().min();
    let mut options: Vec<Target> = Vec::new();
    for offer in &ranked {
        let most = limits.tier.unwrap_or(TIERS as u8 - 1).min(TIERS as u8 - 1);
        // The highest stands for all above it, which may yet turn up.
        for tier in (0..offer.top.min(most)).chain([most]) {
            let rate = offer.rates[usize::from(tier)];
            options.push(Target { key: offer.key, tier, thin: None, rate, limited: false });
        }
    }
    // Of two that cost the same the larger encoding's comes later, and wins.
    options.sort_by_key(|option| option.rate);
    let best = *options.last()?;
    let Some(budget) = budget else { return Some(best) };
    let fitting = options.into_iter().rev().find(|option| option.rate <= budget);
    let bandwidth = |target: Target| Target {
        limited: target.rate < best.rate && limits.bitrate.is_none_or(|bitrate| budget < bitrate),
        ..target
    };
    Some(fitting.map_or_else(
        || bandwidth(Target { key: least.key, tier: 0, thin: Some(budget), rate: budget, limited: true }),
        bandwidth,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(key: u64, tiers: &[u64]) -> Offer {
        let mut rates = [*tiers.last().unwrap(); TIERS];
        rates[..tiers.len()].copy_from_slice(tiers);
        Offer { key, rates, top: tiers.len() as u8 - 1 }
    }

    fn got(budget: Option<u64>, limits: Limits) -> (u64, u8, Option<u64>) {
        let offers = [offer(1, &[600, 1000]), offer(2, &[150, 250])];
        let target = choose(&offers, budget, limits).unwrap();
        (target.key, target.tier, target.thin)
    }

    #[test]
    fn the_most_that_fits() {
        let free = Limits::default();
        assert_eq!(got(None, free), (1, 7, None));
        assert_eq!(got(Some(1000), free), (1, 7, None));
        assert_eq!(got(Some(999), free), (1, 0, None));
        assert_eq!(got(Some(300), free), (2, 7, None));
        assert_eq!(got(Some(200), free), (2, 0, None));
        assert_eq!(got(Some(100), free), (2, 0, Some(100)));
    }

    #[test]
    fn limits_hold_without_a_budget() {
        assert_eq!(got(None, Limits { layer: Some(0), ..Limits::default() }), (2, 7, None));
        assert_eq!(got(None, Limits { tier: Some(0), ..Limits::default() }), (1, 0, None));
        assert_eq!(got(Some(9999), Limits { bitrate: Some(700), ..Limits::default() }), (1, 0, None));
    }

    #[test]
    fn only_the_network_is_a_limitation() {
        let offers = [offer(1, &[600, 1000])];
        let limits = Limits { bitrate: Some(700), ..Limits::default() };
        assert!(!choose(&offers, Some(9999), limits).unwrap().limited);
        assert!(choose(&offers, Some(650), limits).unwrap().limited);
        assert!(choose(&offers, Some(650), Limits::default()).unwrap().limited);
        assert!(choose(&offers, Some(50), limits).unwrap().limited);
        assert_eq!(choose(&[], None, limits), None);
    }
}
