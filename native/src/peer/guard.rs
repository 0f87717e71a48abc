//! Panics of str0m, met where they happen.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use str0m::{Rtc, RtcError};

/// What a panic said.
pub fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Gives str0m a description. Some that contradict themselves (one payload type for two codecs) make it
/// panic half-way; it is not to be used after that.
pub fn describe<T>(rtc: &mut Rtc, take: impl FnOnce(&mut Rtc) -> Result<T, RtcError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(|| take(rtc))) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => {
            rtc.disconnect();
            Err(format!("the description contradicts itself: {}", words(&*panic)))
        }
    }
}
