use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use icgate_proto::SignerError;

use crate::refusal;

/// How a flight ends, for everyone who waited for it.
pub type Landing<V> = Result<V, SignerError>;

type Flight<V> = Shared<BoxFuture<'static, Landing<V>>>;

/// Single flight: of several callers who want the same thing at once, the first does the work and the others wait
/// for it. The work goes on when its callers give up.
#[derive(Clone)]
pub struct Flights<K, V> {
    airborne: Arc<Mutex<HashMap<K, Flight<V>>>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self {
            airborne: Arc::default(),
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Waits for the flight under way for this key, or starts one.
    ///
    /// # Errors
    /// The work's error.
    pub async fn board<F>(&self, key: K, work: impl FnOnce() -> F) -> Landing<V>
    where
        F: Future<Output = Landing<V>> + Send + 'static,
    {
        self.flight(key, work).await
    }

    fn flight<F>(&self, key: K, work: impl FnOnce() -> F) -> Flight<V>
    where
        F: Future<Output = Landing<V>> + Send + 'static,
    {
        let mut airborne = lock(&self.airborne);
        if let Some(flight) = airborne.get(&key) {
            return flight.clone();
        }
        let landing = Landed {
            airborne: Arc::clone(&self.airborne),
            key: key.clone(),
        };
        let work = work();
        let task = tokio::spawn(async move {
            let outcome = work.await;
            // Also runs when the work panics; it takes the lock held here, so never before the entry is made.
            drop(landing);
            outcome
        });
        let flight = task
            .map(|joined| {
                joined.unwrap_or_else(|error| Err(refusal::internal("a task broke off", &error)))
            })
            .boxed()
            .shared();
        airborne.insert(key, flight.clone());
        flight
    }
}

/// Takes a flight off the list when it is over.
struct Landed<K: Hash + Eq, V> {
    airborne: Arc<Mutex<HashMap<K, Flight<V>>>>,
    key: K,
}

impl<K: Hash + Eq, V> Drop for Landed<K, V> {
    fn drop(&mut self) {
        lock(&self.airborne).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use icgate_proto::Reason;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn waiters_share_one_flight_and_the_next_starts_anew() {
        let flights = Flights::<u8, usize>::default();
        let (count, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let work = || {
            let (count, gate) = (Arc::clone(&count), Arc::clone(&gate));
            async move {
                gate.notified().await;
                Ok(count.fetch_add(1, Ordering::SeqCst))
            }
        };
        let waiting: Vec<_> = (0..20).map(|_| flights.flight(1, work)).collect();
        gate.notify_one();
        for flight in waiting {
            assert_eq!(flight.await, Ok(0));
        }
        gate.notify_one();
        assert_eq!(flights.board(1, work).await, Ok(1));
    }

    #[tokio::test]
    async fn keys_do_not_wait_for_each_other() {
        let flights = Flights::<u8, u8>::default();
        let stuck = flights.flight(1, std::future::pending);
        assert_eq!(flights.board(2, || async { Ok(2) }).await, Ok(2));
        drop(stuck);
    }

    #[tokio::test]
    async fn work_goes_on_without_its_caller_and_a_panic_is_an_error() {
        let flights = Flights::<u8, u8>::default();
        let gate = Arc::new(Notify::new());
        let held = Arc::clone(&gate);
        drop(flights.flight(1, || async move {
            held.notified().await;
            Ok(7)
        }));
        let second = flights.flight(1, || async { Ok(8) });
        gate.notify_one();
        assert_eq!(second.await, Ok(7));

        let broken = flights.board(2, || async { panic!("broken") }).await;
        assert_eq!(broken.unwrap_err().reason, Reason::Internal);
        assert_eq!(flights.board(2, || async { Ok(9) }).await, Ok(9));
    }
}
