use super::{
    ConnectionRecord, GrantKeyRecord, SlotRecord, Store, StoreError, Tables,
    connections::insert_slot, continuation::pointing_to, place, time,
};
use crate::clock::Nanos;

/// A further connection on a grant that another one opened.
pub struct Branch<'a> {
    /// The connection that is there.
    pub opener: &'a str,
    /// The slot that opened it.
    pub by: &'a str,
    /// The grant of both.
    pub grant_id: &'a str,
    /// The new connection's id.
    pub id: &'a str,
    /// The new connection, completed.
    pub connection: &'a ConnectionRecord,
    /// The session key sealed to the new connection.
    pub grant_key: &'a GrantKeyRecord,
    /// Its first slot's id.
    pub slot_id: &'a str,
    /// Its first slot.
    pub slot: &'a SlotRecord,
    /// Connections that a grant may have.
    pub cap: u32,
    /// Now.
    pub now: Nanos,
}

impl Store {
    /// Makes a further connection of a live grant durable.
    ///
    /// # Errors
    /// [`StoreError::NoConnection`] when the opener, its slot or the grant is gone, [`StoreError::TooManyConnections`]
    /// beyond the cap.
    pub async fn branch(&self, branch: Branch<'_>) -> Result<(), StoreError> {
        let Branch {
            opener,
            by,
            grant_id,
            id,
            connection,
            grant_key,
            slot_id,
            slot,
            cap,
            now,
        } = branch;
        let outer = &self.outer;
        let record = outer.seal(place(Tables::CONNECTIONS, &[id]), connection)?;
        let key = outer.seal(place(Tables::GRANT_KEYS, &[grant_id, id]), grant_key)?;
        let sealed = outer.seal(place(Tables::SLOTS, &[id, slot_id]), slot)?;

        let mut tx = self.write().await?;
        self.live_grant_of(&mut tx, opener, grant_id).await?;
        // Asked again here: the slot may have been dropped since it was opened.
        let known = sqlx::query("SELECT 1 FROM slots WHERE connection_id = ? AND id = ?")
            .bind(opener)
            .bind(by);
        if known.fetch_optional(&mut *tx).await?.is_none() {
            return Err(StoreError::NoConnection);
        }
        if pointing_to(&mut tx, grant_id).await? >= i64::from(cap) {
            return Err(StoreError::TooManyConnections);
        }
        sqlx::query(
            "INSERT INTO connections (id, grant_id, pending, created_at, expires_at, record) VALUES (?, ?, 0, ?, ?, ?)",
        )
        .bind(id)
        .bind(grant_id)
        .bind(time(now))
        .bind(time(connection.expires_at))
        .bind(record)
        .execute(&mut *tx)
        .await?;
        sqlx::query("INSERT INTO grant_keys (grant_id, connection_id, record) VALUES (?, ?, ?)")
            .bind(grant_id)
            .bind(id)
            .bind(key)
            .execute(&mut *tx)
            .await?;
        insert_slot(&mut tx, id, slot_id, slot.expires_at, &sealed).await?;
        tx.commit().await?;
        Ok(())
    }
}
