//! Clients that whoever registered them may read, change and take away (RFC 7592).

use sqlx::{Row, SqliteConnection};

use super::{
    Digest, Moment, Store, StoreError, Transaction, encoding,
    records::{Change, Client, EndReason},
};
use crate::connection::ConnectionId;

/// A registered client with what proves that somebody registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    /// The client.
    pub client: Client,
    /// Hash of its registration access token.
    pub token: Digest,
    /// Hash of the one before, as long as the newer one was not presented.
    pub former: Option<Digest>,
}

impl Store {
    /// A client that is managed; none for an imported one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn managed_client(&self, id: &str) -> Result<Option<Managed>, StoreError> {
        let mut connection = self.readers.acquire().await?;
        managed_client(&mut connection, id).await
    }
}

impl Transaction {
    /// A client that is managed; none for an imported one.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn managed_client(&mut self, id: &str) -> Result<Option<Managed>, StoreError> {
        managed_client(&mut self.open, id).await
    }

    /// Sets what proves that somebody registered the client.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn set_management_token(
        &mut self,
        id: &str,
        token: &Digest,
        former: Option<&Digest>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE clients SET management_token = ?, former_management_token = ? WHERE id = ?",
        )
        .bind(&token.as_bytes()[..])
        .bind(former.map(|former| &former.as_bytes()[..]))
        .bind(id)
        .execute(&mut *self.open)
        .await?;
        Ok(())
    }

    /// Gives a client other metadata. Sign-ins under way end: they were begun for an address that the client may not
    /// have any more. Connections go on.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn change_client(&mut self, client: &Client, now: Moment) -> Result<(), StoreError> {
        sqlx::query("UPDATE clients SET name = ?, redirect_uris = ?, may_refresh = ?, may_use_device = ? WHERE id = ?")
            .bind(&client.name)
            .bind(encoding::redirect_uris(client))
            .bind(client.may_refresh)
            .bind(client.may_use_device)
            .bind(&client.id)
            .execute(&mut *self.open)
            .await?;
        self.forget_sign_ins(&client.id, now).await
    }

    /// Takes a client away, with its connections at both instances and the sign-ins that are under way.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_client(&mut self, id: &str, now: Moment) -> Result<(), StoreError> {
        self.forget_sign_ins(id, now).await?;
        let rows =
            sqlx::query("SELECT id FROM connections WHERE client_id = ? AND ended_at IS NULL")
                .bind(id)
                .fetch_all(&mut *self.open)
                .await?;
        let ends = rows
            .iter()
            .map(|row| {
                Ok(Change::EndConnection {
                    connection: ConnectionId::new(row.try_get::<String, _>("id")?),
                    reason: EndReason::Revoked,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.apply(&ends, now).await?;
        sqlx::query("DELETE FROM clients WHERE id = ?")
            .bind(id)
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }

    /// What comes back from Internet Identity for them finds nothing, the signer forgets what it has begun, and devices
    /// wait no longer. A sign-in that is complete has a connection already, which lives or ends by itself.
    async fn forget_sign_ins(&mut self, client_id: &str, now: Moment) -> Result<(), StoreError> {
        let taken_away = sqlx::query(
            "DELETE FROM pending_connects WHERE client_id = ? RETURNING connection_id, sealed_code",
        )
        .bind(client_id)
        .fetch_all(&mut *self.open)
        .await?;
        self.close_begun(&taken_away, now).await?;
        sqlx::query("DELETE FROM device_requests WHERE client_id = ? AND sealed IS NULL")
            .bind(client_id)
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }
}

async fn managed_client(
    db: &mut SqliteConnection,
    id: &str,
) -> Result<Option<Managed>, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM clients WHERE id = ? AND imported = 0 AND management_token IS NOT NULL",
    )
    .bind(id)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let former: Option<&[u8]> = row.try_get("former_management_token")?;
    Ok(Some(Managed {
        client: encoding::client(&row)?,
        token: encoding::digest(&row, "management_token")?,
        former: former
            .map(Digest::try_from)
            .transpose()
            .map_err(|()| StoreError::Corrupt("former_management_token"))?,
    }))
}
