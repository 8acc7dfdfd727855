//! The connections of one user beside each other.

use sqlx::{Row, sqlite::SqliteRow};

use super::{
    Moment, Store, StoreError, Transaction, encoding,
    records::{Change, Connection, EndReason},
};
use crate::{
    connection::{AccessLevel, ConnectionId},
    instance::InstanceName,
    scope::Scopes,
};

/// A connection as its user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The connection.
    pub connection: Connection,
    /// When one of its credentials was last used, to the minute.
    pub last_used_at: Moment,
}

/// What happens to a connection whose grant a later sign-in of its user replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiblingChange {
    /// The user is asked whether it goes on.
    Ask {
        /// Which one.
        connection: ConnectionId,
        /// The connection that the later sign-in makes.
        by: ConnectionId,
        /// Without an answer by then it is over.
        expires_at: Moment,
    },
    /// It goes on.
    GoOn {
        /// Which one.
        connection: ConnectionId,
        /// When it ends now.
        expires_at: Moment,
        /// What the user grants it now.
        access_level: AccessLevel,
        /// What any of its tokens may do now.
        scopes: Scopes,
    },
}

impl Transaction {
    pub(super) async fn change_sibling(
        &mut self,
        change: &SiblingChange,
    ) -> Result<(), StoreError> {
        match change {
            SiblingChange::Ask {
                connection,
                by,
                expires_at,
            } => {
                sqlx::query(
                    "INSERT OR REPLACE INTO replaced_connections (connection_id, by_connection, expires_at)
                     VALUES (?, ?, ?)",
                )
                .bind(connection.as_str())
                .bind(by.as_str())
                .bind(encoding::seconds(*expires_at))
                .execute(&mut *self.open)
                .await?;
            }
            SiblingChange::GoOn {
                connection,
                expires_at,
                access_level,
                scopes,
            } => {
                sqlx::query(
                    "UPDATE connections SET expires_at = ?, access_level = ?, scopes = ?
                     WHERE id = ? AND ended_at IS NULL",
                )
                .bind(encoding::seconds(*expires_at))
                .bind(encoding::access_level_text(*access_level))
                .bind(scopes.to_string())
                .bind(connection.as_str())
                .execute(&mut *self.open)
                .await?;
                self.answered(connection).await?;
                // What is remembered of its tokens may be more than they may do now.
                self.forget_tokens(connection).await?;
            }
        }
        Ok(())
    }

    /// Nothing is asked about the connection any more.
    pub(super) async fn answered(&mut self, connection: &ConnectionId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM replaced_connections WHERE connection_id = ?")
            .bind(connection.as_str())
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }
}

impl Store {
    /// The end of every connection whose user was asked about it and did not answer in time: a bounded number at a
    /// time. The sign-ins that asked end as all do that are not finished in time.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unanswered(&self, now: Moment) -> Result<Vec<Change>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM replaced_connections WHERE expires_at <= ? LIMIT 256")
                .bind(encoding::seconds(now))
                .fetch_all(&self.readers)
                .await?;
        rows.iter()
            .map(|row| {
                Ok(Change::EndConnection {
                    connection: encoding::connection_id(row, "connection_id")?,
                    reason: EndReason::Replaced,
                })
            })
            .collect()
    }

    /// Every live connection of these clients, at both instances.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn connections_of_client(
        &self,
        client_id: &str,
        now: Moment,
    ) -> Result<Vec<Listed>, StoreError> {
        sqlx::query(
            "SELECT * FROM connections WHERE client_id = ? AND ended_at IS NULL AND expires_at > ?
             ORDER BY created_at, id",
        )
        .bind(client_id)
        .bind(encoding::seconds(now))
        .fetch_all(&self.readers)
        .await?
        .iter()
        .map(listed)
        .collect()
    }
}

pub(super) async fn connection(
    db: &mut sqlx::SqliteConnection,
    instance: InstanceName,
    id: &ConnectionId,
) -> Result<Option<Connection>, StoreError> {
    let row = sqlx::query("SELECT * FROM connections WHERE id = ? AND instance = ?")
        .bind(id.as_str())
        .bind(instance.as_str())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(encoding::connection).transpose()
}

pub(super) async fn connections_of_user(
    db: &mut sqlx::SqliteConnection,
    instance: InstanceName,
    user_id: &str,
    now: Moment,
) -> Result<Vec<Listed>, StoreError> {
    sqlx::query(
        "SELECT * FROM connections WHERE user_id = ? AND instance = ? AND ended_at IS NULL AND expires_at > ?
         ORDER BY created_at DESC, id LIMIT 256",
    )
    .bind(user_id)
    .bind(instance.as_str())
    .bind(encoding::seconds(now))
    .fetch_all(db)
    .await?
    .iter()
    .map(listed)
    .collect()
}

pub(super) async fn replaced_by(
    db: &mut sqlx::SqliteConnection,
    by: &ConnectionId,
    now: Moment,
) -> Result<Vec<Listed>, StoreError> {
    sqlx::query(
        "SELECT c.* FROM replaced_connections r JOIN connections c ON c.id = r.connection_id
         WHERE r.by_connection = ?1 AND r.expires_at > ?2 AND c.ended_at IS NULL AND c.expires_at > ?2
         ORDER BY c.created_at DESC, c.id",
    )
    .bind(by.as_str())
    .bind(encoding::seconds(now))
    .fetch_all(db)
    .await?
    .iter()
    .map(listed)
    .collect()
}

fn listed(row: &SqliteRow) -> Result<Listed, StoreError> {
    Ok(Listed {
        connection: encoding::connection(row)?,
        last_used_at: encoding::at(row, "last_used_at")?,
    })
}

/// Whether the user is being asked about the connection.
pub(super) async fn is_asked_about(
    db: &mut sqlx::SqliteConnection,
    connection: &ConnectionId,
) -> Result<bool, StoreError> {
    let count: i64 =
        sqlx::query("SELECT count(*) AS count FROM replaced_connections WHERE connection_id = ?")
            .bind(connection.as_str())
            .fetch_one(db)
            .await?
            .try_get("count")?;
    Ok(count > 0)
}
