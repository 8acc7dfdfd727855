//! Records of uploads. Their bytes are the business of [`crate::uploads`].

use std::collections::HashSet;

use sqlx::{Row, sqlite::SqliteRow};

use super::{Digest, Moment, Store, StoreError, Transaction, encoding};
use crate::{connection::ConnectionId, instance::InstanceName};

/// An upload as it was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadRecord {
    /// Its name, in its address and of its file.
    pub id: String,
    /// The instance of the connection.
    pub instance: InstanceName,
    /// The connection that may use it.
    pub connection: ConnectionId,
    /// Hash of its ticket.
    pub ticket: Digest,
    /// Announced size in bytes.
    pub bytes: u64,
    /// Announced hash of the bytes.
    pub sha256: [u8; 32],
    /// Whether all bytes are there and have that hash.
    pub complete: bool,
    /// When it goes.
    pub expires_at: Moment,
}

/// Room that announced uploads take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Uploads of one connection.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the uploads of all connections of the same user.
    pub user_bytes: u64,
    /// Bytes of all connections' uploads.
    pub all_bytes: u64,
}

impl Transaction {
    /// Room that is taken now.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn upload_room(&mut self, connection: &ConnectionId) -> Result<Room, StoreError> {
        let row = sqlx::query(
            "SELECT count(*) FILTER (WHERE u.connection_id = ?1),
                    coalesce(sum(u.bytes) FILTER (WHERE u.connection_id = ?1), 0),
                    coalesce(sum(u.bytes) FILTER (WHERE (c.user_id, c.instance) = (own.user_id, own.instance)), 0),
                    coalesce(sum(u.bytes), 0)
             FROM uploads u
             LEFT JOIN connections c ON c.id = u.connection_id
             LEFT JOIN connections own ON own.id = ?1",
        )
        .bind(connection.as_str())
        .fetch_one(&mut *self.open)
        .await?;
        let number = |index: usize| row.try_get::<i64, _>(index).map(unsigned);
        Ok(Room {
            count: number(0)?,
            bytes: number(1)?,
            user_bytes: number(2)?,
            all_bytes: number(3)?,
        })
    }

    /// Notes an announced upload.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_upload(&mut self, upload: &UploadRecord) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO uploads (id, instance, connection_id, ticket, bytes, sha256, complete, expires_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&upload.id)
        .bind(upload.instance.as_str())
        .bind(upload.connection.as_str())
        .bind(&upload.ticket.as_bytes()[..])
        .bind(i64::try_from(upload.bytes).unwrap_or(i64::MAX))
        .bind(&upload.sha256[..])
        .bind(upload.complete)
        .bind(encoding::seconds(upload.expires_at))
        .execute(&mut *self.open)
        .await?;
        Ok(())
    }
}

impl Store {
    /// An upload by its name.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn upload(&self, id: &str) -> Result<Option<UploadRecord>, StoreError> {
        sqlx::query("SELECT * FROM uploads WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.readers)
            .await?
            .as_ref()
            .map(upload)
            .transpose()
    }

    /// Notes whether all bytes of an upload are there and have the announced hash.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn complete_upload(&self, id: &str, complete: bool) -> Result<(), StoreError> {
        let statement = if complete {
            "UPDATE uploads SET complete = 1 WHERE id = ?"
        } else {
            "UPDATE uploads SET complete = 0 WHERE id = ?"
        };
        self.change_upload(statement, id).await
    }

    /// Keeps an upload until another moment.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn keep_upload(&self, id: &str, until: Moment) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE uploads SET expires_at = ? WHERE id = ?")
            .bind(encoding::seconds(until))
            .bind(id)
            .execute(&mut *transaction.open)
            .await?;
        transaction.commit().await.map(drop)
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_upload(&self, id: &str) -> Result<(), StoreError> {
        self.change_upload("DELETE FROM uploads WHERE id = ?", id)
            .await
    }

    async fn change_upload(&self, statement: &'static str, id: &str) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(statement)
            .bind(id)
            .execute(&mut *transaction.open)
            .await?;
        transaction.commit().await.map(drop)
    }

    /// Forgets the uploads whose time, or whose connection, is over.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn reap_uploads(&self, now: Moment) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "DELETE FROM uploads WHERE expires_at <= ?1 OR NOT EXISTS (
                 SELECT 1 FROM connections c
                 WHERE c.id = uploads.connection_id AND c.ended_at IS NULL AND c.expires_at > ?1)",
        )
        .bind(encoding::seconds(now))
        .execute(&mut *transaction.open)
        .await?;
        transaction.commit().await.map(drop)
    }

    /// The names of all uploads.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn upload_names(&self) -> Result<HashSet<String>, StoreError> {
        let names = sqlx::query_scalar::<_, String>("SELECT id FROM uploads")
            .fetch_all(&self.readers)
            .await?;
        Ok(names.into_iter().collect())
    }
}

fn upload(row: &SqliteRow) -> Result<UploadRecord, StoreError> {
    let sha256: &[u8] = row.try_get("sha256")?;
    Ok(UploadRecord {
        id: row.try_get("id")?,
        instance: encoding::instance(row)?,
        connection: ConnectionId::new(row.try_get::<String, _>("connection_id")?),
        ticket: encoding::digest(row, "ticket")?,
        bytes: unsigned(row.try_get("bytes")?),
        sha256: sha256
            .try_into()
            .map_err(|_| StoreError::Corrupt("sha256"))?,
        complete: row.try_get("complete")?,
        expires_at: Moment::from_seconds(unsigned(row.try_get("expires_at")?)),
    })
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
