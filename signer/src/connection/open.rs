use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use icgate_proto::{ConnectionSecret, SignerError};
use moka::future::Cache;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{AccessLevel, Ceiling, ConnectionId};
use crate::{
    Signer,
    account::{Accounts, Delegations},
    clock::Nanos,
    envelope::{Bounds, Identity, Standing},
    refusal::{self, stored},
    signer::Instance,
    vault::{
        ConnectionKeyPair, GrantState, Opened, PrivateKey, SealPurpose, SlotKey, User, slot_id,
    },
};

/// An opened connection is forgotten when nobody used it for this long.
const IDLE: Duration = Duration::from_secs(600);
/// Opened connections kept at once.
const CAPACITY: u64 = 4096;
const STRIPES: usize = 64;
/// How often opening is tried again when the connection changed meanwhile.
const TRIES: usize = 3;

/// A live connection, opened by one of its secrets: its session key is in memory, so that signing needs neither disk
/// nor HPKE.
pub(crate) struct OpenConnection {
    pub(crate) id: ConnectionId,
    pub(crate) instance: Arc<Instance>,
    pub(crate) grant_id: String,
    pub(crate) session: Identity,
    pub(crate) delegations: Arc<Delegations>,
    pub(crate) accounts: Accounts,
    ceiling: Ceiling,
    access: AccessLevel,
    expires_at: Nanos,
    over: AtomicBool,
    known: Mutex<Vec<KnownSecret>>,
}

/// A secret that opened the connection: only its hash is kept.
struct KnownSecret {
    slot_id: String,
    digest: [u8; 32],
    expires_at: Nanos,
}

impl OpenConnection {
    /// What bounds its signatures; `access` is what the delegation in hand permits.
    pub(crate) fn bounds(&self, access: AccessLevel) -> Bounds {
        let over = self.over.load(Ordering::Acquire);
        Bounds {
            ceiling: self.ceiling,
            access: self.access.min(access),
            expires_at: self.expires_at,
            standing: if over {
                Standing::Ended
            } else {
                Standing::Live
            },
        }
    }

    /// Whether it still lives at this time.
    pub(crate) fn is_live(&self, now: Nanos) -> bool {
        now < self.expires_at && !self.over.load(Ordering::Acquire)
    }

    fn knows(&self, secret: &ConnectionSecret, now: Nanos) -> bool {
        let digest: [u8; 32] = Sha256::digest(secret.expose()).into();
        self.known().iter().fold(false, |found, known| {
            found | (bool::from(known.digest.ct_eq(&digest)) & (known.expires_at > now))
        })
    }

    fn learn(&self, new: KnownSecret, now: Nanos) {
        let mut known = self.known();
        known.retain(|known| known.expires_at > now && known.slot_id != new.slot_id);
        known.push(new);
    }

    fn unlearn(&self, slot_id: &str) {
        self.known().retain(|known| known.slot_id != slot_id);
    }

    /// No signature is made for it from now on.
    fn finish(&self) {
        self.over.store(true, Ordering::Release);
        self.delegations.clear();
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, Vec<KnownSecret>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The opened connections, bounded in number and idle time.
pub(crate) struct OpenConnections {
    cache: Cache<ConnectionId, Arc<OpenConnection>>,
    /// Counts what takes rights away, per stripe of ids: who opens a connection meanwhile notices.
    withdrawals: [AtomicU64; STRIPES],
    hasher: RandomState,
}

impl Default for OpenConnections {
    fn default() -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_idle(IDLE)
            .build();
        Self {
            cache,
            withdrawals: [const { AtomicU64::new(0) }; STRIPES],
            hasher: RandomState::new(),
        }
    }
}

impl OpenConnections {
    /// The connection, if it is open and this secret is known to open it. Touches no disk.
    pub(crate) async fn warm(
        &self,
        id: &ConnectionId,
        secret: &ConnectionSecret,
        now: Nanos,
    ) -> Option<Arc<OpenConnection>> {
        self.cache
            .get(id)
            .await
            .filter(|connection| connection.knows(secret, now))
    }

    /// Every opened connection.
    pub(crate) fn all(&self) -> Vec<Arc<OpenConnection>> {
        self.cache
            .iter()
            .map(|(_, connection)| connection)
            .collect()
    }

    /// Slots were dropped: their secrets open nothing any more.
    pub(crate) async fn drop_slots(&self, id: &ConnectionId, slot_ids: &[String]) {
        self.withdrawals(id).fetch_add(1, Ordering::SeqCst);
        if let Some(connection) = self.cache.get(id).await {
            for slot_id in slot_ids {
                connection.unlearn(slot_id);
            }
        }
    }

    /// The connection is over.
    pub(crate) async fn end(&self, id: &ConnectionId) {
        self.withdrawals(id).fetch_add(1, Ordering::SeqCst);
        if let Some(connection) = self.cache.remove(id).await {
            connection.finish();
        }
    }

    /// Nothing is signed for the grant on the strength of what Internet Identity said before.
    pub(crate) fn suspend_grant(&self, grant_id: &str) {
        for connection in self.all() {
            if connection.grant_id == grant_id {
                connection.delegations.clear();
            }
        }
    }

    /// Every connection of the grant is over.
    pub(crate) async fn end_grant(&self, grant_id: &str) {
        for connection in self.all() {
            if connection.grant_id == grant_id {
                connection.finish();
                self.end(&connection.id).await;
            }
        }
    }

