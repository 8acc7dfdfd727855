use sqlx::Row;

use super::{
    ConnectionRecord, GrantKeyRecord, GrantRecord, GrantState, Store, StoreError, Tables, place,
    time,
};
use crate::clock::Nanos;

/// What completing a connection changes.
pub struct Completion<'a> {
    /// The connection's id.
    pub id: &'a str,
    /// The grant's id.
    pub grant_id: &'a str,
    /// The grant, now live.
    pub grant: &'a GrantRecord,
    /// The user's opaque id.
    pub user_id: &'a str,
    /// Now.
    pub now: Nanos,
    /// Until when the connections of replaced grants may be continued.
    pub continue_until: Nanos,
    /// The session key that was registered, where it is another than the connection began with.
    pub grant_key: Option<&'a GrantKeyRecord>,
}

impl Store {
    /// Makes a completion durable: the grant is live, the user's earlier grants are replaced, and the connection is
    /// what `completed` makes of the ids of the connections that pointed to those.
    ///
    /// # Errors
    /// [`StoreError::NoConnection`] when the connection was closed in the meantime.
    pub async fn complete(
        &self,
        completion: Completion<'_>,
        completed: impl FnOnce(Vec<String>) -> ConnectionRecord + Send,
    ) -> Result<ConnectionRecord, StoreError> {
        let Completion {
            id,
            grant_id,
            grant,
            user_id,
            now,
            continue_until,
            grant_key,
        } = completion;
        let grant = self.outer.seal(place(Tables::GRANTS, &[grant_id]), grant)?;

        let grant_key = grant_key
            .map(|key| {
                self.outer
                    .seal(place(Tables::GRANT_KEYS, &[grant_id, id]), key)
            })
            .transpose()?;

        let mut tx = self.write().await?;
        if let Some(grant_key) = grant_key {
            sqlx::query(
                "UPDATE grant_keys SET record = ? WHERE grant_id = ? AND connection_id = ?",
            )
            .bind(grant_key)
            .bind(grant_id)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        }
        let earlier = sqlx::query("SELECT id, record FROM grants WHERE user_id = ? AND id <> ?")
            .bind(user_id)
            .bind(grant_id)
            .fetch_all(&mut *tx)
            .await?;
        let mut replaced = Vec::new();
        for row in earlier {
            let earlier_id: String = row.try_get("id")?;
            let record = row.try_get("record")?;
            let until = (now, continue_until);
            if self.supersede(&mut tx, &earlier_id, record, until).await? {
                let pointing = sqlx::query(
                    "UPDATE connections SET continue_until = ? WHERE grant_id = ? AND pending = 0 RETURNING id",
                )
                .bind(time(continue_until))
                .bind(&earlier_id)
                .fetch_all(&mut *tx)
                .await?;
                for row in pointing {
                    replaced.push(row.try_get("id")?);
                }
            }
        }
        let connection = completed(replaced);
        let record = self
            .outer
            .seal(place(Tables::CONNECTIONS, &[id]), &connection)?;
        sqlx::query("UPDATE grants SET user_id = ?, record = ? WHERE id = ?")
            .bind(user_id)
            .bind(grant)
            .bind(grant_id)
            .execute(&mut *tx)
            .await?;
        let updated = sqlx::query(
            "UPDATE connections SET pending = 0, expires_at = ?, record = ? WHERE id = ?",
        )
        .bind(time(connection.expires_at))
        .bind(record)
        .bind(id)
        .execute(&mut *tx)
        .await?;
        if updated.rows_affected() != 1 {
            return Err(StoreError::NoConnection);
        }
        tx.commit().await?;
        Ok(connection)
    }

    /// Marks a grant as replaced and destroys its session key; says whether it was live, or replaced so recently that
    /// its connections may still be continued.
    async fn supersede(
        &self,
        tx: &mut sqlx::SqliteConnection,
        id: &str,
        record: &[u8],
        (now, continue_until): (Nanos, Nanos),
    ) -> Result<bool, StoreError> {
        let mut grant: GrantRecord = self.outer.open(place(Tables::GRANTS, &[id]), record)?;
        if grant.state != GrantState::Live && !grant.may_be_continued(now) {
            return Ok(false);
        }
        grant.state = GrantState::Replaced;
        grant.continue_until = Some(continue_until);
        self.update_grant(tx, id, &grant).await?;
        delete_keys(tx, id).await?;
        Ok(true)
    }

    /// Marks a live grant as ended and destroys its session key; gives the grant as it stands then. One that was replaced
    /// meanwhile stays so: its user has yet to say which of its connections go on. `None` when nothing points to it any
    /// more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_grant(&self, id: &str) -> Result<Option<GrantRecord>, StoreError> {
        let mut tx = self.write().await?;
        let row = sqlx::query("SELECT record FROM grants WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut grant: GrantRecord = self
            .outer
            .open(place(Tables::GRANTS, &[id]), row.try_get("record")?)?;
        if grant.state == GrantState::Live {
            grant.state = GrantState::Ended;
            self.update_grant(&mut tx, id, &grant).await?;
            delete_keys(&mut tx, id).await?;
            tx.commit().await?;
        }
        Ok(Some(grant))
    }

    async fn update_grant(
        &self,
        tx: &mut sqlx::SqliteConnection,
        id: &str,
        grant: &GrantRecord,
    ) -> Result<(), StoreError> {
        let record = self.outer.seal(place(Tables::GRANTS, &[id]), grant)?;
        sqlx::query("UPDATE grants SET record = ? WHERE id = ?")
            .bind(record)
            .bind(id)
            .execute(tx)
            .await?;
        Ok(())
    }
}

/// Destroys a grant's session key, for every connection it was sealed to.
async fn delete_keys(tx: &mut sqlx::SqliteConnection, grant: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM grant_keys WHERE grant_id = ?")
        .bind(grant)
        .execute(tx)
        .await?;
    Ok(())
}
