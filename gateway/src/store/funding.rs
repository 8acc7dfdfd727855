//! Intents of funding.

use ::candid::Principal;
use sqlx::{Row, sqlite::SqliteRow};

use super::{Moment, Store, StoreError, Transaction, encoding};
use crate::{
    connection::ConnectionId,
    funding::intent::{Asked, Intent, Payment, Progress, RequestId},
    instance::InstanceName,
};

/// Whose intents.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The instance.
    pub instance: InstanceName,
    /// The signer's name for the user.
    pub user_id: String,
}

/// A wish that becomes an intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIntent {
    /// The caller's name for it.
    pub request_id: Option<RequestId>,
    /// Whose balance pays.
    pub payer: Principal,
    /// What was asked for.
    pub asked: Asked,
    /// What is paid.
    pub payment: Payment,
    /// The payment's time in nanoseconds; a later one is taken when the payer has one of this time.
    pub created_at_ns: u64,
}

/// Who holds a lease: random bytes.
pub type Holder = [u8; 16];

/// Whether a change was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It was.
    Yes,
    /// Somebody else changed the intent before.
    Outrun,
}

impl Store {
    /// The user whose connection this is, if it is known.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn owner(
        &self,
        instance: InstanceName,
        connection: &ConnectionId,
    ) -> Result<Option<Owner>, StoreError> {
        let user =
            sqlx::query_scalar("SELECT user_id FROM connections WHERE id = ? AND instance = ?")
                .bind(connection.as_str())
                .bind(instance.as_str())
                .fetch_optional(&self.readers)
                .await?;
        Ok(user.map(|user_id| Owner { instance, user_id }))
    }

    /// One of a user's intents as it is now.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn intent(&self, owner: &Owner, id: i64) -> Result<Option<Intent>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM funding_intents WHERE id = ? AND instance = ? AND user_id = ?",
        )
        .bind(id)
        .bind(owner.instance.as_str())
        .bind(&owner.user_id)
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(intent).transpose()
    }

    /// Every intent of a user, the oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn intents(&self, owner: &Owner) -> Result<Vec<Intent>, StoreError> {
        let mut connection = self.readers.acquire().await?;
        intents(&mut connection, owner).await
    }

    /// Takes the exclusive right to work on an intent until `until`, or prolongs it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn lease_intent(
        &self,
        id: i64,
        holder: &Holder,
        now: Moment,
        until: Moment,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let taken = sqlx::query(
            "UPDATE funding_intents SET lease_holder = ?, lease_until = ?
             WHERE id = ? AND (lease_until <= ? OR lease_holder = ?)",
        )
        .bind(&holder[..])
        .bind(encoding::seconds(until))
        .bind(id)
        .bind(encoding::seconds(now))
        .bind(&holder[..])
        .execute(&mut *transaction.open)
        .await?;
        transaction.commit().await?;
        Ok(taken.rows_affected() > 0)
    }

    /// Gives that right back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn release_intent(&self, id: i64, holder: &Holder) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "UPDATE funding_intents SET lease_holder = NULL, lease_until = 0
             WHERE id = ? AND lease_holder = ?",
        )
        .bind(id)
        .bind(&holder[..])
        .execute(&mut *transaction.open)
        .await?;
        transaction.commit().await.map(drop)
    }

    /// Notes what is paid and how far it has come, unless the intent changed since it was read. Durable when this
    /// returns.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn save_intent(&self, intent: &Intent, now: Moment) -> Result<Saved, StoreError> {
        let mut transaction = self.begin().await?;
        let saved = sqlx::query(
            "UPDATE funding_intents
             SET payment = ?, progress = ?, finished = ?, changed_at = ?, revision = revision + 1
             WHERE id = ? AND revision = ?",
        )
        .bind(json(&intent.payment)?)
        .bind(json(&intent.progress)?)
        .bind(intent.progress.is_finished())
        .bind(encoding::seconds(now))
        .bind(intent.id)
        .bind(intent.revision)
        .execute(&mut *transaction.open)
        .await?;
        transaction.commit().await?;
        Ok(match saved.rows_affected() {
            0 => Saved::Outrun,
            _ => Saved::Yes,
        })
    }
}

