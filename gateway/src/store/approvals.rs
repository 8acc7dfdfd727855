//! What the person at a browser has approved on the consent page.

use super::{Digest, Moment, Store, StoreError, Transaction, encoding};
use crate::{connection::ConnectionId, instance::InstanceName, scope::Scopes};

/// The person at a browser let a client ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Hash of the browser cookie.
    pub browser: Digest,
    /// Where.
    pub instance: InstanceName,
    /// Who asked.
    pub client_id: String,
    /// Where the answer was to go.
    pub redirect_host: String,
    /// What could be ticked.
    pub offered: Scopes,
    /// What was ticked.
    pub ticked: Scopes,
    /// When.
    pub created_at: Moment,
    /// When the person is asked again.
    pub expires_at: Moment,
}

impl Transaction {
    /// Keeps an approval in the place of an earlier one; at the limit the oldest one goes.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_approval(&mut self, approval: &Approval) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM approvals WHERE rowid IN (
                 SELECT rowid FROM approvals ORDER BY created_at DESC LIMIT -1 OFFSET ?)",
        )
        .bind(i64::from(self.limits.approvals.saturating_sub(1)))
        .execute(&mut *self.open)
        .await?;
        sqlx::query(
            "INSERT OR REPLACE INTO approvals (browser, instance, client_id, redirect_host, offered, ticked,
                 created_at, expires_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&approval.browser.as_bytes()[..])
        .bind(approval.instance.as_str())
        .bind(&approval.client_id)
        .bind(&approval.redirect_host)
        .bind(approval.offered.to_string())
        .bind(approval.ticked.to_string())
        .bind(encoding::seconds(approval.created_at))
        .bind(encoding::seconds(approval.expires_at))
        .execute(&mut *self.open)
        .await?;
        Ok(())
    }

    /// Forgets what was approved at a browser for a client, whatever its redirect host.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_approval(
        &mut self,
        browser: &Digest,
        instance: InstanceName,
        client_id: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM approvals WHERE browser = ? AND instance = ? AND client_id = ?")
            .bind(&browser.as_bytes()[..])
            .bind(instance.as_str())
            .bind(client_id)
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }

    /// Forgets everything that was approved at a browser at an instance.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_approvals_at(
        &mut self,
        browser: &Digest,
        instance: InstanceName,
    ) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM approvals WHERE browser = ? AND instance = ?")
            .bind(&browser.as_bytes()[..])
            .bind(instance.as_str())
            .execute(&mut *self.open)
            .await?;
        Ok(())
    }

    /// Forgets what was approved for a connection's client at its instance, at whichever browser: nobody knows at which
    /// ones its user did.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn forget_approvals_of(
        &mut self,
        connection: &ConnectionId,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "DELETE FROM approvals
             WHERE (instance, client_id) = (SELECT instance, client_id FROM connections WHERE id = ?)",
        )
        .bind(connection.as_str())
        .execute(&mut *self.open)
        .await?;
        Ok(())
    }
}

impl Store {
    /// What this browser approved for a client and redirect host.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn approval(
        &self,
        browser: &Digest,
        instance: InstanceName,
        client_id: &str,
        redirect_host: &str,
    ) -> Result<Option<Approval>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM approvals WHERE browser = ? AND instance = ? AND client_id = ? AND redirect_host = ?",
        )
        .bind(&browser.as_bytes()[..])
        .bind(instance.as_str())
        .bind(client_id)
        .bind(redirect_host)
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Approval {
            browser: *browser,
            instance,
            client_id: client_id.to_owned(),
            redirect_host: redirect_host.to_owned(),
            offered: encoding::scopes_in(&row, "offered")?,
            ticked: encoding::scopes_in(&row, "ticked")?,
            created_at: encoding::at(&row, "created_at")?,
            expires_at: encoding::at(&row, "expires_at")?,
        }))
    }
}
