use icgate_proto::{ConnectionSecret, SignerError};

use super::{Ceiling, ConnectionId, Handshake, id::random_id};
use crate::{
    Signer,
    clock::{MINUTE, Nanos},
    refusal::{self, stored},
    vault::{
        ConnectionKeyPair, ConnectionRecord, GrantKeyRecord, GrantRecord, GrantState, KeyRequest,
        NewConnection, PrivateKey, SealError, SealPurpose, Sealed, SessionKey, SlotKey, SlotRecord,
        slot_id,
    },
};

/// A connection that is not completed within this time is forgotten.
pub(super) const SIGN_IN: Nanos = 15 * MINUTE;

/// A connection that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Its id.
    pub id: ConnectionId,
    /// The id of its first slot.
    pub slot_id: String,
    /// The key Internet Identity is to delegate to, DER; empty for the handshake `key-request`.
    pub registration_key: Vec<u8>,
    /// The keys of which the user registers one, DER; for the handshake `key-request` only.
    pub session_keys: Vec<Vec<u8>>,
    /// When it is forgotten unless completed.
    pub expires_at: Nanos,
}

/// A slot to be made: the secret that will open it, and until when.
#[derive(Debug)]
pub struct NewSlot {
    /// The secret of a credential.
    pub secret: ConnectionSecret,
    /// When the slot lapses.
    pub expires_at: Nanos,
}

impl Signer {
    /// Begins a connection at an instance: its keys are made, sealed and durable when this returns.
    ///
    /// # Errors
    /// When the instance is not configured, the ceiling or slot has lapsed already, or the database fails.
    pub async fn begin(
        &self,
        instance: &str,
        ceiling: Ceiling,
        slot: NewSlot,
        handshake: Handshake,
    ) -> Result<Begun, SignerError> {
        let now = self.clock.now();
        let instance = self.instances.get(instance).ok_or_else(|| {
            refusal::invalid("`instance` is not one the signer is configured for")
        })?;
        if ceiling.expires_at.is_some_and(|at| at <= now) {
            return Err(refusal::invalid("`ceiling.expires_at_ns` has passed"));
        }
        if slot.expires_at <= now {
            return Err(refusal::invalid("`slot_expires_at_ns` has passed"));
        }

        let (id, grant_id) = (ConnectionId::random(), random_id());
        let slot_id = slot_id(id.as_str(), &slot.secret);
        let pair = ConnectionKeyPair::generate();
        let keys = Keys::make(handshake, &id, &grant_id, &pair, now).map_err(stored)?;
        let connection = ConnectionRecord {
            instance: instance.name.clone(),
            ceiling,
            public_key: pair.public(),
            registration_key: keys.registration.sealed,
            registration_public: keys.registration.public,
            expires_at: now + SIGN_IN,
            access: ceiling.access,
            completed: None,
            key_request: keys.key_request,
        };
        let grant = GrantRecord {
            instance: instance.name.clone(),
            canister: instance.canister,
            session_public: keys.session.public,
            state: GrantState::Pending,
            expires_at: 0,
            access: ceiling.access,
            user: None,
            continue_until: None,
        };
        let new = NewConnection {
            id: id.as_str(),
            connection: &connection,
            grant_id: &grant_id,
            grant: &grant,
            grant_key: &GrantKeyRecord {
                sealed: keys.session.sealed,
            },
            slot_id: &slot_id,
            slot: &SlotRecord {
                sealed: SlotKey::derive(id.as_str(), &slot.secret)
                    .seal(&pair)
                    .map_err(stored)?,
                expires_at: slot.expires_at,
            },
            created_at: now,
        };
        let evicted = self
            .store
            .begin(new, self.limits.pending_connections)
            .await
            .map_err(stored)?;
        if !evicted.is_empty() {
            tracing::warn!(
                evicted = evicted.len(),
                "too many sign-ins at once; the oldest were forgotten"
            );
        }
        let session_keys = connection.key_request.into_iter();
        Ok(Begun {
            id,
            slot_id,
            registration_key: connection.registration_public,
            session_keys: session_keys
                .flat_map(|request| request.session_keys)
                .map(|key| key.public)
                .collect(),
            expires_at: connection.expires_at,
        })
    }
}

/// The keys a connection begins with, sealed.
struct Keys {
    registration: RegistrationKey,
    /// The session key, or the first of several.
    session: SessionKey,
    key_request: Option<KeyRequest>,
}

#[derive(Default)]
struct RegistrationKey {
    public: Vec<u8>,
    sealed: Option<Sealed>,
}

impl Keys {
    fn make(
        handshake: Handshake,
        id: &ConnectionId,
        grant: &str,
        pair: &ConnectionKeyPair,
        now: Nanos,
    ) -> Result<Self, SealError> {
        let connection = id.as_str();
        let session_key = || {
            let key = PrivateKey::generate();
            let purpose = SealPurpose::Session { grant, connection };
            Ok(SessionKey {
                public: key.public_der().to_vec(),
                sealed: pair.public().seal(purpose, &key)?,
            })
        };
        let session = session_key()?;
        match handshake {
            Handshake::RegistrationDelegation => {
                let key = PrivateKey::generate();
                let purpose = SealPurpose::Registration { connection };
                Ok(Self {
                    registration: RegistrationKey {
                        public: key.public_der().to_vec(),
                        sealed: Some(pair.public().seal(purpose, &key)?),
                    },
                    session,
                    key_request: None,
                })
            }
            Handshake::KeyRequest {
                proposed,
                session_keys,
            } => {
                let further = (1..session_keys).map(|_| session_key());
                let session_keys = std::iter::once(Ok(session.clone()))
                    .chain(further)
                    .collect::<Result<_, SealError>>()?;
                Ok(Self {
                    registration: RegistrationKey::default(),
                    session,
                    key_request: Some(KeyRequest {
                        expires_by: now + proposed,
                        session_keys,
                    }),
                })
            }
        }
    }
}
