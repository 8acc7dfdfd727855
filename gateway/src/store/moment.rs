use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A point in time in whole seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Moment(u64);

impl Moment {
    /// The present, rounded down.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// From seconds since the Unix epoch.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// From nanoseconds since the Unix epoch, rounded down: an expiry never becomes later.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos / NANOS_PER_SECOND)
    }

    /// Seconds since the Unix epoch.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Nanoseconds since the Unix epoch, as the signer counts.
    pub const fn nanos(self) -> u64 {
        self.0.saturating_mul(NANOS_PER_SECOND)
    }

    /// This moment and `seconds` more.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to here; zero when `earlier` is later.
    pub const fn since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Rounded down; the epoch for what lies before it.
impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_secs()))
    }
}

/// As RFC 3339 has it, in UTC.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = i64::try_from(self.0)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|time| time.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} s after 1970", self.0),
        }
    }
}

impl From<Moment> for SystemTime {
    fn from(moment: Moment) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(moment.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_rfc_3339_and_never_fails() {
        let text = Moment::from_nanos(1_700_000_000_999_999_999).to_string();
        assert_eq!(text, "2023-11-14T22:13:20Z");
        let never = Moment::from_seconds(u64::MAX).to_string();
        assert_eq!(never, "18446744073709551615 s after 1970");
    }
}
