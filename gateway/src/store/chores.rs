use sqlx::{Row, SqliteConnection};

use super::{Moment, Store, StoreError, encoding, records::Chore};
use crate::connection::ConnectionId;

/// Longer than any grant of Internet Identity lasts (30 days); the signer has forgotten the connection by then.
const KEPT_SECONDS: u64 = 40 * 24 * 3600;
const FIRST_WAIT_SECONDS: u64 = 2;
const LONGEST_WAIT_SECONDS: u64 = 300;

/// Something the signer has to be told now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueChore {
    id: i64,
    attempts: u32,
    /// What it has to be told.
    pub chore: Chore,
}

pub(super) async fn add(
    db: &mut SqliteConnection,
    chore: &Chore,
    now: Moment,
) -> Result<(), StoreError> {
    let (connection, slots) = match chore {
        Chore::DropSlots { connection, slots } => (
            connection,
            Some(serde_json::Value::from(slots.clone()).to_string()),
        ),
        Chore::Close { connection } => (connection, None),
    };
    sqlx::query(
        "INSERT INTO signer_chores (connection_id, slots, due_at, expires_at) VALUES (?, ?, ?, ?)",
    )
    .bind(connection.as_str())
    .bind(slots)
    .bind(encoding::seconds(now))
    .bind(encoding::seconds(now.plus(KEPT_SECONDS)))
    .execute(db)
    .await?;
    Ok(())
}

impl Store {
    /// At most `limit` chores that are due, the oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn due_chores(&self, now: Moment, limit: u32) -> Result<Vec<DueChore>, StoreError> {
        sqlx::query("SELECT * FROM signer_chores WHERE due_at <= ? ORDER BY due_at, id LIMIT ?")
            .bind(encoding::seconds(now))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?
            .iter()
            .map(|row| {
                let connection = ConnectionId::new(row.try_get::<String, _>("connection_id")?);
                let slots: Option<&str> = row.try_get("slots")?;
                let chore = match slots {
                    None => Chore::Close { connection },
                    Some(slots) => Chore::DropSlots {
                        connection,
                        slots: serde_json::from_str(slots)
                            .map_err(|_| StoreError::Corrupt("slots"))?,
                    },
                };
                Ok(DueChore {
                    id: row.try_get("id")?,
                    attempts: row.try_get("attempts")?,
                    chore,
                })
            })
            .collect()
    }

    /// The signer knows: the chores are done.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn finish_chores(&self, done: &[DueChore]) -> Result<(), StoreError> {
        if done.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        for chore in done {
            sqlx::query("DELETE FROM signer_chores WHERE id = ?")
                .bind(chore.id)
                .execute(&mut *transaction.open)
                .await?;
        }
        transaction.commit().await.map(drop)
    }

    /// The signer could not be told: the chores come again, each time after a longer wait.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn postpone_chores(
        &self,
        failed: &[DueChore],
        now: Moment,
    ) -> Result<(), StoreError> {
        if failed.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        for chore in failed {
            let wait = FIRST_WAIT_SECONDS
                .saturating_mul(1 << chore.attempts.min(16))
                .min(LONGEST_WAIT_SECONDS);
            sqlx::query(
                "UPDATE signer_chores SET attempts = attempts + 1, due_at = ? WHERE id = ?",
            )
            .bind(encoding::seconds(now.plus(wait)))
            .bind(chore.id)
            .execute(&mut *transaction.open)
            .await?;
        }
        transaction.commit().await.map(drop)
    }
}
