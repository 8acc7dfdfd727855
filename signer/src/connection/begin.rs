use icgate_proto::{ConnectionSecret, SignerError};

use super::{Ceiling, ConnectionId, id::random_id};
use crate::{
    Signer,
    clock::{MINUTE, Nanos},
    refusal::{self, stored},
    vault::{
        ConnectionKeyPair, ConnectionRecord, GrantKeyRecord, GrantRecord, GrantState,
        NewConnection, PrivateKey, SealPurpose, SlotKey, SlotRecord, slot_id,
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
    /// The key Internet Identity is to delegate to, DER.
    pub registration_key: Vec<u8>,
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
        let (registration_key, session_key) = (PrivateKey::generate(), PrivateKey::generate());
        let registration = SealPurpose::Registration {
            connection: id.as_str(),
        };
        let session = SealPurpose::Session {
            grant: &grant_id,
            connection: id.as_str(),
        };
        let connection = ConnectionRecord {
            instance: instance.name.clone(),
            ceiling,
            public_key: pair.public(),
            registration_key: Some(
                pair.public()
                    .seal(registration, &registration_key)
                    .map_err(stored)?,
            ),
            registration_public: registration_key.public_der().to_vec(),
            expires_at: now + SIGN_IN,
            access: ceiling.access,
            completed: None,
        };
        let grant = GrantRecord {
            instance: instance.name.clone(),
            canister: instance.canister,
            session_public: session_key.public_der().to_vec(),
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
                sealed: pair.public().seal(session, &session_key).map_err(stored)?,
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
        Ok(Begun {
            id,
            slot_id,
            registration_key: connection.registration_public,
            expires_at: connection.expires_at,
        })
    }
}
