//! The two clocks of the devnet.
//!
//! `wall` is real time: it dates certificates and bounds `ingress_expiry`, so that unmodified
//! clients stay in step. `now` is real time plus an offset that tests may advance: grants,
//! delegations and pending registrations lapse by it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Nanoseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// Nanoseconds in a minute.
pub(crate) const MINUTE: u64 = 60 * SECOND;

#[derive(Default)]
pub(crate) struct Clock {
    offset_ns: AtomicU64,
}

impl Clock {
    /// Real time in nanoseconds since the Unix epoch.
    pub(crate) fn wall(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_nanos() as u64
    }

    /// Time by which authority lapses, in nanoseconds since the Unix epoch.
    pub(crate) fn now(&self) -> u64 {
        self.wall()
            .saturating_add(self.offset_ns.load(Ordering::Relaxed))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.offset_ns
            .fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}
