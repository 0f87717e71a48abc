//! Coverage-guided fuzzing of what a stranger can have us read before any key is checked: descriptions as offers
//! and as answers, and candidate lines. `native/fuzz/README.md` says how to run it.
//!
//! The first byte of an input says what it is read as; the rest is text.

#![no_main]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Once, OnceLock};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::ChannelConfig;
use str0m::config::{DtlsCert, DtlsVersion};
use str0m::media::{Direction, MediaKind};
use str0m::{Candidate, Input, Output, Rtc, RtcError};

#[allow(dead_code)]
#[path = "../../src/peer/sdp.rs"]
mod sdp;

/// As the engine does (`src/peer/guard.rs`): a panic while a description is taken in refuses it. Any other ends the run.
fn describe<T>(take: impl FnOnce() -> Result<T, RtcError>) -> Option<T> {
    TAKING.set(true);
    let taken = catch_unwind(AssertUnwindSafe(take));
    TAKING.set(false);
    taken.ok().and_then(Result::ok)
}

thread_local! {
    static TAKING: Cell<bool> = const { Cell::new(false) };
}

fn expect_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // libFuzzer's own hook aborts.
        let abort = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !TAKING.get() {
                abort(panic);
            }
        }));
    });
}

fn rtc(now: Instant) -> Rtc {
    static CERTIFICATE: OnceLock<DtlsCert> = OnceLock::new();
    let certificate = CERTIFICATE.get_or_init(|| {
        str0m::crypto::from_feature_flags().dtls_provider.generate_certificate().expect("a certificate")
    });
    // As the engine sets them (`src/peer/negotiate.rs`): with SNAP a description holds an SCTP INIT.
    let mut rtc = Rtc::builder()
        .set_dtls_cert(certificate.clone())
        .set_dtls_version(DtlsVersion::Auto)
        .set_snap_enabled(true)
        .build(now);
    let local = "127.0.0.1:5000".parse().expect("an address");
    rtc.add_local_candidate(Candidate::host(local, "udp").expect("a candidate"));
    rtc
}

/// A second of what the connection would do with the description: checks, timeouts, events.
fn live(rtc: &mut Rtc, mut now: Instant, candidates: Vec<Candidate>) {
    for candidate in candidates {
        rtc.add_remote_candidate(candidate);
    }
    for _ in 0..10 {
        now += Duration::from_millis(100);
        if rtc.handle_input(Input::Timeout(now)).is_err() {
            return;
        }
        for _ in 0..200 {
            match rtc.poll_output() {
                Ok(Output::Timeout(_)) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    expect_panics();
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let now = Instant::now();
    if kind % 4 == 0 {
        let _ = sdp::read_candidate(text);
        return;
    }
    let remote = sdp::read_remote(text);
    if kind % 2 == 1 {
        let Ok(offer) = SdpOffer::from_sdp_string(&remote.sdp) else { return };
        let mut answerer = rtc(now);
        if let Some(answer) = describe(|| answerer.sdp_api().accept_offer(offer)) {
            let _ =
                SdpAnswer::from_sdp_string(&answer.to_sdp_string()).expect("our own answer is well-formed");
            live(&mut answerer, now, remote.candidates);
        }
    } else {
        let Ok(answer) = SdpAnswer::from_sdp_string(&remote.sdp) else { return };
        let mut offerer = rtc(now);
        let mut change = offerer.sdp_api();
        change.add_channel_with_config(ChannelConfig::default());
        change.add_media(MediaKind::Video, Direction::SendRecv, None, None, None);
        let Some((_, pending)) = change.apply() else { return };
        if describe(|| offerer.sdp_api().accept_answer(pending, answer)).is_some() {
            live(&mut offerer, now, remote.candidates);
        }
    }
});
