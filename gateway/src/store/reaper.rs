use super::{Moment, Store, StoreError, encoding};

/// Rows taken away at most in one statement, so that no transaction holds the writer for long.
const BATCH: i64 = 1_000;

impl Store {
    /// Takes away a bounded number of records whose time is over. What is spent stays until its connection's end,
    /// so that a second use is noticed; what was ended stays for a day.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn reap(&self, now: Moment) -> Result<(), StoreError> {
        const STATEMENTS: [&str; 6] = [
            // For a while a device is told that it waited too long.
            "DELETE FROM device_requests WHERE device_code IN (
                 SELECT device_code FROM device_requests WHERE expires_at <= ?1 - 600 LIMIT ?2)",
            "DELETE FROM credentials WHERE hash IN (
                 SELECT hash FROM credentials WHERE expires_at <= ?1 AND spent_at IS NULL LIMIT ?2)",
            "DELETE FROM connections WHERE id IN (
                 SELECT id FROM connections WHERE expires_at <= ?1 OR ended_at <= ?1 - 86400 LIMIT ?2)",
            "DELETE FROM approvals WHERE rowid IN (
                 SELECT rowid FROM approvals WHERE expires_at <= ?1 LIMIT ?2)",
            "DELETE FROM signer_chores WHERE id IN (
                 SELECT id FROM signer_chores WHERE expires_at <= ?1 LIMIT ?2)",
            // 90 days, as `funding::request` promises.
            "DELETE FROM funding_intents WHERE id IN (
                 SELECT id FROM funding_intents WHERE finished = 1 AND changed_at <= ?1 - 7776000 LIMIT ?2)",
        ];
        let mut transaction = self.begin().await?;
        let never_finished = sqlx::query(
            "DELETE FROM pending_connects WHERE state IN (
                 SELECT state FROM pending_connects WHERE expires_at <= ? LIMIT ?)
             RETURNING connection_id, sealed_code",
        )
        .bind(encoding::seconds(now))
        .bind(BATCH)
        .fetch_all(&mut *transaction.open)
        .await?;
        // Also of those whose person signed in and then did not say which other connections go on.
        transaction.close_begun(&never_finished, now).await?;
        for statement in STATEMENTS {
            sqlx::query(statement)
                .bind(encoding::seconds(now))
                .bind(BATCH)
                .execute(&mut *transaction.open)
                .await?;
        }
        sqlx::query(
            "UPDATE clients SET connected = 0 WHERE id IN (
                 SELECT id FROM clients WHERE connected = 1 AND NOT EXISTS (
                     SELECT 1 FROM connections c WHERE c.client_id = clients.id AND c.ended_at IS NULL)
                 LIMIT ?)",
        )
        .bind(BATCH)
        .execute(&mut *transaction.open)
        .await?;
        transaction.commit().await.map(drop)
    }
}
