use ic_transport_types::{RejectCode, RejectResponse};

/// What a rejection means, as far as an agent can do something about it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectKind {
    /// There is no such canister.
    CanisterUnknown,
    /// The canister has no code.
    CanisterEmpty,
    /// The canister has no such method, or not for this kind of call.
    MethodUnknown,
    /// The canister's code failed.
    Trapped,
    /// The canister is stopped or stopping.
    Stopped,
    /// The canister cannot pay for the call.
    OutOfCycles,
    /// The canister said no.
    Refused,
    /// The network could not carry the call out now.
    Transient,
    /// Anything else.
    Other,
}

/// The error code of a rejection, like `IC0503`; older replicas put it in front of the message.
pub fn error_code(reject: &RejectResponse) -> &str {
    reject
        .error_code
        .as_deref()
        .or_else(|| reject.reject_message.get(..6))
        .unwrap_or_default()
}

impl From<&RejectResponse> for RejectKind {
    /// By the error code where there is one.
    fn from(reject: &RejectResponse) -> Self {
        match error_code(reject) {
            "IC0301" => RejectKind::CanisterUnknown,
            "IC0537" => RejectKind::CanisterEmpty,
            "IC0302" | "IC0536" => RejectKind::MethodUnknown,
            "IC0502" | "IC0503" | "IC0504" | "IC0506" | "IC0522" => RejectKind::Trapped,
            "IC0508" | "IC0509" => RejectKind::Stopped,
            "IC0207" => RejectKind::OutOfCycles,
            "IC0406" => RejectKind::Refused,
            _ => Self::by_message(reject),
        }
    }
}

impl RejectKind {
    fn by_message(reject: &RejectResponse) -> Self {
        let says = |text: &str| reject.reject_message.contains(text);
        match reject.reject_code {
            RejectCode::SysTransient => RejectKind::Transient,
            RejectCode::DestinationInvalid if says("method") => RejectKind::MethodUnknown,
            RejectCode::DestinationInvalid => RejectKind::CanisterUnknown,
            RejectCode::CanisterError if says("no update method") || says("no query method") => {
                RejectKind::MethodUnknown
            }
            RejectCode::CanisterError if says("is stopped") || says("not running") => {
                RejectKind::Stopped
            }
            RejectCode::CanisterError if says("out of cycles") => RejectKind::OutOfCycles,
            RejectCode::CanisterError => RejectKind::Trapped,
            RejectCode::CanisterReject => RejectKind::Refused,
            RejectCode::SysFatal => RejectKind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(reject_code: RejectCode, error_code: Option<&str>, message: &str) -> RejectKind {
        RejectKind::from(&RejectResponse {
            reject_code,
            reject_message: message.to_owned(),
            error_code: error_code.map(str::to_owned),
        })
    }

    #[test]
    fn the_error_code_decides_then_the_message_then_the_reject_code() {
        use RejectCode::{CanisterError, CanisterReject, DestinationInvalid, SysTransient};
        assert_eq!(
            kind(DestinationInvalid, Some("IC0301"), ""),
            RejectKind::CanisterUnknown
        );
        assert_eq!(
            kind(CanisterError, Some("IC0536"), ""),
            RejectKind::MethodUnknown
        );
        assert_eq!(
            kind(CanisterError, None, "IC0503: Canister trapped"),
            RejectKind::Trapped
        );
        assert_eq!(
            kind(CanisterError, None, "Canister x has no query method 'y'"),
            RejectKind::MethodUnknown
        );
        assert_eq!(kind(CanisterError, Some("IC0508"), ""), RejectKind::Stopped);
        assert_eq!(
            kind(SysTransient, Some("IC0207"), ""),
            RejectKind::OutOfCycles
        );
        assert_eq!(kind(SysTransient, None, "later"), RejectKind::Transient);
        assert_eq!(
            kind(CanisterReject, None, "not for you"),
            RejectKind::Refused
        );
    }
}
