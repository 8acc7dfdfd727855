//! What goes on beside the requests: records whose time is over go, and the signer is told what it has to be told.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use icgate_proto::{Reason, SignerError, v1};
use tokio::{task::JoinHandle, time::MissedTickBehavior};

use super::Server;
use crate::store::{Moment, StoreError, records::Chore};

const REAP_EVERY: Duration = Duration::from_secs(60);
/// How long chores wait at most when nobody announces them: those of an earlier process, and postponed ones.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const CHORES_AT_ONCE: u32 = 64;

/// The running tasks; they end when this is dropped.
pub(crate) struct Background([JoinHandle<()>; 2]);

impl Background {
    pub(crate) fn start(server: &Arc<Server>) -> Self {
        Self([
            tokio::spawn(reap(Arc::clone(server))),
            tokio::spawn(tell_signer(Arc::clone(server))),
        ])
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

async fn reap(server: Arc<Server>) {
    let mut ticks = tokio::time::interval(REAP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = server.reap().await {
            tracing::error!(%error, "expired records could not be taken away");
        }
    }
}

async fn tell_signer(server: Arc<Server>) {
    loop {
        match server.do_chores().await {
            Ok(true) => {}
            Ok(false) => {
                // Woken or not, the next look finds what is due.
                let _ = tokio::time::timeout(LOOK_EVERY, server.chores.notified()).await;
            }
            Err(error) => {
                tracing::error!(%error, "what the signer has to be told could not be read");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

impl Server {
    async fn reap(&self) -> Result<(), StoreError> {
        let used = self.gate.take_used();
        if !used.is_empty() {
            let mut transaction = self.store.begin().await?;
            transaction.note_use(used).await?;
            self.commit(transaction).await?;
        }
        let unanswered = self.store.unanswered(Moment::now()).await?;
        if !unanswered.is_empty() {
            self.make(&unanswered).await?;
        }
        self.store.reap(Moment::now()).await
    }

    /// Tells the signer what is due; says whether there was anything.
    async fn do_chores(&self) -> Result<bool, StoreError> {
        let due = self.store.due_chores(Moment::now(), CHORES_AT_ONCE).await?;
        // At the same time, so that at the signer they share the wait for the disk.
        let told = join_all(due.iter().map(|due| self.tell(&due.chore))).await;
        let mut done = Vec::new();
        let mut failed = Vec::new();
        for (chore, told) in due.into_iter().zip(told) {
            match told {
                Ok(()) => done.push(chore),
                // There is nothing left to end.
                Err(error) if is_gone(error.reason) => done.push(chore),
                Err(error) => {
                    tracing::warn!(reason = %error.reason, "the signer could not be told; it will be again");
                    failed.push(chore);
                }
            }
        }
        let some = !(done.is_empty() && failed.is_empty());
        self.store.finish_chores(&done).await?;
        self.store.postpone_chores(&failed, Moment::now()).await?;
        Ok(some && failed.is_empty())
    }

    async fn tell(&self, chore: &Chore) -> Result<(), SignerError> {
        match chore {
            Chore::DropSlots { connection, slots } => {
                self.signer
                    .drop_slots(v1::DropSlotsRequest {
                        connection_id: connection.as_str().to_owned(),
                        slot_ids: slots.clone(),
                    })
                    .await
            }
            Chore::Close { connection } => {
                self.signer
                    .close(v1::CloseRequest {
                        connection_id: connection.as_str().to_owned(),
                    })
                    .await
            }
        }
    }
}

fn is_gone(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SecretRefused | Reason::ConnectionEnded | Reason::InvalidArgument
    )
}
