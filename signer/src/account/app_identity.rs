use candid::Principal;
use ic_transport_types::DelegationPermissions;

use super::TargetOrigin;
use crate::{
    clock::Nanos,
    connection::AccessLevel,
    envelope::Identity,
    grant::RootKey,
    transport::{IdentityCallError, InternetIdentity},
    vault::PrivateKey,
};

/// An account of the user at an app, ready to sign: an app key and Internet Identity's delegation to it.
#[derive(Debug)]
pub struct AppIdentity {
    /// Who it signs as.
    pub identity: Identity,
    /// The account's number, as Internet Identity names it.
    pub account_number: Option<u64>,
    /// When the delegation lapses.
    pub expires_at: Nanos,
    /// What the delegation permits.
    pub access: AccessLevel,
}

impl AppIdentity {
    /// The principal the account acts as.
    pub fn principal(&self) -> Principal {
        self.identity.sender()
    }

    /// Obtains a delegation of an account (`None`: the default one) to a fresh app key, and verifies it.
    ///
    /// # Errors
    /// See [`IdentityCallError`].
    pub async fn mint(
        ii: &InternetIdentity,
        root_key: &RootKey,
        canister: Principal,
        session: &Identity,
        origin: &TargetOrigin,
        account: Option<u64>,
    ) -> Result<Self, IdentityCallError> {
        let key = PrivateKey::generate();
        let prepared = ii
            .prepare_delegation(canister, session, origin, account, key.public_der())
            .await?;
        let signed = ii
            .get_delegation(canister, session, origin, key.public_der(), &prepared)
            .await?;
        let access = match signed.delegation.permissions {
            Some(DelegationPermissions::Queries) => AccessLevel::Queries,
            Some(DelegationPermissions::All) | None => AccessLevel::All,
        };
        let chain = vec![signed];
        root_key
            .verify_chain(canister, &prepared.user_key, &chain)
            .await
            .map_err(|error| IdentityCallError::Unexpected(error.to_string()))?;
        Ok(Self {
            identity: Identity::delegated(key, &prepared.user_key, &chain),
            account_number: prepared.account_number,
            expires_at: prepared.expiration,
            access,
        })
    }
}
