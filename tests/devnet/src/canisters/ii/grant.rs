//! Registration of a server's session key, and the grant that comes of it: one live grant for
//! each identity.

use candid::Principal;
use rand::{RngCore, rngs::OsRng};
use serde_bytes::ByteBuf;

use super::{
    State,
    anchor::seed,
    signatures::{Terms, user_key},
    wire::{
        McpConfig, McpRegistration, McpRegistrationV2, Permissions,
        PrepareMcpRegistrationDelegation, SignedDelegation,
    },
};
use crate::{
    canisters::Call,
    clock::{MINUTE, SECOND},
    replica::public_key::sha256,
};

/// Lifetime of a registration delegation.
const REGISTRATION_LIFETIME: u64 = 5 * MINUTE;
const DEFAULT_GRANT: u64 = 60 * MINUTE;
const MIN_GRANT: u64 = 10 * MINUTE;
const MAX_GRANT: u64 = 30 * 24 * 3600 * SECOND;
const MAX_URL: usize = 2048;

const NO_TRUSTED_SERVER: &str =
    "MCP registration failed: no trusted MCP server is enabled for this identity.";
const NOT_AUTHORIZED: &str =
    "MCP registration failed: not authorized by a registration delegation.";

/// A session key that may act for an anchor.
pub(crate) struct Grant {
    pub(crate) session: Principal,
    pub(crate) expiration: u64,
    pub(crate) permissions: Permissions,
}

/// A consent that waits for the server to redeem it.
pub(crate) struct Pending {
    seed: [u8; 32],
    /// P_reg: the principal that may register.
    principal: Principal,
    permissions: Permissions,
    ttl: u64,
    trusted_url: [u8; 32],
    expiration: u64,
}

impl State {
    pub(crate) fn prepare_registration(
        &mut self,
        call: &Call<'_>,
        number: u64,
        key: Vec<u8>,
        permissions: Option<Permissions>,
        max_ttl: Option<u64>,
    ) -> Result<PrepareMcpRegistrationDelegation, String> {
        let ii = self.id;
        let anchor = self
            .authenticated(call, number)
            .ok_or_else(|| unauthenticated(call))?;
        if key.is_empty() {
            return Err("MCP registration failed: empty registration key.".to_owned());
        }
        let trusted_url = anchor.trusted_url().ok_or(NO_TRUSTED_SERVER)?.to_owned();
        let mut nonce = [0; 32];
        OsRng.fill_bytes(&mut nonce);
        let seed = seed(&[b"mcp-registration", &nonce]);
        let user_key = user_key(ii, &seed);
        let expiration = call.now + REGISTRATION_LIFETIME;
        anchor.pending = Some(Pending {
            seed,
            principal: Principal::self_authenticating(&user_key),
            permissions: permissions.unwrap_or(Permissions::Queries),
            ttl: max_ttl.unwrap_or(DEFAULT_GRANT).clamp(MIN_GRANT, MAX_GRANT),
            trusted_url: sha256(trusted_url.as_bytes()),
            expiration,
        });
        self.signatures
            .add(&seed, &registration(key, expiration), call.now);
        Ok(PrepareMcpRegistrationDelegation {
            user_key: ByteBuf::from(user_key),
            expiration,
            trusted_url,
        })
    }

    pub(crate) fn get_registration(
        &mut self,
        call: &Call<'_>,
        number: u64,
        key: Vec<u8>,
        user_key: &[u8],
        expiration: u64,
    ) -> Result<SignedDelegation, String> {
        let anchor = self
            .authenticated(call, number)
            .ok_or_else(|| unauthenticated(call))?;
        let asked = Principal::self_authenticating(user_key);
        let seed = anchor
            .pending
            .as_ref()
            .filter(|pending| pending.principal == asked)
            .map(|pending| pending.seed);
        seed.and_then(|seed| {
            self.signatures
                .get(&seed, registration(key, expiration), call)
        })
        .ok_or_else(|| "MCP registration failed: no such delegation.".to_owned())
    }

