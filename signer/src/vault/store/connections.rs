use sqlx::{QueryBuilder, Row, SqliteConnection};

use super::{
    ConnectionRecord, GrantKeyRecord, GrantRecord, SlotRecord, Store, StoreError, Tables,
    continuation::forget_unused, place, time,
};
use crate::clock::Nanos;

/// A connection about to begin, with its grant, its first slot and its sealed session key.
pub struct NewConnection<'a> {
    /// The connection's id.
    pub id: &'a str,
    /// The connection.
    pub connection: &'a ConnectionRecord,
    /// The grant's id.
    pub grant_id: &'a str,
    /// The grant, still pending.
    pub grant: &'a GrantRecord,
    /// The session key sealed to the connection.
    pub grant_key: &'a GrantKeyRecord,
    /// The first slot's id.
    pub slot_id: &'a str,
    /// The first slot.
    pub slot: &'a SlotRecord,
    /// Now.
    pub created_at: Nanos,
}

/// A slot about to be added.
pub struct NewSlotRow {
    /// Its id.
    pub id: String,
    /// The slot.
    pub record: SlotRecord,
}

/// What becomes of a connection's slots.
pub struct SlotChange<'a> {
    /// Added.
    pub added: &'a [NewSlotRow],
    /// Dropped; those that are not there are no error.
    pub dropped: &'a [String],
    /// How many there may be.
    pub cap: u32,
    /// Now.
    pub now: Nanos,
}

/// A connection as one of its slots finds it.
pub struct Opened {
    /// The connection.
    pub connection: ConnectionRecord,
    /// The slot.
    pub slot: SlotRecord,
    /// The grant's id.
    pub grant_id: String,
    /// The grant the connection points to.
    pub grant: GrantRecord,
    /// The grant's session key; absent once the grant has ended.
    pub grant_key: Option<GrantKeyRecord>,
}

/// Pending connections that made room for a new one.
pub type Evicted = Vec<String>;

impl Store {
    /// Makes a connection durable. When more than `pending_cap` are pending, the oldest pending ones go.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(
        &self,
        new: NewConnection<'_>,
        pending_cap: u32,
    ) -> Result<Evicted, StoreError> {
        let outer = &self.outer;
        let connection = outer.seal(place(Tables::CONNECTIONS, &[new.id]), new.connection)?;
        let grant = outer.seal(place(Tables::GRANTS, &[new.grant_id]), new.grant)?;
        let grant_key = outer.seal(
            place(Tables::GRANT_KEYS, &[new.grant_id, new.id]),
            new.grant_key,
        )?;
        let slot = outer.seal(place(Tables::SLOTS, &[new.id, new.slot_id]), new.slot)?;

        let mut tx = self.write().await?;
        let evicted = sqlx::query(
            "SELECT id FROM connections WHERE pending = 1 ORDER BY created_at DESC, id LIMIT -1 OFFSET ?",
        )
        .bind(i64::from(pending_cap.saturating_sub(1)))
        .fetch_all(&mut *tx)
        .await?
        .iter()
        .map(|row| row.try_get("id"))
        .collect::<Result<Vec<String>, _>>()?;
        for id in &evicted {
            delete(&mut tx, id).await?;
        }
        sqlx::query("INSERT INTO grants (id, user_id, record) VALUES (?, NULL, ?)")
            .bind(new.grant_id)
            .bind(grant)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO connections (id, grant_id, pending, created_at, expires_at, record) VALUES (?, ?, 1, ?, ?, ?)",
        )
        .bind(new.id)
        .bind(new.grant_id)
        .bind(time(new.created_at))
        .bind(time(new.connection.expires_at))
        .bind(connection)
        .execute(&mut *tx)
        .await?;
        sqlx::query("INSERT INTO grant_keys (grant_id, connection_id, record) VALUES (?, ?, ?)")
            .bind(new.grant_id)
            .bind(new.id)
            .bind(grant_key)
            .execute(&mut *tx)
            .await?;
        insert_slot(&mut tx, new.id, new.slot_id, new.slot.expires_at, &slot).await?;
        tx.commit().await?;
        Ok(evicted)
    }

    /// Finds a connection through one of its slots. `None` when there is no such connection or slot.
    ///
    /// # Errors
    /// When the database fails or a record does not open.
    pub async fn find(&self, id: &str, slot_id: &str) -> Result<Option<Opened>, StoreError> {
        let row = sqlx::query(
            "SELECT c.record AS connection, c.grant_id AS grant_id, s.record AS slot, g.record AS grant_record, k.record AS grant_key \
             FROM connections c \
             JOIN slots s ON s.connection_id = c.id \
             JOIN grants g ON g.id = c.grant_id \
             LEFT JOIN grant_keys k ON k.grant_id = c.grant_id AND k.connection_id = c.id \
             WHERE c.id = ? AND s.id = ?",
        )
        .bind(id)
        .bind(slot_id)
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let outer = &self.outer;
        let grant_id: String = row.try_get("grant_id")?;
        let grant_key = match row.try_get::<Option<&[u8]>, _>("grant_key")? {
            Some(record) => Some(outer.open(place(Tables::GRANT_KEYS, &[&grant_id, id]), record)?),
            None => None,
        };
        Ok(Some(Opened {
            connection: outer.open(
                place(Tables::CONNECTIONS, &[id]),
                row.try_get("connection")?,
            )?,
            slot: outer.open(place(Tables::SLOTS, &[id, slot_id]), row.try_get("slot")?)?,
            grant: outer.open(
                place(Tables::GRANTS, &[&grant_id]),
                row.try_get("grant_record")?,
            )?,
            grant_key,
            grant_id,
        }))
    }

    /// Adds slots to a connection on the strength of one it has (`by`) and drops others, all or nothing. A slot of the
    /// same id is renewed. Lapsed slots make room, and beyond `cap` those that lapse first; these are returned.
    ///
    /// # Errors
    /// [`StoreError::NoConnection`] when the connection or the slot `by` is gone.
    pub async fn exchange_slots(
        &self,
        id: &str,
        by: &str,
        change: SlotChange<'_>,
    ) -> Result<Vec<String>, StoreError> {
        let mut sealed = Vec::with_capacity(change.added.len());
        for slot in change.added {
            sealed.push(
                self.outer
                    .seal(place(Tables::SLOTS, &[id, &slot.id]), &slot.record)?,
            );
        }
        let mut tx = self.write().await?;
        // `by` is asked for here again: it may have been dropped since it was opened.
        let known = sqlx::query(
            "DELETE FROM slots WHERE connection_id = ?1 AND expires_at <= ?2;
             DELETE FROM slots WHERE connection_id = ?1 AND id IN (SELECT value FROM json_each(?3));
             SELECT (SELECT count(*) FROM slots WHERE connection_id = ?1) AS there
             FROM slots WHERE connection_id = ?1 AND id = ?4",
        )
        .bind(id)
        .bind(time(change.now))
        .bind(json_array(change.dropped))
        .bind(by)
        .fetch_optional(&mut *tx)
        .await?;
        let there: u32 = known.ok_or(StoreError::NoConnection)?.try_get("there")?;
        insert_slots(&mut tx, id, change.added, sealed).await?;
        let evicted = if there as usize + change.added.len() > change.cap as usize {
            evict_slots(&mut tx, id, by, &change).await?
        } else {
            Vec::new()
        };
        tx.commit().await?;
        Ok(evicted)
    }

    /// Takes slots away; those that are not there are no error.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_slots(&self, id: &str, slot_ids: &[String]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(
            "DELETE FROM slots WHERE connection_id = ? AND id IN (SELECT value FROM json_each(?))",
        )
        .bind(id)
        .bind(json_array(slot_ids))
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// Deletes a connection, its slots and every key that only it could use.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close_connection(&self, id: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        delete(&mut tx, id).await?;
        tx.commit().await
    }
}

