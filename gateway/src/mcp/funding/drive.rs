//! Working on an intent until it is finished or something is in the way, one worker at a time.

use std::time::Duration;

use candid::Principal;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    super::{
        caller::Caller, catalog::Tools, failure::Failure, management_identity::ManagementIdentity,
    },
    not_stored, words,
    words::Outcome,
};
use crate::{
    funding::{
        intent::Intent,
        machine::{self, Learned, Step, Then},
    },
    store::{
        Moment, Store,
        funding::{Holder, Owner, Saved},
    },
};

/// How long others keep away from an intent whose worker died, in seconds.
const LEASE_SECONDS: u64 = 15;
/// How often a worker that lives says so.
const RENEWAL: Duration = Duration::from_secs(5);
/// How long another worker is waited for.
const PATIENCE: Duration = Duration::from_secs(45);
const GLANCE: Duration = Duration::from_millis(200);
/// Steps in one go; the longest way without interference has three.
const MOST_STEPS: usize = 24;
/// Waits for a canister that is at work.
const MOST_WAITS: u32 = 10;

/// What paying works with.
pub(super) struct Work<'a> {
    pub(super) tools: &'a Tools,
    pub(super) caller: &'a Caller,
    pub(super) identity: ManagementIdentity<'a>,
    /// The identity's principal.
    pub(super) payer: Principal,
    /// Whose intents these are.
    pub(super) owner: Owner,
}

impl Work<'_> {
    /// Goes on with an intent. Dropping the future leaves it as if the process had died: to be resumed.
    pub(super) async fn drive(&self, id: i64) -> Result<Outcome, Failure> {
        let Some(_lease) = self.lease(id).await? else {
            return Ok(Outcome::of(self.read(id).await?));
        };
        let mut waits = 0;
        for _ in 0..MOST_STEPS {
            let mut intent = self.read(id).await?;
            if intent.payer != self.payer {
                return Err(words::other_payer(&intent));
            }
            let (learned, cause) = match machine::next(&intent) {
                Step::Rest => return Ok(Outcome::of(intent)),
                Step::Pay => {
                    let sending = machine::sending(&intent);
                    if self.save(&mut intent, sending).await? == Saved::Outrun {
                        continue;
                    }
                    self.caller.progress("paying").await;
                    let (answer, cause) = Box::pin(self.pay(&intent)).await;
                    (machine::paid(&intent, answer), cause)
                }
                Step::Notify(block) => {
                    let note = format!("paid in block {block}; asking for what was paid for");
                    self.caller.progress(note).await;
                    let (answer, cause) = Box::pin(self.notify(&intent, block)).await;
                    (machine::notified(&intent, answer), cause)
                }
            };
            let Learned {
                progress,
                payment,
                then,
            } = learned;
            intent.payment = payment;
            if self.save(&mut intent, progress).await? == Saved::Outrun {
                continue;
            }
            match then {
                Then::GoOn => {}
                Then::Wait if waits < MOST_WAITS => {
                    waits += 1;
                    sleep(Duration::from_millis(500) * waits.min(6)).await;
                }
                Then::Wait => return Ok(Outcome::of(intent)),
                Then::Stop(trouble) => {
                    return Ok(Outcome {
                        intent,
                        trouble: Some(trouble),
                        cause,
                    });
                }
            }
        }
        Err(words::busy())
    }

    pub(super) async fn read(&self, id: i64) -> Result<Intent, Failure> {
        let intent = self.tools.store.intent(&self.owner, id).await;
        intent
            .map_err(|error| not_stored(&error))?
            .ok_or_else(Failure::internal)
    }

    /// Makes a change durable; one that changes nothing is not written.
    pub(super) async fn save(
        &self,
        intent: &mut Intent,
        progress: crate::funding::intent::Progress,
    ) -> Result<Saved, Failure> {
        let before = self.read(intent.id).await?;
        intent.progress = progress;
        if before.revision == intent.revision
            && before.progress == intent.progress
            && before.payment == intent.payment
        {
            return Ok(Saved::Yes);
        }
        let now = Moment::now();
        let saved = self.tools.store.save_intent(intent, now).await;
        let saved = saved.map_err(|error| not_stored(&error))?;
        if saved == Saved::Yes {
            intent.revision += 1;
            intent.changed_at = now;
        }
        Ok(saved)
    }

    /// The right to work on an intent; none when another worker finished it first.
    async fn lease(&self, id: i64) -> Result<Option<Lease>, Failure> {
        let holder = holder()?;
        let since = Instant::now();
        loop {
            if let Some(lease) = Lease::take(&self.tools.store, id, holder).await? {
                return Ok(Some(lease));
            }
            if self.read(id).await?.progress.is_finished() {
                return Ok(None);
            }
            if since.elapsed() > PATIENCE {
                return Err(words::busy());
            }
            sleep(GLANCE).await;
        }
    }
}

fn holder() -> Result<Holder, Failure> {
    let mut holder = Holder::default();
    getrandom::fill(&mut holder).map_err(|error| {
        tracing::error!(%error, "no randomness");
        Failure::internal()
    })?;
    Ok(holder)
}

/// The right to work on an intent, for as long as this lives.
struct Lease {
    store: Store,
    id: i64,
    holder: Holder,
    renewal: JoinHandle<()>,
}

impl Lease {
    async fn take(store: &Store, id: i64, holder: Holder) -> Result<Option<Self>, Failure> {
        let taken = renew(store, id, &holder).await;
        if !taken.map_err(|error| not_stored(&error))? {
            return Ok(None);
        }
        let renewed = store.clone();
        let renewal = tokio::spawn(async move {
            loop {
                sleep(RENEWAL).await;
                if let Err(error) = renew(&renewed, id, &holder).await {
                    tracing::warn!(%error, "the work on a payment could not be announced");
                }
            }
        });
        Ok(Some(Self {
            store: store.clone(),
            id,
            holder,
            renewal,
        }))
    }
}

async fn renew(store: &Store, id: i64, holder: &Holder) -> Result<bool, crate::store::StoreError> {
    let now = Moment::now();
    let until = now.plus(LEASE_SECONDS);
    store.lease_intent(id, holder, now, until).await
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        let (store, id, holder) = (self.store.clone(), self.id, self.holder);
        // Without a runtime the process is at its end, and the lease lapses by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = store.release_intent(id, &holder).await {
                    tracing::warn!(%error, "the end of the work on a payment could not be noted");
                }
            });
        }
    }
}
