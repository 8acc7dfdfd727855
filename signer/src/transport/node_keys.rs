use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use candid::Principal;
use ic_agent::Agent;
use moka::sync::Cache;
use tokio::{
    runtime::Handle,
    sync::OwnedMutexGuard,
    task::{JoinHandle, spawn_blocking},
};
use tracing::debug;

/// How long the agent library keeps node keys.
const KEPT: Duration = Duration::from_secs(300);
/// From this age on they are fetched anew behind the caller's back.
const RENEWED: Duration = Duration::from_secs(200);
/// After a fetch that failed, so long no other is begun.
const FAILED: Duration = Duration::from_secs(5);
/// Canisters that are remembered; there is one for each Internet Identity.
const MAX_CANISTERS: u64 = 64;

/// Has the node keys at hand that answers of queries are verified with. The agent library fetches and verifies them,
/// with milliseconds of pairing arithmetic wherever a query that misses them happens to run: so none misses them.
#[derive(Debug, Clone)]
pub(super) struct NodeKeys {
    agent: Agent,
    known: Cache<Principal, Arc<Known>>,
}

/// How things stand with the keys of one canister's subnet.
#[derive(Debug, Default)]
struct Known {
    last: Mutex<Last>,
    /// Held while they are fetched.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Last {
    /// When the fetch that succeeded last was begun.
    done: Option<Instant>,
    /// When the fetch that failed last ended.
    failed: Option<Instant>,
}

impl NodeKeys {
    pub(super) fn new(agent: Agent) -> Self {
        Self {
            agent,
            known: Cache::new(MAX_CANISTERS),
        }
    }

    /// Fetches them unless they are at hand or somebody does it already. Does not wait.
    pub(super) fn warm(&self, canister: Principal) {
        let known = self.of(canister);
        if let Ok(turn) = Arc::clone(&known.turn).try_lock_owned() {
            drop(self.fetch(canister, known, turn));
        }
    }

    /// Waits until they are at hand, or could not be fetched: then the query that needs them will say why.
    pub(super) async fn ready(&self, canister: Principal) {
        let known = self.of(canister);
        if known.last().are_at_hand() {
            return self.warm(canister);
        }
        let turn = Arc::clone(&known.turn).lock_owned().await;
        if let Some(fetch) = self.fetch(canister, known, turn)
            && let Err(error) = fetch.await
        {
            debug!(%canister, %error, "fetching node keys broke off");
        }
    }

    /// Begins a fetch if one is due, which goes on when nobody waits for it any more.
    fn fetch(
        &self,
        canister: Principal,
        known: Arc<Known>,
        turn: OwnedMutexGuard<()>,
    ) -> Option<JoinHandle<()>> {
        if !known.last().is_due() {
            return None;
        }
        let (agent, runtime) = (self.agent.clone(), Handle::current());
        Some(spawn_blocking(move || {
            let _turn = turn;
            let begun = Instant::now();
            let fetched = runtime.block_on(agent.fetch_subnet_by_canister(&canister));
            let mut last = known.last.lock().unwrap_or_else(PoisonError::into_inner);
            match fetched {
                Ok(_) => last.done = Some(begun),
                Err(error) => {
                    debug!(%canister, %error, "node keys could not be fetched");
                    last.failed = Some(Instant::now());
                }
            }
        }))
    }

    fn of(&self, canister: Principal) -> Arc<Known> {
        self.known.get_with(canister, Arc::default)
    }
}

impl Known {
    fn last(&self) -> Last {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Last {
    fn are_at_hand(self) -> bool {
        self.done.is_some_and(|at| at.elapsed() < KEPT)
    }

    fn is_due(self) -> bool {
        self.done.is_none_or(|at| at.elapsed() > RENEWED)
            && self.failed.is_none_or(|at| at.elapsed() > FAILED)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use tokio::{
        sync::{Semaphore, mpsc},
        time::timeout,
    };

    use super::*;
    use crate::transport::{IcRequest, IcResponse, Transport, TransportError, agent::agent};

    const SOON: Duration = Duration::from_secs(10);

    /// Says who was asked about, and holds questions about one canister until it is let go; nobody gets an answer.
    struct Stuck {
        asked: mpsc::UnboundedSender<String>,
        held: Principal,
        go: Arc<Semaphore>,
    }

    #[async_trait]
    impl Transport for Stuck {
        async fn send(&self, request: IcRequest) -> Result<IcResponse, TransportError> {
            let _ = self.asked.send(request.path.clone());
            if request.path.contains(&self.held.to_text()) {
                let _ = self.go.acquire().await;
            }
            Err(TransportError::Unreachable("gone".to_owned()))
        }
    }

    fn canister(number: u8) -> Principal {
        Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, number, 1, 1])
    }

    fn stuck() -> (NodeKeys, mpsc::UnboundedReceiver<String>, Arc<Semaphore>) {
        let (asked, questions) = mpsc::unbounded_channel();
        let go = Arc::new(Semaphore::new(0));
        let stuck = Stuck {
            asked,
            held: canister(1),
            go: Arc::clone(&go),
        };
        let agent = agent(Arc::new(stuck), &[]).unwrap();
        (NodeKeys::new(agent), questions, go)
    }

    fn fetched(keys: &NodeKeys, ago: Duration) {
        keys.of(canister(1)).last.lock().unwrap().done = Instant::now().checked_sub(ago);
    }

    #[tokio::test]
    async fn a_fetch_that_hangs_holds_up_nobody_who_needs_other_keys() {
        let (keys, mut questions, go) = stuck();
        keys.warm(canister(1));
        keys.warm(canister(1));
        assert!(questions.recv().await.is_some());
        let other = timeout(SOON, keys.ready(canister(2))).await;
        go.add_permits(100);
        assert!(other.is_ok());
    }

    #[tokio::test]
    async fn who_has_old_keys_does_not_wait_for_new_ones() {
        let (keys, mut questions, go) = stuck();
        fetched(&keys, RENEWED / 2);
        keys.ready(canister(1)).await;
        assert!(questions.try_recv().is_err());
        fetched(&keys, RENEWED + Duration::from_secs(1));
        let mut waited = timeout(SOON, keys.ready(canister(1))).await;
        assert!(questions.recv().await.is_some());
        if waited.is_ok() {
            waited = timeout(SOON, keys.ready(canister(1))).await;
        }
        go.add_permits(100);
        assert!(waited.is_ok());
    }

    #[tokio::test]
    async fn after_a_failure_nobody_asks_again_at_once() {
        let (keys, mut questions, _go) = stuck();
        keys.ready(canister(2)).await;
        assert!(questions.try_recv().is_ok());
        while questions.try_recv().is_ok() {}
        keys.ready(canister(2)).await;
        keys.warm(canister(2));
        assert!(questions.try_recv().is_err());
        let long_ago = Instant::now().checked_sub(FAILED + Duration::from_secs(1));
        keys.of(canister(2)).last.lock().unwrap().failed = long_ago;
        keys.ready(canister(2)).await;
        assert!(questions.try_recv().is_ok());
    }
}
