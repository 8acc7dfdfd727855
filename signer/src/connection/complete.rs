use std::sync::Arc;

use icgate_proto::{ConnectionSecret, SignerError};
use tracing::info;

use super::{
    AccessLevel, ConnectionId,
    begin::SIGN_IN,
    open::Found,
    prove::{Proof, Proven},
};
use crate::{
    Signer,
    clock::Nanos,
    grant::{Chain, RegisteredKey},
    refusal::{self, stored},
    vault::{self, Completion, GrantKeyRecord, GrantRecord, GrantState, User},
};

/// A connection whose user has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// The user.
    pub user: User,
    /// When it lapses.
    pub expires_at: Nanos,
    /// What it may do at most.
    pub access: AccessLevel,
    /// The user's other connections whose grant this one replaced.
    pub replaced: Vec<String>,
}

/// A completion and the digest of the proof it was made with.
pub(crate) type Completing = (Completed, [u8; 32]);

impl Signer {
    /// Completes a connection of the handshake `registration-delegation`: verifies the chain, registers the session
    /// key with Internet Identity, and reads the user behind it. The same chain again gives the same answer.
    ///
    /// # Errors
    /// See [`icgate_proto::Reason`].
    pub async fn complete(
        self: &Arc<Self>,
        id: &ConnectionId,
        secret: ConnectionSecret,
        chain: &str,
    ) -> Result<Completed, SignerError> {
        // Before anything else: the secret must open the connection.
        self.find(id, &secret).await?;
        let chain = Chain::parse(chain).map_err(refusal::chain)?;
        self.complete_with(id, secret, Proof::Chain(chain)).await
    }

    /// Completes a connection of the handshake `key-request`: asks Internet Identity whether the user has registered
    /// this session key, and which user. The same key again gives the same answer.
    ///
    /// # Errors
    /// [`icgate_proto::Reason::ConnectionPending`] until the user has registered it, and others.
    pub async fn complete_registered(
        self: &Arc<Self>,
        id: &ConnectionId,
        secret: ConnectionSecret,
        key: RegisteredKey,
    ) -> Result<Completed, SignerError> {
        self.find(id, &secret).await?;
        self.complete_with(id, secret, Proof::Registered(key)).await
    }

    async fn complete_with(
        self: &Arc<Self>,
        id: &ConnectionId,
        secret: ConnectionSecret,
        proof: Proof,
    ) -> Result<Completed, SignerError> {
        let digest = proof.digest();
        let (this, own_id) = (Arc::clone(self), id.clone());
        let (completed, with) = self
            .completing
            .board(id.clone(), move || async move {
                this.complete_once(&own_id, &secret, proof).await
            })
            .await?;
        if with == digest {
            Ok(completed)
        } else {
            Err(refusal::invalid(
                "This connection was completed with another delegation chain or session key",
            ))
        }
    }

    async fn complete_once(
        &self,
        id: &ConnectionId,
        secret: &ConnectionSecret,
        proof: Proof,
    ) -> Result<Completing, SignerError> {
        let found = self.find(id, secret).await?;
        if let Some(completed) = &found.records.connection.completed {
            return Ok((found.answer(completed)?, completed.chain_digest));
        }
        let instance = self.instance_of(&found)?;
        let Proven {
            registration,
            user,
            session_key,
        } = self.prove(id, &found, &proof, &instance).await?;

        let Found { records, .. } = found;
        let ceiling = records.connection.ceiling;
        let expires_at = ceiling
            .expires_at
            .unwrap_or(Nanos::MAX)
            .min(registration.expiration);
        let access = ceiling.access.min(registration.access);
        let grant = GrantRecord {
            state: GrantState::Live,
            expires_at: registration.expiration,
            access: registration.access,
            user: Some(user.clone()),
            session_public: session_key
                .as_ref()
                .map_or(records.grant.session_public, |key| key.public.clone()),
            ..records.grant
        };
        let now = self.clock.now();
        let grant_key = session_key.map(|key| GrantKeyRecord { sealed: key.sealed });
        let completion = Completion {
            id: id.as_str(),
            grant_id: &records.grant_id,
            grant: &grant,
            user_id: &user.id,
            now,
            // As long as a sign-in may take: the person answers within it.
            continue_until: now + SIGN_IN,
            grant_key: grant_key.as_ref(),
        };
        let mut connection = records.connection;
        connection.registration_key = None;
        connection.key_request = None;
        connection.expires_at = expires_at;
        connection.access = access;
        let chain_digest = proof.digest();
        let completed = self
            .store
            .complete(completion, |replaced| {
                connection.completed = Some(vault::Completed {
                    chain_digest,
                    replaced,
                });
                connection
            })
            .await
            .map_err(stored)?;
        let replaced = completed
            .completed
            .map(|completed| completed.replaced)
            .unwrap_or_default();
        for id in replaced.iter().filter_map(|id| ConnectionId::parse(id)) {
            self.open.end(&id).await;
        }
        info!(connection = %id, user = user.id, replaced = replaced.len(), "connection completed");
        Ok((
            Completed {
                user,
                expires_at,
                access,
                replaced,
            },
            chain_digest,
        ))
    }
}

impl Found {
    fn answer(&self, completed: &vault::Completed) -> Result<Completed, SignerError> {
        let user = self.user().ok_or_else(refusal::connection_ended)?;
        Ok(Completed {
            user: user.clone(),
            expires_at: self.records.connection.expires_at,
            access: self.records.connection.access,
            replaced: completed.replaced.clone(),
        })
    }
}
