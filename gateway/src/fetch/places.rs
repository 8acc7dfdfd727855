use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::FetchError;

/// Fetches at once, in this process.
const MAX_FETCHES: usize = 16;
/// Of these, to one host: nobody's slow site takes every place, and nobody is flooded from here.
const MAX_PER_HOST: usize = 4;

/// Counts the fetches under way by host.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_host: Mutex<HashMap<String, usize>>,
    freed: Notify,
}

/// A fetch's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    host: String,
}

impl Places {
    /// Waits for a place. Only for who has a deadline, and a bound on how many wait.
    pub(super) async fn wait(self: &Arc<Self>, host: &str) -> Place {
        loop {
            // Made before looking: it hears of a place that becomes free in between.
            let freed = self.freed.notified();
            if let Ok(place) = self.take(host) {
                return place;
            }
            freed.await;
        }
    }

    /// Takes a place, or says that there is none right now: whoever waits in a queue ties up more than a retry does.
    pub(super) fn take(self: &Arc<Self>, host: &str) -> Result<Place, FetchError> {
        let mut taken = self.taken();
        let of_host = taken.get(host).copied().unwrap_or_default();
        if of_host >= MAX_PER_HOST || taken.values().sum::<usize>() >= MAX_FETCHES {
            return Err(FetchError::Busy);
        }
        taken.insert(host.to_owned(), of_host + 1);
        Ok(Place {
            places: Arc::clone(self),
            host: host.to_owned(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.by_host.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.host) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.remove(&self.host);
            }
        }
        drop(taken);
        self.places.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_by_host_and_by_process_and_given_back() {
        let places = Arc::<Places>::default();
        let mut held: Vec<_> = (0..MAX_PER_HOST)
            .map(|_| places.take("a").unwrap())
            .collect();
        assert_eq!(places.take("a").unwrap_err(), FetchError::Busy);
        for n in MAX_PER_HOST..MAX_FETCHES {
            held.push(places.take(&format!("host{n}")).unwrap());
        }
        assert_eq!(places.take("another").unwrap_err(), FetchError::Busy);
        held.remove(0);
        drop(places.take("another").unwrap());
        held.push(places.take("a").unwrap());
        assert_eq!(places.take("another").unwrap_err(), FetchError::Busy);
        held.clear();
        assert!(places.taken().is_empty());
    }

    #[tokio::test]
    async fn who_waits_gets_the_next_place() {
        let places = Arc::<Places>::default();
        let mut held: Vec<_> = (0..MAX_PER_HOST)
            .map(|_| places.take("a").unwrap())
            .collect();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { drop(places.wait("a").await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        held.clear();
        waiting.await.unwrap();
        assert!(places.taken().is_empty());
    }
}
