//! Delegations for accounts at apps: for a server that holds a grant, and for II's own page.

use candid::Principal;
use serde_bytes::ByteBuf;

use super::{
    State,
    anchor::account_seed,
    signatures::{Terms, user_key},
    wire::{
        AccountDelegationError, AccountInfo, McpPrepareDelegation, Permissions,
        PrepareAccountDelegation, SignedDelegation,
    },
};
use crate::{canisters::Call, clock::MINUTE};

/// Longest lifetime of an app delegation, and the default.
const MAX_DELEGATION: u64 = 5 * MINUTE;
const MAX_ORIGIN: usize = 255;

type Outcome<T> = Result<T, AccountDelegationError>;

impl State {
    pub(crate) fn mcp_accounts(
        &mut self,
        call: &Call<'_>,
        origin: &str,
    ) -> Outcome<Vec<AccountInfo>> {
        let (number, ..) = self.granted(call).ok_or(unauthorized(call))?;
        check_origin(origin)?;
        let Self {
            anchors,
            next_account,
            ..
        } = self;
        let anchor = anchors.get_mut(&number).ok_or(unauthorized(call))?;
        let accounts = anchor.at(origin, next_account);
        let unnamed = std::iter::once((None, None));
        let named = accounts
            .named
            .iter()
            .map(|(number, name)| (Some(*number), Some(name.clone())));
        Ok(unnamed
            .chain(named)
            .map(|(account_number, name)| AccountInfo {
                account_number,
                origin: origin.to_owned(),
                last_used: accounts.last_used.get(&account_number).copied(),
                name,
            })
            .collect())
    }

    pub(crate) fn mcp_prepare(
        &mut self,
        call: &Call<'_>,
        origin: &str,
        account: Option<u64>,
        key: Vec<u8>,
        max_ttl: Option<u64>,
    ) -> Outcome<McpPrepareDelegation> {
        self.drop_expired_grants(call.now);
        let (number, grant_end, permissions) = self.granted(call).ok_or(unauthorized(call))?;
        let latest = call
            .now
            .saturating_add(max_ttl.unwrap_or(MAX_DELEGATION).min(MAX_DELEGATION));
        let terms = Terms {
            key,
            expiration: latest.min(grant_end),
            permissions: restriction(permissions),
        };
        let (account_number, user_key) = self.prepare(call, number, origin, account, &terms)?;
        Ok(McpPrepareDelegation {
            user_key,
            account_number,
            expiration: terms.expiration,
        })
    }

    /// Both the account number and the expiration must be those `mcp_prepare` returned.
    pub(crate) fn mcp_get(
        &mut self,
        call: &Call<'_>,
        origin: &str,
        account: Option<u64>,
        key: Vec<u8>,
        expiration: u64,
    ) -> Outcome<SignedDelegation> {
        let (number, _, permissions) = self.granted(call).ok_or(unauthorized(call))?;
        let terms = Terms {
            key,
            expiration,
            permissions: restriction(permissions),
        };
        self.fetch(call, number, origin, account, terms)
    }

    pub(crate) fn device_prepare(
        &mut self,
        call: &Call<'_>,
        (number, origin, account): (u64, &str, Option<u64>),
        key: Vec<u8>,
        max_ttl: Option<u64>,
        permissions: Option<Permissions>,
    ) -> Outcome<PrepareAccountDelegation> {
        self.authenticated(call, number).ok_or(unauthorized(call))?;
        let lifetime = max_ttl.unwrap_or(MAX_DELEGATION).min(MAX_DELEGATION);
        let terms = Terms {
            key,
            expiration: call.now.saturating_add(lifetime),
            permissions: permissions.and_then(restriction),
        };
        let (_, user_key) = self.prepare(call, number, origin, account, &terms)?;
        Ok(PrepareAccountDelegation {
            user_key,
            expiration: terms.expiration,
        })
    }

    pub(crate) fn device_get(
        &mut self,
        call: &Call<'_>,
        (number, origin, account): (u64, &str, Option<u64>),
        key: Vec<u8>,
        expiration: u64,
        permissions: Option<Permissions>,
    ) -> Outcome<SignedDelegation> {
        self.authenticated(call, number).ok_or(unauthorized(call))?;
        let terms = Terms {
            key,
            expiration,
            permissions: permissions.and_then(restriction),
        };
        self.fetch(call, number, origin, account, terms)
    }

    /// Signs `terms` for the account; `None` is the anchor's default account at the origin.
    fn prepare(
        &mut self,
        call: &Call<'_>,
        number: u64,
        origin: &str,
        account: Option<u64>,
        terms: &Terms,
    ) -> Outcome<(Option<u64>, ByteBuf)> {
        check_origin(origin)?;
        if terms.key.is_empty() {
            let text = "the session key is empty".to_owned();
            return Err(AccountDelegationError::InternalCanisterError(text));
        }
        let Self {
            anchors,
            next_account,
            ..
        } = self;
        let anchor = anchors.get_mut(&number).ok_or(unauthorized(call))?;
        let accounts = anchor.at(origin, next_account);
        let account = account.or(accounts.default);
        if !accounts.owns(account) {
            return Err(unauthorized(call));
        }
        accounts.last_used.insert(account, call.now);
        let seed = account_seed(&self.salt, number, origin, account);
        self.signatures.add(&seed, terms, call.now);
        Ok((account, ByteBuf::from(user_key(self.id, &seed))))
    }

    fn fetch(
        &self,
        call: &Call<'_>,
        number: u64,
        origin: &str,
        account: Option<u64>,
        terms: Terms,
    ) -> Outcome<SignedDelegation> {
        check_origin(origin)?;
        let seed = account_seed(&self.salt, number, origin, account);
        self.signatures
            .get(&seed, terms, call)
            .ok_or(AccountDelegationError::NoSuchDelegation)
    }

    /// The principal an app sees for the account.
    pub(crate) fn principal(&self, number: u64, origin: &str, account: Option<u64>) -> Principal {
        let seed = account_seed(&self.salt, number, origin, account);
        Principal::self_authenticating(user_key(self.id, &seed))
    }
}

/// What a delegation says about permissions: a full grant leaves it out.
fn restriction(permissions: Permissions) -> Option<Permissions> {
    match permissions {
        Permissions::Queries => Some(Permissions::Queries),
        Permissions::All => None,
    }
}

fn check_origin(origin: &str) -> Outcome<()> {
    if origin.is_empty() || origin.len() > MAX_ORIGIN {
        let text = format!("an origin has between 1 and {MAX_ORIGIN} bytes");
        Err(AccountDelegationError::InternalCanisterError(text))
    } else {
        Ok(())
    }
}

fn unauthorized(call: &Call<'_>) -> AccountDelegationError {
    AccountDelegationError::Unauthorized(call.caller)
}
