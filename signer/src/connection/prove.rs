//! What a completion rests on: the grant is never taken on somebody's word.

use icgate_proto::SignerError;
use sha2::{Digest, Sha256};

use super::{ConnectionId, open::Found};
use crate::{
    Signer,
    account::AppIdentity,
    envelope::Identity,
    grant::{Chain, RegisteredKey, identify},
    refusal::{self, stored},
    signer::Instance,
    transport::{IdentityCallError, Registration},
    vault::{PrivateKey, SealPurpose, SessionKey, User},
};

/// What somebody brings to complete a connection.
pub(super) enum Proof {
    /// A delegation to the registration key.
    Chain(Chain),
    /// The word that the user has registered a session key.
    Registered(RegisteredKey),
}

impl Proof {
    /// What tells one proof from another.
    pub(super) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Chain(chain) => chain.digest,
            Self::Registered(key) => Sha256::digest(&key.public).into(),
        }
    }
}

/// What was found to be so.
pub(super) struct Proven {
    pub(super) registration: Registration,
    pub(super) user: User,
    /// The session key that is registered, where the connection began with several.
    pub(super) session_key: Option<SessionKey>,
}

impl Signer {
    pub(super) async fn prove(
        &self,
        id: &ConnectionId,
        found: &Found,
        proof: &Proof,
        instance: &Instance,
    ) -> Result<Proven, SignerError> {
        match proof {
            Proof::Chain(chain) => {
                self.verify(chain, found, instance).await?;
                self.register(id, found, chain, instance).await
            }
            Proof::Registered(key) => self.ask_as(id, found, key, instance).await,
        }
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
            .verify_chain(instance.canister, &chain.public_key, &chain.hops)
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
    ) -> Result<Proven, SignerError> {
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
        Ok(Proven {
            registration,
            user,
            session_key: None,
        })
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

    /// Asks Internet Identity as the session key: whether it honours the key, for whom, and how far. Who the user is
    /// and what the grant allows stand in a delegation that its canister signs; of the grant's end nothing is signed,
    /// so that is the earliest of what was proposed and what was said.
    async fn ask_as(
        &self,
        id: &ConnectionId,
        found: &Found,
        key: &RegisteredKey,
        instance: &Instance,
    ) -> Result<Proven, SignerError> {
        let records = &found.records;
        let request = records.connection.key_request.as_ref().ok_or_else(|| {
            refusal::invalid(
                "This connection was begun for the handshake `registration-delegation`",
            )
        })?;
        let session_key = request
            .session_keys
            .iter()
            .find(|made| made.public == key.public)
            .ok_or_else(|| refusal::invalid("`session_key_der` is not a key of this connection"))?;
        let expiration = request.expires_by.min(key.expires_at.unwrap_or(u64::MAX));
        if expiration <= self.clock.now() {
            let lapsed = IdentityCallError::Unexpected("the grant has lapsed already".to_owned());
            return Err(refusal::identity_call(lapsed));
        }
        let purpose = SealPurpose::Session {
            grant: &records.grant_id,
            connection: id.as_str(),
        };
        let session = found
            .pair
            .open(purpose, &session_key.sealed)
            .map_err(stored)
            .map(Identity::of_key)?;

        let (canister, origin) = (instance.canister, &instance.origin);
        // The page of whoever waits asks again and again: a query is cheap to be refused.
        self.ii
            .accounts(canister, &session, origin)
            .await
            .map_err(not_yet)?;
        let own = AppIdentity::mint(&self.ii, &self.root_key, canister, &session, origin, None)
            .await
            .map_err(not_yet)?;
        let access = key.access.map_or(own.access, |said| said.min(own.access));
        Ok(Proven {
            registration: Registration { expiration, access },
            user: identify(&instance.name, canister, own.principal()),
            session_key: Some(session_key.clone()),
        })
    }
}

/// A key that Internet Identity does not know is one that the user has not registered yet.
fn not_yet(error: IdentityCallError) -> SignerError {
    match error {
        IdentityCallError::Unauthorized => refusal::connection_pending(),
        other => refusal::registration(other),
    }
}
