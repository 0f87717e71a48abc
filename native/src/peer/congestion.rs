//! Transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc-extensions-01): how much the path
//! to the far end carries, and a pacer that keeps to it. All of it is str0m's; off unless asked for.

use str0m::RtcConfig;
use str0m::bwe::{Bitrate, BweKind};

use crate::engine::event::Event;
use crate::peer::Peer;

/// A change of the estimate by less than this share is not told.
const WORTH_TELLING: f64 = 0.01;

/// Switches it on where an estimate to begin with is given, in bits a second.
pub fn enable(config: RtcConfig, initial: Option<u64>) -> RtcConfig {
    config.enable_bwe(initial.map(Bitrate::from))
}

/// What is known and wanted of the path's capacity, in bits a second.
#[derive(Default)]
pub struct Congestion {
    pub estimate: Option<u64>,
    desired: Option<u64>,
}

impl Peer {
    pub fn on_estimate(&mut self, kind: &BweKind) {
        // REMB (draft-alvestrand-rmcat-remb) is what a far end without transport-wide feedback tells.
        let (BweKind::Twcc { estimate, .. } | BweKind::Remb { estimate, .. }) = kind else { return };
        let estimate = estimate.as_u64();
        let before = self.congestion.estimate.unwrap_or(0) as f64;
        if (estimate as f64 - before).abs() <= before * WORTH_TELLING {
            return;
        }
        self.congestion.estimate = Some(estimate);
        self.tell(Event::Bandwidth { estimate });
    }

    /// What would be sent if the path carried it, in bits a second: str0m probes up to there.
    pub fn wish_bitrate(&mut self, desired: u64) {
        self.congestion.desired = Some(desired);
        self.apply_wish();
    }

    /// Tells str0m what was wished for; again once there is one to tell.
    pub fn apply_wish(&mut self) {
        if let (Some(rtc), Some(desired)) = (&mut self.rtc, self.congestion.desired) {
            rtc.bwe().set_bitrate(Bitrate::ZERO, Bitrate::from(desired));
        }
    }
}
