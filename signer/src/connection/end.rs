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

    /// What a failed call to Internet Identity means for the connection it was made for.
    pub(super) async fn identity_failure(
        &self,
        connection: &OpenConnection,
        failure: IdentityCallError,
    ) -> SignerError {
        match failure {
            IdentityCallError::Unauthorized => self.not_honoured(connection).await,
            other => refusal::identity_call(other),
        }
    }

    /// A grant that Internet Identity does not honour is over for good, and with it every connection that points to it;
    /// unless the user has signed in again, which replaced it, or somebody is just signing in, which may have.
    async fn not_honoured(&self, connection: &OpenConnection) -> SignerError {
        let (id, grant_id) = (&connection.id, &connection.grant_id);
        let now = self.clock.now();
        match self.store.somebody_signs_in(now).await {
            Ok(true) if self.doubts.last(grant_id, now).await => {
                self.open.suspend_grant(grant_id);
                return refusal::connection_in_doubt();
            }
            Ok(_) => {}
            Err(cause) => return stored(cause),
        }
        let ended = self.store.end_grant(grant_id).await;
        self.open.end_grant(grant_id).await;
        match ended {
            Ok(Some(grant)) if grant.may_be_continued(now) => refusal::connection_replaced(),
            Ok(Some(_)) => {
                info!(connection = %id, "Internet Identity ended the connection");
                refusal::connection_ended()
            }
            // It points to another grant by now, or was closed: the next request finds out.
            Ok(None) => refusal::connection_replaced(),
            Err(cause) => {
                error!(%cause, connection = %id, "the end of a grant could not be stored");
                refusal::connection_ended()
            }
        }
    }
}
