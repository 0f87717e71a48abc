//! What the server has done, read by other threads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        // One thread writes, so that nothing is lost between the two halves.
        self.0.store(self.0.load(Relaxed) + more, Relaxed);
    }

    pub fn up(&self) {
        self.add(1);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Default)]
        pub struct Counters { $($(#[$doc])* pub $name: Counter,)* }

        impl Counters {
            pub fn read(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

counters! {
    /// Now.
    allocations,
    users,
    calls,
    streams,
    /// Since the start.
    allocated,
    bindings,
    relayed_bytes_in,
    relayed_bytes_out,
    relayed_datagrams_in,
    relayed_datagrams_out,
    /// Datagrams of both ways that never left this server, since both ends have their relays here.
    inside,
    refused_credentials,
    refused_expired,
    refused_quota,
    refused_capacity,
    /// Connections for which there was no room.
    refused_streams,
    refused_peers,
    refused_candidates,
    /// Datagrams beyond a user's rate.
    refused_rate,
    /// Challenges not sent, since an address asked for too many.
    refused_challenges,
    /// Neither STUN nor a known client's, or malformed.
    discarded,
    /// From a peer without a permission, or to one.
    not_permitted,
    /// The kernel took no more.
    lost,
}
