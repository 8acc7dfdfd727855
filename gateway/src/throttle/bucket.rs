//! The token bucket, as a function of its level, the rate and the time.

use std::time::Duration;

/// What a bucket holds: as much as flows in within this time.
const FULL: u64 = 60_000_000;

/// How often something may happen: so many times at once, and so many times a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_minute: u32,
}

impl Rate {
    /// At least one.
    pub const fn per_minute(count: u32) -> Self {
        Self {
            per_minute: if count == 0 { 1 } else { count },
        }
    }

    pub(super) const fn times(self, factor: u32) -> Self {
        Self::per_minute(self.per_minute.saturating_mul(factor))
    }

    /// Microseconds in which one flows in.
    const fn interval(self) -> u64 {
        let interval = FULL / self.per_minute as u64;
        if interval == 0 { 1 } else { interval }
    }
}

/// A bucket's whole state: when it will be full again, in microseconds since some beginning (the generic cell rate
/// algorithm of ITU-T I.371). One in the past is a full bucket, so a bucket nobody has used needs no memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(u64);

impl Level {
    /// A moment, this long after the beginning.
    pub(super) fn at(since_beginning: Duration) -> Self {
        Self(u64::try_from(since_beginning.as_micros()).unwrap_or(u64::MAX))
    }

    /// Takes one out.
    ///
    /// # Errors
    /// How long until there is one.
    pub(super) fn take(self, rate: Rate, now: Level) -> Result<Self, Duration> {
        let full_again = self.0.max(now.0).saturating_add(rate.interval());
        let missing = full_again - now.0;
        if missing > FULL {
            Err(Duration::from_micros(missing - FULL))
        } else {
            Ok(Self(full_again))
        }
    }

    /// Puts one back.
    pub(super) fn give_back(self, rate: Rate, now: Level) -> Self {
        Self(self.0.saturating_sub(rate.interval()).max(now.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Level {
        Level::at(Duration::from_secs(seconds))
    }

    /// How many are given at this moment.
    fn drain(level: &mut Level, rate: Rate, now: Level) -> u32 {
        let mut given = 0;
        while let Ok(next) = level.take(rate, now) {
            *level = next;
            given += 1;
        }
        given
    }

    #[test]
    fn a_minutes_worth_at_once_and_then_one_by_one() {
        let rate = Rate::per_minute(6);
        let mut level = Level::default();
        assert_eq!(drain(&mut level, rate, at(1_000)), 6);
        assert_eq!(level.take(rate, at(1_000)), Err(Duration::from_secs(10)));
        assert_eq!(level.take(rate, at(1_009)), Err(Duration::from_secs(1)));
        assert_eq!(drain(&mut level, rate, at(1_010)), 1);
        assert_eq!(drain(&mut level, rate, at(1_035)), 2);
        assert_eq!(
            drain(&mut level, rate, at(9_000)),
            6,
            "never more than full"
        );
    }

    #[test]
    fn a_refusal_costs_nothing_and_what_comes_back_counts_again() {
        let rate = Rate::per_minute(2);
        let mut level = Level::default();
        assert_eq!(drain(&mut level, rate, at(5)), 2);
        for _ in 0..100 {
            assert_eq!(level.take(rate, at(5)), Err(Duration::from_secs(30)));
        }
        level = level.give_back(rate, at(5));
        assert_eq!(drain(&mut level, rate, at(5)), 1);
        assert_eq!(
            Level::default().give_back(rate, at(5)),
            at(5),
            "full is full"
        );
    }

    proptest! {
        /// In no span of time is more given than what the bucket held and what flowed in.
        #[test]
        fn no_span_gives_more_than_its_share(per_minute in 1u32..500, waits in proptest::collection::vec(0u64..20_000, 1..300)) {
            let rate = Rate::per_minute(per_minute);
            let mut level = Level::default();
            let mut now = Duration::from_secs(100);
            let (begin, mut given) = (now, 0);
            for wait in waits {
                now += Duration::from_millis(wait);
                if let Ok(next) = level.take(rate, Level::at(now)) {
                    level = next;
                    given += 1;
                }
            }
            let flowed = (now - begin).as_micros() as u64 / rate.interval();
            prop_assert!(given <= u64::from(per_minute) + flowed + 1);
        }
    }
}