    fn withdrawals(&self, id: &ConnectionId) -> &AtomicU64 {
        let stripe = self.hasher.hash_one(id) % STRIPES as u64;
        &self.withdrawals[usize::try_from(stripe).unwrap_or_default()]
    }
}

/// What a secret found: the records, and the connection's key pair out of the slot.
pub(super) struct Found {
    pub(super) records: Opened,
    pub(super) pair: ConnectionKeyPair,
    pub(super) slot_id: String,
}

impl Signer {
    /// Opens a live connection.
    ///
    /// # Errors
    /// When the secret opens nothing, or the connection is pending or over.
    pub(crate) async fn open(
        &self,
        id: &ConnectionId,
        secret: &ConnectionSecret,
    ) -> Result<Arc<OpenConnection>, SignerError> {
        if let Some(connection) = self.open.warm(id, secret, self.clock.now()).await {
            return Ok(connection);
        }
        for _ in 0..TRIES {
            let withdrawals = self.open.withdrawals(id);
            let before = withdrawals.load(Ordering::SeqCst);
            let found = self.find(id, secret).await?;
            let known = KnownSecret {
                slot_id: found.slot_id.clone(),
                digest: Sha256::digest(secret.expose()).into(),
                expires_at: found.records.slot.expires_at,
            };
            let slot_id = found.slot_id.clone();
            let opened = Arc::new(self.opened(id, found)?);
            let entry = self.open.cache.entry(id.clone()).or_insert(opened).await;
            let (is_new, connection) = (entry.is_fresh(), entry.into_value());
            connection.learn(known, self.clock.now());
            if withdrawals.load(Ordering::SeqCst) == before {
                return Ok(connection);
            }
            // Something was withdrawn while the records were read: what was read may be outdated.
            connection.unlearn(&slot_id);
            if is_new {
                self.open.cache.invalidate(id).await;
            }
        }
        Err(refusal::overloaded())
    }

    /// Finds a connection in any state through the slot its secret opens.
    ///
    /// # Errors
    /// When the secret opens nothing: there is no such connection or slot, or it has lapsed.
    pub(super) async fn find(
        &self,
        id: &ConnectionId,
        secret: &ConnectionSecret,
    ) -> Result<Found, SignerError> {
        let slot_id = slot_id(id.as_str(), secret);
        let records = self
            .store
            .find(id.as_str(), &slot_id)
            .await
            .map_err(stored)?;
        let records = records.ok_or_else(refusal::secret_refused)?;
        let now = self.clock.now();
        let forgotten =
            records.connection.completed.is_none() && records.connection.expires_at <= now;
        if records.slot.expires_at <= now || forgotten {
            return Err(refusal::secret_refused());
        }
        let pair = SlotKey::derive(id.as_str(), secret)
            .open(&records.slot.sealed)
            .map_err(stored)?;
        Ok(Found {
            records,
            pair,
            slot_id,
        })
    }

    /// The session key of a live connection's grant.
    ///
    /// # Errors
    /// When the connection is pending or over.
    pub(super) fn session_of(
        &self,
        id: &ConnectionId,
        found: &Found,
    ) -> Result<PrivateKey, SignerError> {
        let now = self.clock.now();
        match found.standing(now) {
            Standing::Pending => return Err(refusal::connection_pending()),
            Standing::Ended => return Err(found.over(now)),
            Standing::Live => self.instance_of(found)?,
        };
        let purpose = SealPurpose::Session {
            grant: &found.records.grant_id,
            connection: id.as_str(),
        };
        let key = found.records.grant_key.as_ref();
        let key = key.ok_or_else(refusal::connection_ended)?;
        found.pair.open(purpose, &key.sealed).map_err(stored)
    }

    fn opened(&self, id: &ConnectionId, found: Found) -> Result<OpenConnection, SignerError> {
        let session = self.session_of(id, &found)?;
        let instance = self.instance_of(&found)?;
        let Found { records, .. } = found;
        Ok(OpenConnection {
            id: id.clone(),
            instance,
            session: Identity::of_key(session),
            delegations: Arc::default(),
            accounts: Accounts::default(),
            ceiling: records.connection.ceiling,
            access: records.connection.access,
            expires_at: records.connection.expires_at,
            grant_id: records.grant_id,
            over: AtomicBool::new(false),
            known: Mutex::default(),
        })
    }

    /// The instance a connection belongs to. One that is no longer configured, or now stands for another canister,
    /// ends its connections.
    pub(super) fn instance_of(&self, found: &Found) -> Result<Arc<Instance>, SignerError> {
        self.instances
            .get(&found.records.connection.instance)
            .filter(|instance| instance.canister == found.records.grant.canister)
            .cloned()
            .ok_or_else(refusal::connection_ended)
    }
}

impl Found {
    /// Where the connection stands.
    pub(super) fn standing(&self, now: Nanos) -> Standing {
        let Opened {
            connection, grant, ..
        } = &self.records;
        match grant.state {
            _ if connection.completed.is_none() => Standing::Pending,
            GrantState::Live if now < connection.expires_at => Standing::Live,
            _ => Standing::Ended,
        }
    }

    /// What the bearer of a connection that has ended is told: one whose grant was replaced may yet go on.
    pub(super) fn over(&self, now: Nanos) -> SignerError {
        let Opened {
            connection, grant, ..
        } = &self.records;
        if now < connection.expires_at && grant.may_be_continued(now) {
            refusal::connection_replaced()
        } else {
            refusal::connection_ended()
        }
    }

    /// The user, once completed.
    pub(super) fn user(&self) -> Option<&User> {
        self.records.grant.user.as_ref()
    }
}