    /// Binds a session key to the anchor whose pending registration the caller is.
    pub(crate) fn register(
        &mut self,
        call: &Call<'_>,
        session_key: &[u8],
    ) -> Result<McpRegistrationV2, String> {
        self.drop_expired_grants(call.now);
        let session = Principal::self_authenticating(session_key);
        let owner = self.grant_owner(&session);
        let (number, anchor) = self
            .anchors
            .iter_mut()
            .find(|(_, anchor)| {
                let pending = anchor.pending.as_ref();
                pending.is_some_and(|pending| pending.principal == call.caller)
            })
            .ok_or(NOT_AUTHORIZED)?;
        let trusted = anchor.trusted_url().map(|url| sha256(url.as_bytes()));
        let pending = anchor
            .pending
            .as_ref()
            .filter(|pending| pending.expiration >= call.now)
            .filter(|pending| trusted == Some(pending.trusted_url))
            .ok_or(NOT_AUTHORIZED)?;
        bindable(session_key, owner, *number)?;
        let grant = Grant {
            session,
            expiration: call.now + pending.ttl,
            permissions: pending.permissions,
        };
        let registered = McpRegistrationV2 {
            expiration: grant.expiration,
            permissions: grant.permissions,
        };
        anchor.grant = Some(grant);
        Ok(registered)
    }

    /// Binds a session key to the anchor whose device the caller is.
    pub(crate) fn register_directly(
        &mut self,
        call: &Call<'_>,
        number: u64,
        session_key: &[u8],
        ttl: u64,
        permissions: Option<Permissions>,
    ) -> Result<McpRegistration, String> {
        self.drop_expired_grants(call.now);
        let session = Principal::self_authenticating(session_key);
        let owner = self.grant_owner(&session);
        let anchor = self
            .authenticated(call, number)
            .ok_or_else(|| unauthenticated(call))?;
        anchor.trusted_url().ok_or(NO_TRUSTED_SERVER)?;
        bindable(session_key, owner, number)?;
        let expiration = call.now + ttl.clamp(MIN_GRANT, MAX_GRANT);
        anchor.grant = Some(Grant {
            session,
            expiration,
            permissions: permissions.unwrap_or(Permissions::Queries),
        });
        Ok(McpRegistration { expiration })
    }

    pub(crate) fn set_config(
        &mut self,
        call: &Call<'_>,
        number: u64,
        config: McpConfig,
    ) -> Result<(), String> {
        let anchor = self
            .authenticated(call, number)
            .ok_or_else(|| unauthenticated(call))?;
        if config.url.as_ref().is_some_and(|url| url.len() > MAX_URL) {
            return Err(
                "MCP configuration failed: trusted server URL must be at most 2048 bytes.".into(),
            );
        }
        if !config.enabled && config.url.is_some() {
            return Err("MCP configuration failed: a disabled configuration cannot keep a trusted server URL.".into());
        }
        let before = anchor.trusted_url().map(str::to_owned);
        anchor.config = Some(config);
        if anchor.trusted_url() != before.as_deref() {
            anchor.grant = None;
            anchor.pending = None;
        }
        Ok(())
    }

    pub(crate) fn drop_expired_grants(&mut self, now: u64) {
        for anchor in self.anchors.values_mut() {
            if anchor.grant.as_ref().is_some_and(|g| g.expiration < now) {
                anchor.grant = None;
            }
        }
    }

    fn grant_owner(&self, session: &Principal) -> Option<u64> {
        self.anchors
            .iter()
            .find(|(_, anchor)| anchor.grant.as_ref().is_some_and(|g| g.session == *session))
            .map(|(number, _)| *number)
    }

    /// The anchor for which the caller holds a live grant, and the grant's terms.
    pub(crate) fn granted(&self, call: &Call<'_>) -> Option<(u64, u64, Permissions)> {
        let number = self.grant_owner(&call.caller)?;
        let anchor = self.anchors.get(&number)?;
        anchor.trusted_url()?;
        anchor
            .grant
            .as_ref()
            .filter(|grant| grant.expiration >= call.now)
            .map(|grant| (number, grant.expiration, grant.permissions))
    }

    /// Makes the pending consent one that was given to another server.
    pub(crate) fn repoint_pending(&mut self, number: u64, url: &str) {
        if let Some(pending) = self
            .anchors
            .get_mut(&number)
            .and_then(|anchor| anchor.pending.as_mut())
        {
            pending.trusted_url = sha256(url.as_bytes());
        }
    }
}

/// A session key acts for one anchor at a time.
fn bindable(session_key: &[u8], owner: Option<u64>, number: u64) -> Result<(), String> {
    if session_key.is_empty() {
        return Err("MCP registration failed: empty session key.".to_owned());
    }
    if owner.is_some_and(|owner| owner != number) {
        return Err("MCP registration failed: this session key is already registered.".to_owned());
    }
    Ok(())
}

fn registration(key: Vec<u8>, expiration: u64) -> Terms {
    Terms {
        key,
        expiration,
        permissions: None,
    }
}

fn unauthenticated(call: &Call<'_>) -> String {
    format!("{} could not be authenticated.", call.caller)
}