/// Ids as one argument of a statement.
fn json_array<T: AsRef<str>>(ids: impl IntoIterator<Item = T>) -> String {
    let ids = ids
        .into_iter()
        .map(|id| serde_json::Value::from(id.as_ref()));
    serde_json::Value::from_iter(ids).to_string()
}

pub(super) async fn insert_slot(
    tx: &mut SqliteConnection,
    connection: &str,
    id: &str,
    expires_at: Nanos,
    record: &[u8],
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO slots (connection_id, id, expires_at, record) VALUES (?, ?, ?, ?)",
    )
    .bind(connection)
    .bind(id)
    .bind(time(expires_at))
    .bind(record)
    .execute(tx)
    .await?;
    Ok(())
}

/// In one statement: each is a way to the connection's thread and back.
async fn insert_slots(
    tx: &mut SqliteConnection,
    connection: &str,
    slots: &[NewSlotRow],
    records: Vec<Vec<u8>>,
) -> Result<(), StoreError> {
    QueryBuilder::new("INSERT OR REPLACE INTO slots (connection_id, id, expires_at, record) ")
        .push_values(slots.iter().zip(records), |mut row, (slot, record)| {
            row.push_bind(connection)
                .push_bind(&slot.id)
                .push_bind(time(slot.record.expires_at))
                .push_bind(record);
        })
        .build()
        .execute(tx)
        .await?;
    Ok(())
}

/// Beyond the cap those that lapse first go, but never the added ones or the one they were added by.
async fn evict_slots(
    tx: &mut SqliteConnection,
    connection: &str,
    by: &str,
    change: &SlotChange<'_>,
) -> Result<Vec<String>, StoreError> {
    let added = change.added.iter().map(|slot| slot.id.as_str());
    let evicted = sqlx::query_scalar(
        "DELETE FROM slots WHERE connection_id = ?1 AND id IN (
             SELECT id FROM slots WHERE connection_id = ?1
             ORDER BY id IN (SELECT value FROM json_each(?2)) DESC, expires_at DESC LIMIT -1 OFFSET ?3)
         RETURNING id",
    )
    .bind(connection)
    .bind(json_array(added.chain([by])))
    .bind(i64::from(change.cap))
    .fetch_all(tx)
    .await?;
    Ok(evicted)
}

/// Deletes a connection with what hangs on it, and its grant when no other connection points there.
pub(super) async fn delete(tx: &mut SqliteConnection, id: &str) -> Result<(), StoreError> {
    let grant = sqlx::query("DELETE FROM connections WHERE id = ? RETURNING grant_id")
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(row) = grant {
        forget_unused(tx, row.try_get("grant_id")?).await?;
    }
    Ok(())
}
