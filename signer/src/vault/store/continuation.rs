use sqlx::Row;

use super::{
    ConnectionRecord, GrantKeyRecord, GrantRecord, GrantState, Store, StoreError, Tables, place,
    time,
};
use crate::{
    clock::Nanos,
    connection::AccessLevel,
    vault::sealed::{ConnectionPublicKey, SealError},
};

/// What continuing connections rests on.
pub struct Continuation<'a> {
    /// The connection whose completion replaced the others' grant.
    pub opener: &'a str,
    /// The opener's grant.
    pub grant_id: &'a str,
    /// Which connections go on.
    pub ids: &'a [&'a str],
    /// Connections that a grant may have.
    pub cap: u32,
    /// Now.
    pub now: Nanos,
}

/// A connection that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continued {
    /// Its id.
    pub id: String,
    /// When it lapses.
    pub expires_at: Nanos,
    /// What it may do at most.
    pub access: AccessLevel,
}

impl Store {
    /// Moves connections to the opener's grant, all of those that may go on or none. `seal` seals the grant's session
    /// key to one of them. Those that may not go on are left out; those that have moved already are answered again.
    ///
    /// # Errors
    /// [`StoreError::NoConnection`] when the opener's grant is no longer live, [`StoreError::TooManyConnections`]
    /// beyond the cap.
    pub async fn continue_connections(
        &self,
        continuation: Continuation<'_>,
        seal: impl Fn(&str, ConnectionPublicKey) -> Result<GrantKeyRecord, SealError> + Send,
    ) -> Result<Vec<Continued>, StoreError> {
        let Continuation {
            opener,
            grant_id,
            ids,
            cap,
            now,
        } = continuation;
        let mut tx = self.write().await?;
        let grant = self.live_grant_of(&mut tx, opener, grant_id).await?;
        let mut continued = Vec::new();
        for &id in ids {
            let Some((connection, from, from_grant)) = self.pointing(&mut tx, id).await? else {
                continue;
            };
            let moved = from == grant_id;
            let same_user = from_grant.user.is_some()
                && from_grant.user == grant.user
                && (&from_grant.instance, from_grant.canister) == (&grant.instance, grant.canister);
            let may_go_on = connection.completed.is_some()
                && now < connection.expires_at
                && same_user
                && (moved || from_grant.may_be_continued(now));
            if !may_go_on {
                continue;
            }
            let connection = ConnectionRecord {
                expires_at: connection.expires_at.min(grant.expires_at),
                access: connection.access.min(grant.access),
                ..connection
            };
            if !moved {
                let key = seal(id, connection.public_key)?;
                self.repoint(&mut tx, id, &connection, grant_id, &key)
                    .await?;
                forget_unused(&mut tx, &from).await?;
            }
            continued.push(Continued {
                id: id.to_owned(),
                expires_at: connection.expires_at,
                access: connection.access,
            });
        }
        if pointing_to(&mut tx, grant_id).await? > i64::from(cap) {
            return Err(StoreError::TooManyConnections);
        }
        tx.commit().await?;
        Ok(continued)
    }

    /// A connection's grant, asked again inside the transaction: it may have been replaced or ended, or the connection
    /// closed, since the connection was opened.
    pub(super) async fn live_grant_of(
        &self,
        tx: &mut sqlx::SqliteConnection,
        connection: &str,
        grant_id: &str,
    ) -> Result<GrantRecord, StoreError> {
        self.pointing(tx, connection)
            .await?
            .filter(|(_, id, grant)| id == grant_id && grant.state == GrantState::Live)
            .map(|(_, _, grant)| grant)
            .ok_or(StoreError::NoConnection)
    }

    async fn pointing(
        &self,
        tx: &mut sqlx::SqliteConnection,
        id: &str,
    ) -> Result<Option<(ConnectionRecord, String, GrantRecord)>, StoreError> {
        let row = sqlx::query(
            "SELECT c.record AS connection, c.grant_id AS grant_id, g.record AS grant_record \
             FROM connections c JOIN grants g ON g.id = c.grant_id WHERE c.id = ?",
        )
        .bind(id)
        .fetch_optional(tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let grant_id: String = row.try_get("grant_id")?;
        let connection = self.outer.open(
            place(Tables::CONNECTIONS, &[id]),
            row.try_get("connection")?,
        )?;
        let grant = self.outer.open(
            place(Tables::GRANTS, &[&grant_id]),
            row.try_get("grant_record")?,
        )?;
        Ok(Some((connection, grant_id, grant)))
    }

    async fn repoint(
        &self,
        tx: &mut sqlx::SqliteConnection,
        id: &str,
        connection: &ConnectionRecord,
        grant_id: &str,
        key: &GrantKeyRecord,
    ) -> Result<(), StoreError> {
        let record = self
            .outer
            .seal(place(Tables::CONNECTIONS, &[id]), connection)?;
        let key = self
            .outer
            .seal(place(Tables::GRANT_KEYS, &[grant_id, id]), key)?;
        sqlx::query(
            "UPDATE connections SET grant_id = ?, expires_at = ?, continue_until = NULL, record = ? WHERE id = ?",
        )
        .bind(grant_id)
        .bind(time(connection.expires_at))
        .bind(record)
        .bind(id)
        .execute(&mut *tx)
        .await?;
        sqlx::query("INSERT INTO grant_keys (grant_id, connection_id, record) VALUES (?, ?, ?)")
            .bind(grant_id)
            .bind(id)
            .bind(key)
            .execute(tx)
            .await?;
        Ok(())
    }
}

/// How many connections point to a grant.
pub(super) async fn pointing_to(
    tx: &mut sqlx::SqliteConnection,
    grant_id: &str,
) -> Result<i64, StoreError> {
    Ok(
        sqlx::query("SELECT count(*) AS count FROM connections WHERE grant_id = ?")
            .bind(grant_id)
            .fetch_one(tx)
            .await?
            .try_get("count")?,
    )
}

/// Deletes a grant that no connection points to any more.
pub(super) async fn forget_unused(
    tx: &mut sqlx::SqliteConnection,
    grant_id: &str,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM grants WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM connections WHERE grant_id = ?1)")
        .bind(grant_id)
        .execute(tx)
        .await?;
    Ok(())
}