impl Transaction {
    /// Every intent of a user, the oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn intents(&mut self, owner: &Owner) -> Result<Vec<Intent>, StoreError> {
        intents(&mut self.open, owner).await
    }

    /// Keeps a new intent. Returns its number.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_intent(
        &mut self,
        owner: &Owner,
        new: &NewIntent,
        now: Moment,
    ) -> Result<i64, StoreError> {
        let created_at = self.free_time(new.payer, new.created_at_ns).await?;
        let added = sqlx::query(
            "INSERT INTO funding_intents (instance, user_id, request_id, payer, asked, payment,
                 created_at_ns, progress, finished, started_at, changed_at, revision)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, 0)",
        )
        .bind(owner.instance.as_str())
        .bind(&owner.user_id)
        .bind(new.request_id.as_ref().map(RequestId::as_str))
        .bind(new.payer.to_text())
        .bind(json(&new.asked)?)
        .bind(json(&new.payment)?)
        .bind(created_at)
        .bind(json(&Progress::NEW)?)
        .bind(encoding::seconds(now))
        .bind(encoding::seconds(now))
        .execute(&mut *self.open)
        .await?;
        Ok(added.last_insert_rowid())
    }

    /// Takes away a finished intent that makes room for another.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_intent(&mut self, intent: &Intent) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM funding_intents WHERE id = ? AND revision = ? AND finished = 1")
            .bind(intent.id)
            .bind(intent.revision)
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }

    /// The wanted time, or the first after it that no intent of the payer has. One from when the clock was ahead does
    /// not draw the later ones after it: the ledgers would find them in their future.
    async fn free_time(&mut self, payer: Principal, wanted: u64) -> Result<i64, StoreError> {
        let wanted = i64::try_from(wanted).map_err(|_| StoreError::Corrupt("created_at_ns"))?;
        let taken: Vec<i64> = sqlx::query_scalar(
            "SELECT created_at_ns FROM funding_intents WHERE payer = ? AND created_at_ns >= ?
             ORDER BY created_at_ns",
        )
        .bind(payer.to_text())
        .bind(wanted)
        .fetch_all(&mut *self.open)
        .await?;
        let mut free = wanted;
        for taken in taken {
            if taken != free {
                break;
            }
            free = free.saturating_add(1);
        }
        Ok(free)
    }
}

async fn intents(
    db: &mut sqlx::SqliteConnection,
    owner: &Owner,
) -> Result<Vec<Intent>, StoreError> {
    sqlx::query("SELECT * FROM funding_intents WHERE instance = ? AND user_id = ? ORDER BY id")
        .bind(owner.instance.as_str())
        .bind(&owner.user_id)
        .fetch_all(db)
        .await?
        .iter()
        .map(intent)
        .collect()
}

fn intent(row: &SqliteRow) -> Result<Intent, StoreError> {
    let request_id: Option<&str> = row.try_get("request_id")?;
    let created_at_ns: i64 = row.try_get("created_at_ns")?;
    Ok(Intent {
        id: row.try_get("id")?,
        request_id: request_id.and_then(RequestId::parse),
        payer: Principal::from_text(row.try_get::<&str, _>("payer")?)
            .map_err(|_| StoreError::Corrupt("payer"))?,
        asked: of_json(row, "asked")?,
        payment: of_json(row, "payment")?,
        created_at_ns: u64::try_from(created_at_ns)
            .map_err(|_| StoreError::Corrupt("created_at_ns"))?,
        progress: of_json(row, "progress")?,
        started_at: encoding::at(row, "started_at")?,
        changed_at: encoding::at(row, "changed_at")?,
        revision: row.try_get("revision")?,
    })
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt("funding intent"))
}

