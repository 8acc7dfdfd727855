use sqlx::{AssertSqlSafe, Row};

use super::{Store, StoreError, Tables, connections::delete, place, time};
use crate::clock::Nanos;

/// Rows handled in one transaction: writers in between wait for at most this many.
const BATCH: i64 = 256;

/// Every table that holds records, with the columns of its primary key.
const RECORD_TABLES: [(&str, &[&str]); 4] = [
    (Tables::CONNECTIONS, &["id"]),
    (Tables::SLOTS, &["connection_id", "id"]),
    (Tables::GRANTS, &["id"]),
    (Tables::GRANT_KEYS, &["grant_id", "connection_id"]),
];

impl Store {
    /// Forgets what has lapsed: slots, pending connections, connections of a replaced grant that nobody continued, and
    /// completed connections that lapsed before `tombstone` (until then their bearers are told that the connection
    /// ended).
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self, now: Nanos, tombstone: Nanos) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let lapsed = sqlx::query(
            "SELECT id FROM connections \
             WHERE (expires_at < ?1 AND (pending = 1 OR expires_at < ?2)) OR continue_until < ?1 LIMIT ?3",
        )
        .bind(time(now))
        .bind(time(tombstone))
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
        for row in &lapsed {
            delete(&mut tx, row.try_get("id")?).await?;
        }
        let slots = sqlx::query("DELETE FROM slots WHERE expires_at < ?")
            .bind(time(now))
            .execute(&mut *tx)
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(slots + lapsed.len() as u64)
    }

    /// Puts every record of an older master key generation under the current one; returns how many there were.
    ///
    /// # Errors
    /// When the database fails or a record does not open.
    pub async fn rewrap(&self) -> Result<u64, StoreError> {
        let mut rewrapped = 0;
        for (table, key) in RECORD_TABLES {
            let mut after = 0;
            while let Some((last, count)) = self.rewrap_batch(table, key, after).await? {
                after = last;
                rewrapped += count;
            }
        }
        Ok(rewrapped)
    }

    /// The next batch after a row; `None` when there is none.
    async fn rewrap_batch(
        &self,
        table: &'static str,
        key: &[&str],
        after: i64,
    ) -> Result<Option<(i64, u64)>, StoreError> {
        let mut tx = self.write().await?;
        let select = format!(
            "SELECT rowid, {}, record FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?",
            key.join(", ")
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(after)
            .bind(BATCH)
            .fetch_all(&mut *tx)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        let last: i64 = last.try_get("rowid")?;
        let mut rewrapped = 0;
        for row in &rows {
            let record: &[u8] = row.try_get("record")?;
            if self.outer.is_current(record) {
                continue;
            }
            let id = key
                .iter()
                .map(|&column| row.try_get(column))
                .collect::<Result<Vec<&str>, _>>()?;
            let record = self.outer.rewrap(place(table, &id), record)?;
            sqlx::query(AssertSqlSafe(format!(
                "UPDATE {table} SET record = ? WHERE rowid = ?"
            )))
            .bind(record)
            .bind(row.try_get::<i64, _>("rowid")?)
            .execute(&mut *tx)
            .await?;
            rewrapped += 1;
        }
        tx.commit().await?;
        Ok(Some((last, rewrapped)))
    }
}
