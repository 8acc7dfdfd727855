//! Intents of funding.

use ::candid::Principal;
use sqlx::{Row, sqlite::SqliteRow};

use super::{Moment, Store, StoreError, Transaction, encoding};
use crate::{
    connection::ConnectionId,
    funding::{
        intent::{Asked, Intent, Payment, Progress, RequestId},
        request::MOST_KEPT,
    },
    instance::InstanceName,
};

/// Whose intents.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    /// Keeps a new intent; the oldest finished one of the user makes room. Returns its number.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_intent(
        &mut self,
        owner: &Owner,
        new: &NewIntent,
        now: Moment,
    ) -> Result<i64, StoreError> {
        sqlx::query(
            "DELETE FROM funding_intents WHERE id IN (
                 SELECT id FROM funding_intents WHERE instance = ?1 AND user_id = ?2 AND finished = 1
                 ORDER BY changed_at, id
                 LIMIT max(0, (SELECT count(*) FROM funding_intents WHERE instance = ?1 AND user_id = ?2) - ?3))",
        )
        .bind(owner.instance.as_str())
        .bind(&owner.user_id)
        .bind(i64::try_from(MOST_KEPT - 1).unwrap_or(i64::MAX))
        .execute(&mut *self.open)
        .await?;
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

    /// Takes away an intent that came to nothing, so that it can be begun anew.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_refused(&mut self, intent: &Intent) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM funding_intents WHERE id = ? AND revision = ? AND finished = 1")
            .bind(intent.id)
            .bind(intent.revision)
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }

    /// The wanted time, or the next that no intent of the payer has had.
    async fn free_time(&mut self, payer: Principal, wanted: u64) -> Result<i64, StoreError> {
        let latest: Option<i64> =
            sqlx::query_scalar("SELECT max(created_at_ns) FROM funding_intents WHERE payer = ?")
                .bind(payer.to_text())
                .fetch_one(&mut *self.open)
                .await?;
        let wanted = i64::try_from(wanted).map_err(|_| StoreError::Corrupt("created_at_ns"))?;
        Ok(match latest {
            Some(latest) if latest >= wanted => latest.saturating_add(1),
            _ => wanted,
        })
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
