//! What an agent is told when a call has no reply.

use ic_transport_types::RejectResponse;

use super::{failure::Failure, order::Order, submit::NotAnswered};
use crate::{
    candid::{foreign::one_line, interface::Interface},
    ic::{IcError, RejectKind},
};

/// Longest message of a canister that is passed on, in characters.
const MAX_MESSAGE: usize = 2_000;
/// Methods that are listed when a name is like none of them.
const LISTED: usize = 30;

impl Order {
    /// Says why, with what can be done about it.
    pub(super) fn not_answered(
        &self,
        error: NotAnswered,
        interface: Option<&Interface>,
    ) -> Failure {
        match error {
            NotAnswered::Failure(failure) => failure,
            NotAnswered::Ic(IcError::Rejected(reject)) => self.rejected(&reject, interface),
            NotAnswered::Ic(IcError::TurnedAway(reject)) => {
                self.rejected(&reject, interface).of_one_node()
            }
            NotAnswered::Ic(error) => {
                tracing::info!(canister = %self.canister, %error, "a call has no reply");
                Failure::ic(&error)
            }
        }
    }

    fn rejected(&self, error: &RejectResponse, interface: Option<&Interface>) -> Failure {
        let (name, canister) = (&self.method, self.canister);
        let said = one_line(&error.reject_message, MAX_MESSAGE);
        match RejectKind::from(error) {
            RejectKind::CanisterUnknown => Failure::new(
                "CANISTER_UNKNOWN",
                format!("There is no canister {canister}. Check the id."),
            ),
            RejectKind::CanisterEmpty => Failure::new(
                "CANISTER_EMPTY",
                format!("The canister {canister} has no code installed, so it has no methods."),
            ),
            RejectKind::MethodUnknown => {
                Failure::new("METHOD_UNKNOWN", self.method_unknown(interface))
            }
            RejectKind::Trapped => Failure::new(
                "TRAPPED",
                format!(
                    "The canister failed while it ran `{name}`, and nothing it did in this call was kept. It said: {said}"
                ),
            ),
            RejectKind::Stopped => Failure::new(
                "STOPPED",
                format!(
                    "The canister {canister} is stopped, so it answers nothing until its controller starts it."
                ),
            ),
            RejectKind::OutOfCycles => Failure::new(
                "OUT_OF_CYCLES",
                format!(
                    "The canister {canister} is out of cycles. Somebody has to top it up before it can answer."
                ),
            ),
            RejectKind::Refused => Failure::new(
                "REFUSED",
                format!("The canister refused the call. It said: {said}"),
            ),
            RejectKind::Transient => Failure::new(
                "IC_BUSY",
                format!(
                    "The network could not carry the call out at the moment. Try again in a few seconds. It said: {said}"
                ),
            ),
            RejectKind::Other => Failure::new("REJECTED", format!("The call was rejected: {said}")),
        }
    }

    fn method_unknown(&self, interface: Option<&Interface>) -> String {
        let (name, canister) = (&self.method, self.canister);
        let kind = if self.is_query { "query" } else { "update" };
        let Some(interface) = interface else {
            return format!(
                "The canister {canister} has no {kind} method `{}`. Check the name.",
                one_line(name, 100)
            );
        };
        if let Some(hint) = self.unlisted(Some(interface)) {
            return format!(
                "The canister {canister} has no {kind} method `{}`. {hint}",
                one_line(name, 100)
            );
        }
        let methods: Vec<&str> = interface.method_names().take(LISTED).collect();
        format!(
            "The canister {canister} has no {kind} method `{}` although its interface lists one; it lists: {}.",
            one_line(name, 100),
            one_line(&methods.join(", "), 1_000)
        )
    }

    /// A hint when the interface does not list the method.
    pub(super) fn unlisted(&self, interface: Option<&Interface>) -> Option<String> {
        let interface = interface?;
        if interface.method(&self.method).is_some() {
            return None;
        }
        Some(match interface.nearest(&self.method) {
            Some(nearest) => format!(
                "Its interface does not list that method; did you mean `{}`?",
                one_line(nearest, 100)
            ),
            None => {
                let methods: Vec<&str> = interface.method_names().take(LISTED).collect();
                format!(
                    "Its interface does not list that method. It lists: {}.",
                    one_line(&methods.join(", "), 1_000)
                )
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use ic_transport_types::RejectCode;
    use serde_json::json;

    use super::*;
    use crate::mcp::arguments::Arguments;

    #[test]
    fn what_a_single_node_says_is_not_told_as_a_fact() {
        let arguments =
            json!({ "canister_id": "ryjl3-tyaaa-aaaaa-aaaba-cai", "method": "transfer" });
        let mut arguments = Arguments::new(arguments.as_object().cloned());
        let order = Order::read(&mut arguments, false, false).unwrap();
        for (reject_code, error_code, certified) in [
            (RejectCode::CanisterError, "IC0503", "TRAPPED"),
            (RejectCode::DestinationInvalid, "IC0301", "CANISTER_UNKNOWN"),
            (RejectCode::SysTransient, "", "IC_BUSY"),
        ] {
            let reject = RejectResponse {
                reject_code,
                reject_message: "no".to_owned(),
                error_code: Some(error_code.to_owned()),
            };
            let told = |error: IcError| order.not_answered(error.into(), None);
            let fact = told(IcError::Rejected(reject.clone()));
            assert_eq!(fact.code, certified);
            for claim in [
                told(IcError::TurnedAway(reject.clone())),
                Failure::ic(&IcError::TurnedAway(reject.clone())),
            ] {
                assert_eq!(claim.code, "TURNED_AWAY");
                assert!(claim.message.contains("not certified"), "{claim:?}");
            }
            let claim = told(IcError::TurnedAway(reject));
            assert!(claim.message.ends_with(&fact.message), "{claim:?}");
        }
    }
}
