use icgate_proto::{ConnectionSecret, SignerError};
use tracing::info;

use super::ConnectionId;
use crate::{
    Signer,
    refusal::{self, stored},
    vault::{Continuation, Continued, GrantKeyRecord, SealPurpose},
};

/// Connections that one request may continue.
const CAPACITY: usize = 64;

impl Signer {
    /// Moves connections whose grant this connection's registration replaced to this connection's grant. The session
    /// key is sealed to each of them, so that their bearers need not be there.
    ///
    /// # Errors
    /// When the secret opens nothing, the connection is not live, too many are named, or the database fails.
    pub async fn continue_connections(
        &self,
        id: &ConnectionId,
        secret: &ConnectionSecret,
        ids: &[String],
    ) -> Result<Vec<Continued>, SignerError> {
        if ids.len() > CAPACITY {
            return Err(refusal::invalid(format_args!(
                "`connection_ids` must hold at most {CAPACITY} ids"
            )));
        }
        let found = self.find(id, secret).await?;
        let session = self.session_of(id, &found)?;
        let completed = found.records.connection.completed.as_ref();
        let replaced = completed.map_or(&[][..], |completed| &completed.replaced);
        let ids: Vec<&str> = replaced
            .iter()
            .filter(|id| ids.contains(id))
            .map(String::as_str)
            .collect();

        let grant_id = &found.records.grant_id;
        let continuation = Continuation {
            opener: id.as_str(),
            grant_id,
            ids: &ids,
            cap: self.limits.connections_per_grant,
            now: self.clock.now(),
        };
        let continued = self
            .store
            .continue_connections(continuation, |connection, public_key| {
                let purpose = SealPurpose::Session {
                    grant: grant_id,
                    connection,
                };
                let sealed = public_key.seal(purpose, &session)?;
                Ok(GrantKeyRecord { sealed })
            })
            .await
            .map_err(stored)?;
        // What is open of them in memory rests on the grant that was replaced.
        for id in continued
            .iter()
            .filter_map(|it| ConnectionId::parse(&it.id))
        {
            self.open.end(&id).await;
        }
        info!(connection = %id, continued = continued.len(), "connections continued");
        Ok(continued)
    }
}
