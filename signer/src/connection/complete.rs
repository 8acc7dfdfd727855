use std::sync::Arc;

use icgate_proto::{ConnectionSecret, SignerError};
use tracing::info;

use super::{AccessLevel, ConnectionId, begin::SIGN_IN, open::Found};
use crate::{
    Signer,
    clock::Nanos,
    envelope::Identity,
    grant::{Chain, identify},
    refusal::{self, stored},
    signer::Instance,
    transport::{IdentityCallError, Registration},
    vault::{self, Completion, GrantRecord, GrantState, PrivateKey, SealPurpose, User},
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

/// A completion and the chain it was made with.
pub(crate) type Completing = (Completed, [u8; 32]);

impl Signer {
    /// Completes a connection: verifies the chain, registers the session key with Internet Identity, and reads the
    /// user behind it. The same chain again gives the same answer.
    ///
    /// # Errors
    /// See [`icgate_proto::Reason`].
    pub async fn complete(
        self: &Arc<Self>,
        id: &ConnectionId,
        secret: ConnectionSecret,
        chain: &str,
    ) -> Result<Completed, SignerError> {
        // Before joining anyone's flight: the secret must open the connection.
        self.find(id, &secret).await?;
        let chain = Chain::parse(chain).map_err(refusal::chain)?;
        let digest = chain.digest;
        let (this, own_id) = (Arc::clone(self), id.clone());
        let (completed, with) = self
            .completing
            .board(id.clone(), move || async move {
                this.complete_once(&own_id, &secret, chain).await
            })
            .await?;
        if with == digest {
            Ok(completed)
        } else {
            Err(refusal::invalid(
                "This connection was completed with another delegation chain",
            ))
        }
    }

    async fn complete_once(
        &self,
        id: &ConnectionId,
        secret: &ConnectionSecret,
        chain: Chain,
    ) -> Result<Completing, SignerError> {
        let found = self.find(id, secret).await?;
        if let Some(completed) = &found.records.connection.completed {
            return Ok((found.answer(completed)?, completed.chain_digest));
        }
        let instance = self.instance_of(&found)?;
        self.verify(&chain, &found, &instance).await?;
        let (registration, user) = self.register(id, &found, &chain, &instance).await?;

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
            ..records.grant
        };
        let now = self.clock.now();
        let completion = Completion {
            id: id.as_str(),
            grant_id: &records.grant_id,
            grant: &grant,
            user_id: &user.id,
            now,
            // As long as a sign-in may take: the person answers within it.
            continue_until: now + SIGN_IN,
        };
        let mut connection = records.connection;
        connection.registration_key = None;
        connection.expires_at = expires_at;
        connection.access = access;
        let chain_digest = chain.digest;
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

    async fn verify(
        &self,
        chain: &Chain,
        found: &Found,
        instance: &Instance,
    ) -> Result<(), SignerError> {
        let leaf = &found.records.connection.registration_public;
        chain
            .check(leaf, instance.canister, self.clock.now())
            .map_err(refusal::chain)?;
        self.root_key
            .verify_chain(
                instance.canister,
                chain.public_key.clone(),
                chain.hops.clone(),
            )
            .await
            .map_err(|error| refusal::chain_signature(&error))
    }

    /// Registers the session key, and reads which user it was registered for.
    async fn register(
        &self,
        id: &ConnectionId,
        found: &Found,
        chain: &Chain,
        instance: &Instance,
    ) -> Result<(Registration, User), SignerError> {
        let records = &found.records;
        let sealed = (&records.connection.registration_key, &records.grant_key);
        let (Some(registration_key), Some(session_key)) = sealed else {
            return Err(refusal::internal("a pending connection lacks a key", &id));
        };
        let registration_key = found
            .pair
            .open(
                SealPurpose::Registration {
                    connection: id.as_str(),
                },
                registration_key,
            )
            .map_err(stored)?;
        let purpose = SealPurpose::Session {
            grant: &records.grant_id,
            connection: id.as_str(),
        };
        let session_key = found
            .pair
            .open(purpose, &session_key.sealed)
            .map_err(stored)?;

        let canister = instance.canister;
        let registrar = Identity::delegated(registration_key, &chain.public_key, &chain.hops);
        let registration = self
            .ii
            .register(canister, &registrar, session_key.public_der())
            .await
            .map_err(refusal::registration)?;
        if registration.expiration <= self.clock.now() {
            let lapsed = IdentityCallError::Unexpected("the grant has lapsed already".to_owned());
            return Err(refusal::identity_call(lapsed));
        }
        let session = Identity::of_key(session_key);
        let user = self
            .read_user(&session, instance)
            .await
            .map_err(refusal::registration)?;
        Ok((registration, user))
    }

    /// The user behind a session key: their default account at this server's own origin.
    async fn read_user(
        &self,
        session: &Identity,
        instance: &Instance,
    ) -> Result<User, IdentityCallError> {
        let unused = PrivateKey::generate();
        let prepared = self
            .ii
            .prepare_delegation(
                instance.canister,
                session,
                &instance.origin,
                None,
                unused.public_der(),
            )
            .await?;
        if !crate::grant::is_key_of(instance.canister, &prepared.user_key) {
            let foreign = "the user's key is not one of the Internet Identity canister";
            return Err(IdentityCallError::Unexpected(foreign.to_owned()));
        }
        let principal = candid::Principal::self_authenticating(&prepared.user_key);
        Ok(identify(&instance.name, instance.canister, principal))
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
