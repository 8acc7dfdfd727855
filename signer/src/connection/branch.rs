use icgate_proto::{ConnectionSecret, SignerError};
use tracing::info;

use super::{AccessLevel, Ceiling, ConnectionId, NewSlot};
use crate::{
    Signer,
    clock::Nanos,
    refusal::{self, stored},
    vault::{
        Branch, Completed, ConnectionKeyPair, ConnectionRecord, GrantKeyRecord, SealPurpose,
        SlotKey, SlotRecord, slot_id,
    },
};

/// A further connection on the grant of another.
#[derive(Debug)]
pub struct Branched {
    /// Its id.
    pub id: ConnectionId,
    /// The id of its first slot.
    pub slot_id: String,
    /// When it lapses.
    pub expires_at: Nanos,
    /// What it may do at most.
    pub access: AccessLevel,
}

impl Signer {
    /// Makes a further, completed connection of the same user on the same grant, with a key pair, slot and ceiling of
    /// its own.
    ///
    /// # Errors
    /// When the secret opens nothing, the connection is not live, the ceiling exceeds the opener's, something has lapsed
    /// already, the user has too many connections, or the database fails.
    pub async fn branch(
        &self,
        opener: &ConnectionId,
        secret: &ConnectionSecret,
        ceiling: Ceiling,
        slot: NewSlot,
    ) -> Result<Branched, SignerError> {
        let now = self.clock.now();
        if ceiling.expires_at.is_some_and(|at| at <= now) {
            return Err(refusal::invalid("`ceiling.expires_at_ns` has passed"));
        }
        if slot.expires_at <= now {
            return Err(refusal::invalid("`slot_expires_at_ns` has passed"));
        }
        let found = self.find(opener, secret).await?;
        let session = self.session_of(opener, &found)?;
        let of_opener = &found.records.connection;
        if !ceiling.within(&of_opener.ceiling) {
            return Err(refusal::invalid(
                "`ceiling` exceeds that of the connection it is branched from",
            ));
        }

        let id = ConnectionId::random();
        let slot_id = slot_id(id.as_str(), &slot.secret);
        let pair = ConnectionKeyPair::generate();
        let ceiling_end = ceiling.expires_at.unwrap_or(Nanos::MAX);
        let completed = of_opener.completed.as_ref();
        let connection = ConnectionRecord {
            instance: of_opener.instance.clone(),
            ceiling,
            public_key: pair.public(),
            registration_key: None,
            key_request: None,
            registration_public: of_opener.registration_public.clone(),
            expires_at: ceiling_end.min(of_opener.expires_at),
            access: ceiling.access.min(of_opener.access),
            // By the same sign-in, which replaced nothing on this one's behalf.
            completed: completed.map(|completed| Completed {
                chain_digest: completed.chain_digest,
                replaced: Vec::new(),
            }),
        };
        let grant_id = &found.records.grant_id;
        let purpose = SealPurpose::Session {
            grant: grant_id,
            connection: id.as_str(),
        };
        let branch = Branch {
            opener: opener.as_str(),
            by: &found.slot_id,
            grant_id,
            id: id.as_str(),
            connection: &connection,
            grant_key: &GrantKeyRecord {
                sealed: pair.public().seal(purpose, &session).map_err(stored)?,
            },
            slot_id: &slot_id,
            slot: &SlotRecord {
                sealed: SlotKey::derive(id.as_str(), &slot.secret)
                    .seal(&pair)
                    .map_err(stored)?,
                expires_at: slot.expires_at,
            },
            cap: self.limits.connections_per_grant,
            now,
        };
        self.store.branch(branch).await.map_err(stored)?;
        info!(connection = %id, from = %opener, "connection branched");
        Ok(Branched {
            id,
            slot_id,
            expires_at: connection.expires_at,
            access: connection.access,
        })
    }
}
