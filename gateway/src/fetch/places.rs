use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::FetchError;

/// Fetches at once, in this process.
const MAX_FETCHES: usize = 16;
/// Of these, to one host: nobody's slow site takes every place, and nobody is flooded from here.
const MAX_PER_HOST: usize = 4;
/// Of these, for one who asked: several slow sites that somebody names take not every place either.
const MAX_PER_ASKER: usize = 6;

/// Counts the fetches under way.
#[derive(Debug, Default)]
pub(super) struct Places {
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_host: HashMap<String, usize>,
    by_asker: HashMap<Arc<str>, usize>,
}

/// A fetch's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    host: String,
    asker: Option<Arc<str>>,
}

impl Places {
    /// Waits for a place. Only for who has a deadline, and a bound on how many wait.
    pub(super) async fn wait(self: &Arc<Self>, host: &str, asker: Option<&Arc<str>>) -> Place {
        loop {
            // Made before looking: it hears of a place that becomes free in between.
            let freed = self.freed.notified();
            if let Ok(place) = self.take(host, asker) {
                return place;
            }
            freed.await;
        }
    }

    /// Takes a place, or says that there is none right now: whoever waits in a queue ties up more than a retry does.
    pub(super) fn take(
        self: &Arc<Self>,
        host: &str,
        asker: Option<&Arc<str>>,
    ) -> Result<Place, FetchError> {
        let mut taken = self.taken();
        let of_host = taken.by_host.get(host).copied().unwrap_or_default();
        let of_asker = asker.and_then(|asker| taken.by_asker.get(asker).copied());
        let full = taken.all >= MAX_FETCHES
            || of_host >= MAX_PER_HOST
            || of_asker.is_some_and(|count| count >= MAX_PER_ASKER);
        if full {
            return Err(FetchError::Busy);
        }
        taken.all += 1;
        *taken.by_host.entry(host.to_owned()).or_default() += 1;
        if let Some(asker) = asker {
            *taken.by_asker.entry(Arc::clone(asker)).or_default() += 1;
        }
        Ok(Place {
            places: Arc::clone(self),
            host: host.to_owned(),
            asker: asker.cloned(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        one_less(&mut taken.by_host, self.host.as_str());
        if let Some(asker) = &self.asker {
            one_less(&mut taken.by_asker, asker);
        }
        drop(taken);
        self.places.freed.notify_waiters();
    }
}

fn one_less<K: Hash + Eq + Borrow<str>>(counts: &mut HashMap<K, usize>, key: &str) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_by_host_and_by_process_and_given_back() {
        let places = Arc::<Places>::default();
        let mut held: Vec<_> = (0..MAX_PER_HOST)
            .map(|_| places.take("a", None).unwrap())
            .collect();
        assert_eq!(places.take("a", None).unwrap_err(), FetchError::Busy);
        for n in MAX_PER_HOST..MAX_FETCHES {
            held.push(places.take(&format!("host{n}"), None).unwrap());
        }
        assert_eq!(places.take("another", None).unwrap_err(), FetchError::Busy);
        held.remove(0);
        drop(places.take("another", None).unwrap());
        held.push(places.take("a", None).unwrap());
        assert_eq!(places.take("another", None).unwrap_err(), FetchError::Busy);
        held.clear();
        assert!(places.is_free());
    }

    #[test]
    fn who_names_several_slow_sites_leaves_places_to_others() {
        let places = Arc::<Places>::default();
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let mut held: Vec<_> = (0..MAX_FETCHES)
            .filter_map(|n| places.take(&format!("slow{n}"), Some(&one)).ok())
            .collect();
        assert_eq!(held.len(), MAX_PER_ASKER);
        held.push(places.take("site", Some(&other)).unwrap());
        held.remove(0);
        held.push(places.take("site", Some(&one)).unwrap());
        held.clear();
        assert!(places.is_free());
    }

    impl Places {
        fn is_free(&self) -> bool {
            let taken = self.taken();
            taken.all == 0 && taken.by_host.is_empty() && taken.by_asker.is_empty()
        }
    }

    #[tokio::test]
    async fn who_waits_gets_the_next_place() {
        let places = Arc::<Places>::default();
        let mut held: Vec<_> = (0..MAX_PER_HOST)
            .map(|_| places.take("a", None).unwrap())
            .collect();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { drop(places.wait("a", None).await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        held.clear();
        waiting.await.unwrap();
        assert!(places.is_free());
    }
}
