//! Clients that the operator brings along.

use super::{StoreError, Transaction, encoding, records::Client};

impl Transaction {
    /// Makes these the imported clients. One that is there already is changed in place and keeps its connections;
    /// one that was imported before and is no longer among them stays as if it had registered itself.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn import_clients(&mut self, clients: &[Client]) -> Result<(), StoreError> {
        sqlx::query("UPDATE clients SET imported = 0 WHERE imported = 1")
            .execute(&mut *self.open)
            .await?;
        for client in clients {
            sqlx::query(
                "INSERT INTO clients (id, name, redirect_uris, may_refresh, may_use_device, created_at, used_at,
                     imported)
                 VALUES (?, ?, ?, ?, ?, ?, ?, 1)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, redirect_uris = excluded.redirect_uris,
                     may_refresh = excluded.may_refresh, may_use_device = excluded.may_use_device, imported = 1,
                     management_token = NULL, former_management_token = NULL",
            )
            .bind(&client.id)
            .bind(&client.name)
            .bind(encoding::redirect_uris(client))
            .bind(client.may_refresh)
            .bind(client.may_use_device)
            .bind(encoding::seconds(client.created_at))
            .bind(encoding::seconds(client.created_at))
            .execute(&mut *self.open)
            .await?;
        }
        Ok(())
    }
}
