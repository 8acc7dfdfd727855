use icgate_proto::{ConnectionSecret, SignerError};
use tracing::{error, info};

use super::{AccessLevel, Ceiling, ConnectionId, OpenConnection};
use crate::{
    Signer,
    clock::Nanos,
    envelope::Standing,
    refusal::{self, stored},
    transport::IdentityCallError,
    vault::User,
};

/// What a connection is and may do.
#[derive(Debug, Clone)]
pub struct Described {
    /// The instance it belongs to.
    pub instance: String,
    /// Its ceiling.
    pub ceiling: Ceiling,
    /// Where it stands.
    pub standing: Standing,
    /// The user, once completed.
    pub user: Option<User>,
    /// When it lapses.
    pub expires_at: Nanos,
    /// What it may do at most.
    pub access: AccessLevel,
}

impl Signer {
    /// Describes a connection in any state.
    ///
    /// # Errors
    /// When the secret opens nothing.
    pub async fn describe(
        &self,
        id: &ConnectionId,
        secret: &ConnectionSecret,
    ) -> Result<Described, SignerError> {
        let found = self.find(id, secret).await?;
        let connection = &found.records.connection;
        Ok(Described {
            instance: connection.instance.clone(),
            ceiling: connection.ceiling,
            standing: found.standing(self.clock.now()),
            user: found.user().cloned(),
            expires_at: connection.expires_at,
            access: connection.access,
        })
    }

    /// Ends a connection and destroys every key that only it could use. Closing it again changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close(&self, id: &ConnectionId) -> Result<(), SignerError> {
        self.store
            .close_connection(id.as_str())
            .await
            .map_err(stored)?;
        self.open.end(id).await;
        info!(connection = %id, "connection closed");
        Ok(())
    }

    /// What a failed call to Internet Identity means for the connection it was made for: `Unauthorized` ends it, and
    /// with it every connection of the same grant, for good.
    pub(super) async fn identity_failure(
        &self,
        connection: &OpenConnection,
        failure: IdentityCallError,
    ) -> SignerError {
        if matches!(failure, IdentityCallError::Unauthorized) {
            info!(connection = %connection.id, "Internet Identity ended the connection");
            if let Err(cause) = self.store.end_grant(&connection.grant_id).await {
                error!(%cause, connection = %connection.id, "the end of a grant could not be stored");
            }
            self.open.end_grant(&connection.grant_id).await;
        }
        refusal::identity_call(failure)
    }
}
