//! Acting as the management identity: the user's default account at this server's own origin. It owns the canisters
//! the user makes here and pays for them.

use candid::{Principal, utils::ArgumentEncoder};
use icgate_proto::v1::{AccountSelector, GetPrincipalRequest};

use super::{
    caller::Caller,
    catalog::Tools,
    failure::{Failure, of_signer},
    submit::{AccountCall, Answered, NotAnswered},
};
use crate::ic::CanisterId;

/// The management identity of one caller.
pub(super) struct ManagementIdentity<'a> {
    tools: &'a Tools,
    caller: &'a Caller,
    account: AccountSelector,
}

impl<'a> ManagementIdentity<'a> {
    pub(super) fn of(tools: &'a Tools, caller: &'a Caller) -> Self {
        Self {
            tools,
            caller,
            account: AccountSelector {
                // Internet Identity derives accounts from https whatever the scheme is, and the signer takes no other.
                origin: tools.own_origin.replacen("http://", "https://", 1),
                account: None,
            },
        }
    }

    /// Its principal.
    pub(super) async fn principal(&self) -> Result<Principal, Failure> {
        let authorized = &self.caller.authorized;
        let request = GetPrincipalRequest {
            connection: Some(authorized.to_wire()),
            account: Some(self.account.clone()),
        };
        match self.tools.signer.get_principal(request).await {
            Ok(answer) => Principal::try_from_slice(&answer.principal).map_err(|error| {
                tracing::error!(%error, "the signer sent a malformed principal");
                Failure::internal()
            }),
            Err(error) => Err(of_signer(error, authorized, &self.tools.ended).await),
        }
    }

    /// Asks a canister.
    pub(super) async fn query(
        &self,
        canister: CanisterId,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<Answered, NotAnswered> {
        self.call(canister.principal(), canister, method, arguments)?
            .query(self.tools, &self.caller.authorized)
            .await
    }

    /// Calls a canister.
    pub(super) async fn update(
        &self,
        canister: CanisterId,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<Answered, NotAnswered> {
        self.call(canister.principal(), canister, method, arguments)?
            .update(self.tools, &self.caller.authorized)
            .await
    }

    /// Asks the management canister about a canister.
    pub(super) async fn ask(
        &self,
        about: CanisterId,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<Answered, NotAnswered> {
        self.call(Principal::management_canister(), about, method, arguments)?
            .query(self.tools, &self.caller.authorized)
            .await
    }

    /// Calls the management canister about a canister.
    pub(super) async fn manage(
        &self,
        about: CanisterId,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<Answered, NotAnswered> {
        self.call(Principal::management_canister(), about, method, arguments)?
            .update(self.tools, &self.caller.authorized)
            .await
    }

    fn call(
        &self,
        callee: Principal,
        route: CanisterId,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<AccountCall<'_>, Failure> {
        let arg = candid::encode_args(arguments).map_err(|error| {
            tracing::error!(%error, method, "arguments cannot be encoded");
            Failure::internal()
        })?;
        Ok(AccountCall {
            account: &self.account,
            callee,
            route,
            method: method.to_owned(),
            arg,
        })
    }
}
