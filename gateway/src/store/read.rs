use sqlx::{Executor, Sqlite};

use super::{
    Digest, Listed, Moment, Store, StoreError, Transaction, device, encoding,
    records::{Client, Connection, DeviceRequest, Family, PendingConnect},
    siblings::{connection, connections_of_user, is_asked_about, replaced_by},
};
use crate::{connection::ConnectionId, instance::InstanceName};

/// The same look-ups beside a transaction (for a first look) and inside one (for a decision).
macro_rules! lookups {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)+) => {
        impl Store {
            $($(#[$doc])*
            ///
            /// # Errors
            /// See [`StoreError`].
            pub async fn $name(&self, $($argument: $type),*) -> Result<$result, StoreError> {
                let mut connection = self.readers.acquire().await?;
                $name(&mut connection, $($argument),*).await
            })+
        }

        impl Transaction {
            $($(#[$doc])*
            ///
            /// # Errors
            /// See [`StoreError`].
            pub async fn $name(&mut self, $($argument: $type),*) -> Result<$result, StoreError> {
                $name(&mut self.open, $($argument),*).await
            })+
        }
    };
}

lookups! {
    /// A registered client.
    client(id: &str) -> Option<Client>;
    /// A sign-in by the hash of its state; one of another instance is not found.
    pending_connect(instance: InstanceName, state: &Digest) -> Option<PendingConnect>;
    /// A device's request by the hash of its device code; one of another instance is not found.
    device_request(instance: InstanceName, device_code: &Digest) -> Option<DeviceRequest>;
    /// A device's request by the hash of its user code; one of another instance is not found.
    device_request_by_user_code(instance: InstanceName, user_code: &Digest) -> Option<DeviceRequest>;
    /// A connection; one of another instance is not found.
    connection(instance: InstanceName, id: &ConnectionId) -> Option<Connection>;
    /// The live connections of a user, the newest first.
    connections_of_user(instance: InstanceName, user_id: &str, now: Moment) -> Vec<Listed>;
    /// The connections whose user is asked about them because of a sign-in, the newest first.
    replaced_by(by: &ConnectionId, now: Moment) -> Vec<Listed>;
    /// Whether the user of a connection is being asked whether it goes on.
    is_asked_about(connection: &ConnectionId) -> bool;
    /// A credential by its hash, with its connection and successors; one of another instance is not found.
    family(instance: InstanceName, hash: &Digest) -> Option<Family>;
}

impl Store {
    /// How many connections are live.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn live_connections(&self, now: Moment) -> Result<u32, StoreError> {
        let count = sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM connections WHERE ended_at IS NULL AND expires_at > ?",
        )
        .bind(encoding::seconds(now))
        .fetch_one(&self.readers)
        .await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Whether there is room for another connection.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn has_room_for_connection(&self, now: Moment) -> Result<bool, StoreError> {
        Ok(self.live_connections(now).await? < self.limits.connections)
    }

    /// The instance a connection belongs to, if it is known.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn is_known(
        &self,
        instance: InstanceName,
        connection: &ConnectionId,
    ) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM connections WHERE id = ? AND instance = ?",
        )
        .bind(connection.as_str())
        .bind(instance.as_str())
        .fetch_one(&self.readers)
        .await?
            > 0)
    }
}

async fn client(db: &mut sqlx::SqliteConnection, id: &str) -> Result<Option<Client>, StoreError> {
    let row = sqlx::query("SELECT * FROM clients WHERE id = ?")
        .bind(id)
        .fetch_optional(db)
        .await?;
    row.as_ref().map(encoding::client).transpose()
}

async fn pending_connect(
    db: &mut sqlx::SqliteConnection,
    instance: InstanceName,
    state: &Digest,
) -> Result<Option<PendingConnect>, StoreError> {
    let row = sqlx::query("SELECT * FROM pending_connects WHERE state = ? AND instance = ?")
        .bind(&state.as_bytes()[..])
        .bind(instance.as_str())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(encoding::pending_connect).transpose()
}

async fn device_request(
    db: &mut sqlx::SqliteConnection,
    instance: InstanceName,
    device_code: &Digest,
) -> Result<Option<DeviceRequest>, StoreError> {
    let row = sqlx::query("SELECT * FROM device_requests WHERE device_code = ? AND instance = ?")
        .bind(&device_code.as_bytes()[..])
        .bind(instance.as_str())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(device::request).transpose()
}

async fn device_request_by_user_code(
    db: &mut sqlx::SqliteConnection,
    instance: InstanceName,
    user_code: &Digest,
) -> Result<Option<DeviceRequest>, StoreError> {
    let row = sqlx::query("SELECT * FROM device_requests WHERE user_code = ? AND instance = ?")
        .bind(&user_code.as_bytes()[..])
        .bind(instance.as_str())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(device::request).transpose()
}

async fn family(
    db: &mut sqlx::SqliteConnection,
    instance: InstanceName,
    hash: &Digest,
) -> Result<Option<Family>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM credentials WHERE hash = ?1;
         SELECT * FROM connections
         WHERE id = (SELECT connection_id FROM credentials WHERE hash = ?1) AND instance = ?2",
    )
    .bind(&hash.as_bytes()[..])
    .bind(instance.as_str())
    .fetch_all(&mut *db)
    .await?;
    let [credential, connection] = rows.as_slice() else {
        return Ok(None);
    };
    let mut credential = encoding::credential(credential)?;
    let connection = encoding::connection(connection)?;
    // A connection that went on after another sign-in may do less than when the credential was issued.
    credential.scopes = credential.scopes.intersection(connection.scopes);
    // Only what was spent has any.
    let successors = match credential.spent_at {
        Some(_) => successors(db, hash).await?,
        None => Vec::new(),
    };
    Ok(Some(Family {
        credential,
        connection,
        successors,
    }))
}

async fn successors<'a>(
    db: impl Executor<'a, Database = Sqlite>,
    hash: &Digest,
) -> Result<Vec<super::records::IssuedCredential>, StoreError> {
    sqlx::query("SELECT * FROM credentials WHERE predecessor = ?")
        .bind(&hash.as_bytes()[..])
        .fetch_all(db)
        .await?
        .iter()
        .map(encoding::credential)
        .collect()
}
