//! The management identity at work on one canister.

use candid::CandidType;
use serde::Deserialize;

use super::{RAW, refused::refused, wire::OfCanister};
use crate::{
    connection::AccessLevel,
    ic::CanisterId,
    mcp::{
        arguments::Arguments,
        caller::Caller,
        catalog::{Output, Tools},
        failure::Failure,
        management_identity::ManagementIdentity,
        submit::Answered,
    },
};

/// The management identity at work on one canister.
pub(super) struct Operator<'a> {
    pub(super) caller: &'a Caller,
    pub(super) canister: CanisterId,
    identity: ManagementIdentity<'a>,
}

impl<'a> Operator<'a> {
    pub(super) fn new(tools: &'a Tools, caller: &'a Caller, canister: CanisterId) -> Self {
        Self {
            caller,
            canister,
            identity: ManagementIdentity::of(tools, caller),
        }
    }

    /// For a tool with no other argument than the canister.
    pub(super) fn of_arguments(
        tools: &'a Tools,
        caller: &'a Caller,
        mut arguments: Arguments,
    ) -> Result<Self, Failure> {
        may_update(caller)?;
        let canister = arguments.canister()?;
        arguments.finish()?;
        Ok(Self::new(tools, caller, canister))
    }

    /// The argument that names just the canister.
    pub(super) fn this(&self) -> OfCanister {
        OfCanister {
            canister_id: self.canister.principal(),
        }
    }

    /// Calls the management canister about this canister. Gives the reply and who called.
    pub(super) async fn call(
        &self,
        method: &str,
        argument: impl CandidType,
    ) -> Result<Answered, Failure> {
        self.caller.doing("waiting for the management canister");
        match self
            .identity
            .manage(self.canister, method, (argument,))
            .await
        {
            Ok(answered) => Ok(answered),
            Err(error) => Err(refused(error, self.canister, &self.identity).await),
        }
    }

    /// Asks the management canister about this canister.
    pub(super) async fn ask(&self, method: &str) -> Result<Vec<u8>, Failure> {
        match self
            .identity
            .ask(self.canister, method, (self.this(),))
            .await
        {
            Ok((reply, _)) => Ok(reply),
            Err(error) => Err(refused(error, self.canister, &self.identity).await),
        }
    }
}

/// Refuses a connection that may only ask, before anything is sent.
pub(super) fn may_update(caller: &Caller) -> Result<(), Failure> {
    if caller.authorized.access_level < AccessLevel::All {
        return Err(Failure::read_only());
    }
    Ok(())
}

/// A reply in the shape that is known here, if it has it.
pub(super) fn known<T: CandidType + for<'d> Deserialize<'d>>(reply: &[u8]) -> Option<T> {
    candid::decode_one(reply)
        .inspect_err(
            |error| tracing::warn!(%error, "the management canister's reply has another shape"),
        )
        .ok()
}

/// A reply in a shape that is not known here, as it is.
pub(super) async fn unknown(reply: Vec<u8>, what: &str) -> Output {
    let text = crate::candid::decode::reply(reply, None, "").await.text;
    let structured = serde_json::json!({ (RAW): text });
    Output::new(
        format!(
            "The reply has a shape this server does not know, so here is {what} as it came:\n{text}"
        ),
        structured,
    )
}
