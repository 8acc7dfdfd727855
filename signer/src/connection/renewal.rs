use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::MissedTickBehavior;
use tracing::{debug, error};

use crate::{
    Signer,
    clock::{Nanos, SECOND},
};

const RENEWAL_EVERY: Duration = Duration::from_secs(5);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Delegations renewed at the same time.
const CONCURRENCY: usize = 16;
/// How long a lapsed connection is still told that it lapsed.
const TOMBSTONE: Nanos = 24 * 3600 * SECOND;

impl Signer {
    /// Renews delegations and forgets what has lapsed, for as long as the signer runs.
    pub async fn keep_up(self: Arc<Self>) {
        let mut renewal = tokio::time::interval(RENEWAL_EVERY);
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        // After a round that Internet Identity held up, the missed ones are not made up for.
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = renewal.tick() => self.renew_due().await,
                _ = sweep.tick() => self.sweep().await,
            }
        }
    }

    /// Renews the delegations of recently active connections that are about to lapse, so that the next call finds
    /// them warm.
    pub async fn renew_due(self: &Arc<Self>) {
        let now = self.clock.now();
        let due = self
            .open
            .all()
            .into_iter()
            .filter(|connection| connection.is_live(now))
            .flat_map(|connection| {
                let accounts = connection.delegations.due(now);
                accounts
                    .into_iter()
                    .map(move |account| (Arc::clone(&connection), account))
            });
        stream::iter(due.collect::<Vec<_>>())
            .for_each_concurrent(CONCURRENCY, |(connection, account)| async move {
                let mint = || self.mint(&connection, account.clone());
                let renewed = connection.delegations.renew(account.clone(), now, mint).await;
                debug!(connection = %connection.id, renewed = renewed.is_ok(), "delegation renewed");
            })
            .await;
    }

    async fn sweep(&self) {
        let now = self.clock.now();
        match self.store.sweep(now, now.saturating_sub(TOMBSTONE)).await {
            Ok(0) => {}
            Ok(forgotten) => debug!(forgotten, "forgot what had lapsed"),
            Err(cause) => error!(%cause, "could not forget what has lapsed"),
        }
    }
}
