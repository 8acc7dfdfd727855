use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ic_agent::Agent;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, spawn_blocking},
};

use super::{CanisterId, IcError};

/// How long the agent library keeps the node keys of a subnet.
const KEPT: Duration = Duration::from_secs(300);
/// From this age on they are fetched anew behind the caller's back.
const RENEWED: Duration = Duration::from_secs(200);
/// Fetches that may hold a thread at once; beyond that a query runs where it is.
const MAX_THREADS: usize = 32;
/// Canisters that are remembered.
const MAX_CANISTERS: usize = 10_000;

/// Keeps the node keys that queries are verified with at hand, and the pairing arithmetic of their certificates away
/// from the threads that serve requests. The agent library fetches and verifies the keys itself, wherever a query
/// that misses them happens to run.
#[derive(Debug, Clone)]
pub(super) struct SubnetKeys {
    agent: Agent,
    known: Arc<Mutex<HashMap<CanisterId, Fetch>>>,
    threads: Arc<Semaphore>,
}

/// How things stand with the keys of one canister's subnet.
#[derive(Debug, Clone, Copy)]
struct Fetch {
    /// When the fetch that succeeded last was begun.
    done: Option<Instant>,
    /// When the fetch that is under way was begun.
    under_way: Option<Instant>,
}

impl SubnetKeys {
    pub(super) fn new(agent: Agent) -> Self {
        Self {
            agent,
            known: Arc::default(),
            threads: Arc::new(Semaphore::new(MAX_THREADS)),
        }
    }

    /// Fetches the keys for a canister that will be queried soon, unless they are at hand or somebody does it
    /// already. Does not wait.
    pub(super) fn warm(&self, canister: CanisterId) {
        let Ok(thread) = Arc::clone(&self.threads).try_acquire_owned() else {
            return;
        };
        let Some(renew) = self.claim(canister) else {
            return;
        };
        let this = self.clone();
        drop(blocking(thread, async move {
            let begun = Instant::now();
            let id = canister.principal();
            let outcome = if renew {
                this.agent.fetch_subnet_by_canister(&id).await
            } else {
                this.agent.get_subnet_by_canister(&id).await
            };
            if let Err(error) = &outcome {
                tracing::debug!(%canister, %error, "the keys of a subnet could not be fetched");
            }
            this.finish(canister, outcome.is_ok().then_some(begun));
        }));
    }

    /// Runs a query: here when it will find the keys, else where fetching them holds nobody up.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        canister: CanisterId,
        query: impl Future<Output = Result<T, IcError>> + Send + 'static,
    ) -> Result<T, IcError> {
        if self.has(canister) {
            self.warm(canister);
            return query.await;
        }
        let begun = Instant::now();
        let outcome = match Arc::clone(&self.threads).try_acquire_owned() {
            Ok(thread) => blocking(thread, query)
                .await
                .map_err(|error| IcError::Unexpected(error.to_string()))?,
            Err(_) => query.await,
        };
        // A rejection has passed the same verification as a reply.
        if matches!(outcome, Ok(_) | Err(IcError::Rejected(_))) {
            self.finish(canister, Some(begun));
        }
        outcome
    }

    fn has(&self, canister: CanisterId) -> bool {
        let known = self.lock();
        let done = known.get(&canister).and_then(|fetch| fetch.done);
        done.is_some_and(|at| at.elapsed() < KEPT)
    }

    /// Takes on a fetch when one is due; true when it must not be answered from what the library keeps.
    fn claim(&self, canister: CanisterId) -> Option<bool> {
        let mut known = self.lock();
        let fetch = known.get(&canister).copied();
        let done = fetch.and_then(|fetch| fetch.done).map(|at| at.elapsed());
        let under_way = fetch.and_then(|fetch| fetch.under_way);
        let due = done.is_none_or(|age| age > RENEWED)
            && under_way.is_none_or(|begun| begun.elapsed() > super::QUERY_DEADLINE);
        if !due {
            return None;
        }
        if fetch.is_none() && known.len() >= MAX_CANISTERS {
            known.retain(|_, fetch| fetch.done.is_some_and(|at| at.elapsed() < KEPT));
            if known.len() >= MAX_CANISTERS {
                return None;
            }
        }
        known.insert(
            canister,
            Fetch {
                done: fetch.and_then(|fetch| fetch.done),
                under_way: Some(Instant::now()),
            },
        );
        Some(done.is_some_and(|age| age < KEPT))
    }

    fn finish(&self, canister: CanisterId, done: Option<Instant>) {
        if let Some(fetch) = self.lock().get_mut(&canister) {
            fetch.done = done.or(fetch.done);
            fetch.under_way = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CanisterId, Fetch>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn blocking<T: Send + 'static>(
    thread: OwnedSemaphorePermit,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let runtime = Handle::current();
    spawn_blocking(move || {
        let _thread = thread;
        runtime.block_on(work)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> CanisterId {
        CanisterId::parse("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap()
    }

    fn keys() -> SubnetKeys {
        SubnetKeys::new(
            Agent::builder()
                .with_url("http://127.0.0.1:1")
                .build()
                .unwrap(),
        )
    }

    #[test]
    fn one_caller_fetches_and_an_old_fetch_is_renewed() {
        let keys = keys();
        assert_eq!(keys.claim(ledger()), Some(false));
        assert_eq!(keys.claim(ledger()), None);
        assert!(!keys.has(ledger()));
        keys.finish(ledger(), Some(Instant::now()));
        assert!(keys.has(ledger()));
        assert_eq!(keys.claim(ledger()), None);
        let ago = |age| Instant::now().checked_sub(age).unwrap();
        keys.finish(ledger(), Some(ago(RENEWED + Duration::from_secs(1))));
        assert!(keys.has(ledger()));
        assert_eq!(keys.claim(ledger()), Some(true));
        keys.finish(ledger(), None);
        assert!(keys.has(ledger()));
        keys.finish(ledger(), Some(ago(KEPT + Duration::from_secs(1))));
        assert!(!keys.has(ledger()));
        assert_eq!(keys.claim(ledger()), Some(false));
    }

    #[tokio::test]
    async fn a_query_runs_with_and_without_keys() {
        let keys = keys();
        assert_eq!(keys.with(ledger(), async { Ok(1) }).await, Ok(1));
        keys.claim(ledger());
        assert_eq!(keys.with(ledger(), async { Ok(2) }).await, Ok(2));
        assert!(keys.has(ledger()));
        assert_eq!(keys.with(ledger(), async { Ok(3) }).await, Ok(3));
    }
}
