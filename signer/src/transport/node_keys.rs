use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use candid::Principal;
use ic_agent::Agent;
use tokio::{runtime::Handle, sync::Mutex, task::spawn_blocking};
use tracing::debug;

/// The agent library keeps node keys for five minutes.
const RENEWED: Duration = Duration::from_secs(200);

/// Has the node keys at hand that answers of queries are verified with. The agent library fetches and verifies them,
/// with milliseconds of pairing arithmetic wherever a query that misses them happens to run: so none misses them.
#[derive(Debug, Clone)]
pub(super) struct NodeKeys {
    agent: Agent,
    /// When those of a canister's subnet were last fetched; held while they are.
    fetched: Arc<Mutex<HashMap<Principal, Instant>>>,
}

impl NodeKeys {
    pub(super) fn new(agent: Agent) -> Self {
        Self {
            agent,
            fetched: Arc::default(),
        }
    }

    /// Fetches them unless they are at hand. Does not wait.
    pub(super) fn warm(&self, canister: Principal) {
        let this = self.clone();
        tokio::spawn(async move { this.ready(canister).await });
    }

    /// Waits until they are at hand, or could not be fetched: then the query that needs them will say why.
    pub(super) async fn ready(&self, canister: Principal) {
        let mut fetched = self.fetched.lock().await;
        let at = fetched.get(&canister);
        if at.is_some_and(|at| at.elapsed() < RENEWED) {
            return;
        }
        let begun = Instant::now();
        let (agent, runtime) = (self.agent.clone(), Handle::current());
        let fetch = move || runtime.block_on(agent.fetch_subnet_by_canister(&canister));
        match spawn_blocking(fetch).await {
            Ok(Ok(_)) => drop(fetched.insert(canister, begun)),
            Ok(Err(error)) => debug!(%canister, %error, "node keys could not be fetched"),
            Err(error) => debug!(%canister, %error, "fetching node keys broke off"),
        }
    }
}
