//! The levels of many buckets in a fixed number of places.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash},
    sync::{Mutex, PoisonError},
};

use super::bucket::Level;

/// Places that one bucket may lie in.
const WAYS: usize = 8;
/// With eight places each about 65,000 buckets and one and a half megabytes.
const SETS: usize = 8_192;

/// Buckets by a keyed hash of whom they belong to, each in one of the few places of its set.
///
/// When all of these are taken, the fullest bucket makes room: whoever asked least, or longest ago, loses least. To
/// have his own empty bucket forgotten, somebody would have to empty as many others of the same set, from as many
/// addresses, and he cannot know which addresses those are, since the key of the hash is this process's secret.
#[derive(Debug)]
pub(super) struct Table {
    hash: RandomState,
    sets: Box<[Mutex<Set>]>,
}

type Set = [Place; WAYS];

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    owner: u64,
    level: Level,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            hash: RandomState::new(),
            sets: (0..SETS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Table {
    /// Changes the level of whoever this is; one who is not known has a full bucket.
    pub(super) fn change<T>(&self, who: &impl Hash, change: impl FnOnce(&mut Level) -> T) -> T {
        let owner = self.hash.hash_one(who);
        let set = &self.sets[(owner % SETS as u64) as usize];
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let known = set.iter().position(|place| place.owner == owner);
        let place = known.unwrap_or_else(|| fullest(&set));
        if known.is_none() {
            set[place] = Place {
                owner,
                level: Level::default(),
            };
        }
        change(&mut set[place].level)
    }
}

fn fullest(set: &Set) -> usize {
    set.iter()
        .enumerate()
        .min_by_key(|(_, place)| place.level)
        .map_or(0, |(position, _)| position)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::throttle::Rate;

    #[test]
    fn a_flood_from_many_addresses_does_not_refill_the_bucket_of_one() {
        let table = Table::default();
        let rate = Rate::per_minute(10);
        let now = Level::at(Duration::from_secs(1_000));
        let take = |who: u32| {
            table.change(&who, |level| {
                *level = level.take(rate, now)?;
                Ok::<_, Duration>(())
            })
        };
        for _ in 0..10 {
            take(0).unwrap();
        }
        assert!(take(0).is_err());
        // Forty for each place there is.
        for other in 1..=(40 * (SETS * WAYS) as u32) {
            // Whether each of them is still known does not matter.
            let _ = take(other);
        }
        assert!(take(0).is_err(), "its owner has not paid for a new one");
    }
}