fn of_json<T: serde::de::DeserializeOwned>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, StoreError> {
    serde_json::from_str(row.try_get(column)?).map_err(|_| StoreError::Corrupt(column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        funding::{
            amount::Cycles,
            intent::{Amount, Gained, PayWith, What},
        },
        store::Limits,
    };

    fn at(seconds: u64) -> Moment {
        Moment::from_seconds(10_000_000 + seconds)
    }

    fn owner(user: &str) -> Owner {
        Owner {
            instance: InstanceName::Beta,
            user_id: user.to_owned(),
        }
    }

    fn new(name: Option<&str>) -> NewIntent {
        let amount = Cycles::new(7).unwrap();
        NewIntent {
            request_id: name.and_then(RequestId::parse),
            payer: Principal::from_slice(&[1, 2]),
            asked: Asked {
                what: What::TopUp {
                    canister: Principal::from_slice(&[3]),
                },
                amount: Amount::Cycles(amount),
                pay_with: PayWith::Cycles,
            },
            payment: Payment::Cycles { amount },
            created_at_ns: 500,
        }
    }

    async fn open() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Limits::default())
            .await
            .unwrap();
        (directory, store)
    }

    async fn add(store: &Store, owner: &Owner, new: &NewIntent, now: Moment) -> i64 {
        let mut transaction = store.begin().await.unwrap();
        let id = transaction.add_intent(owner, new, now).await.unwrap();
        transaction.commit().await.unwrap();
        id
    }

    async fn finish(store: &Store, owner: &Owner, id: i64, now: Moment) {
        let mut intent = store.intent(owner, id).await.unwrap().unwrap();
        intent.progress = Progress::Done {
            block: 3,
            gained: Gained::Cycles(Some(7)),
        };
        assert_eq!(store.save_intent(&intent, now).await.unwrap(), Saved::Yes);
    }

    #[tokio::test]
    async fn an_intent_reads_back_and_is_its_users_alone() {
        let (_directory, store) = open().await;
        let (alice, bob) = (owner("alice"), owner("bob"));
        let wanted = new(Some("a"));
        let id = add(&store, &alice, &wanted, at(0)).await;
        let intent = store.intent(&alice, id).await.unwrap().unwrap();
        assert_eq!(intent.asked, wanted.asked);
        assert_eq!(intent.payment, wanted.payment);
        assert_eq!(intent.payer, wanted.payer);
        assert_eq!(intent.request_id, wanted.request_id);
        assert_eq!(intent.progress, Progress::NEW);
        assert_eq!(store.intents(&alice).await.unwrap(), [intent]);
        assert_eq!(store.intent(&bob, id).await.unwrap(), None);
        assert_eq!(store.intents(&bob).await.unwrap(), []);
        let elsewhere = Owner {
            instance: InstanceName::Prod,
            ..alice
        };
        assert_eq!(store.intent(&elsewhere, id).await.unwrap(), None);
        // The name is each user's own.
        add(&store, &bob, &wanted, at(0)).await;
    }

    #[tokio::test]
    async fn no_two_payments_of_a_payer_have_the_same_time() {
        let (_directory, store) = open().await;
        let mut times = Vec::new();
        for user in ["alice", "alice", "bob"] {
            let owner = owner(user);
            let id = add(&store, &owner, &new(None), at(0)).await;
            times.push(
                store
                    .intent(&owner, id)
                    .await
                    .unwrap()
                    .unwrap()
                    .created_at_ns,
            );
        }
        assert_eq!(times, [500, 501, 502]);
    }

    #[tokio::test]
    async fn a_time_from_when_the_clock_was_ahead_draws_no_other_after_it() {
        let (_directory, store) = open().await;
        let alice = owner("alice");
        let mut ahead = new(None);
        ahead.created_at_ns = 502;
        add(&store, &alice, &ahead, at(0)).await;
        let mut times = Vec::new();
        for _ in 0..3 {
            let id = add(&store, &alice, &new(None), at(0)).await;
            let intent = store.intent(&alice, id).await.unwrap().unwrap();
            times.push(intent.created_at_ns);
        }
        assert_eq!(times, [500, 501, 503]);
    }

    #[tokio::test]
    async fn a_change_on_top_of_an_unseen_one_is_refused() {
        let (_directory, store) = open().await;
        let alice = owner("alice");
        let id = add(&store, &alice, &new(None), at(0)).await;
        let stale = store.intent(&alice, id).await.unwrap().unwrap();
        finish(&store, &alice, id, at(1)).await;
        assert_eq!(
            store.save_intent(&stale, at(2)).await.unwrap(),
            Saved::Outrun
        );
        let intent = store.intent(&alice, id).await.unwrap().unwrap();
        assert!(intent.progress.is_finished());
        assert_eq!(intent.changed_at, at(1));
    }

    #[tokio::test]
    async fn one_worker_at_a_time_until_it_ends_or_dies() {
        let (_directory, store) = open().await;
        let id = add(&store, &owner("alice"), &new(None), at(0)).await;
        let lease = async |holder: u8, now: u64| {
            let holder = [holder; 16];
            let until = at(now + 15);
            let taken = store.lease_intent(id, &holder, at(now), until).await;
            taken.unwrap()
        };
        assert!(lease(1, 0).await);
        assert!(!lease(2, 1).await);
        assert!(lease(1, 10).await, "renewed");
        assert!(!lease(2, 16).await);
        assert!(lease(2, 25).await, "lapsed");
        store.release_intent(id, &[1; 16]).await.unwrap();
        assert!(!lease(1, 26).await, "another's is not given back");
        store.release_intent(id, &[2; 16]).await.unwrap();
        assert!(lease(1, 26).await);
    }

    #[tokio::test]
    async fn only_what_is_finished_is_ever_taken_away() {
        let (_directory, store) = open().await;
        let alice = owner("alice");
        let kept = add(&store, &alice, &new(None), at(0)).await;
        for second in 0..3 {
            let id = add(&store, &alice, &new(None), at(second)).await;
            finish(&store, &alice, id, at(second)).await;
        }
        let intents = store.intents(&alice).await.unwrap();
        let mut transaction = store.begin().await.unwrap();
        for intent in &intents[..2] {
            transaction.forget_intent(intent).await.unwrap();
        }
        transaction.commit().await.unwrap();
        assert_eq!(store.intents(&alice).await.unwrap().len(), 3);

        store.reap(at(89 * 24 * 3600)).await.unwrap();
        assert_eq!(store.intents(&alice).await.unwrap().len(), 3);
        store.reap(at(91 * 24 * 3600)).await.unwrap();
        let left = store.intents(&alice).await.unwrap();
        assert_eq!(left.len(), 1, "what is not finished is never taken away");
        assert_eq!(left[0].id, kept);
    }
}
