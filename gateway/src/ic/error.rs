use ic_agent::AgentError;
use ic_transport_types::RejectResponse;
use icgate_certificate::CertificateError;

/// Why a call has no reply.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IcError {
    /// No boundary node answered; nothing was executed.
    #[error("the Internet Computer cannot be reached")]
    Unreachable,
    /// The boundary node takes no more requests for the moment, or has nobody to pass them to; nothing was executed.
    #[error("the Internet Computer is busy")]
    Busy,
    /// The submission of an update call had no readable answer; it may have been executed.
    #[error("the answer to the call was lost")]
    AnswerLost,
    /// An update call was submitted and its result did not become known in time. Holds its request id in
    /// hexadecimal.
    #[error("the result of request {0} is not known")]
    OutcomeUnknown(String),
    /// The canister or the network said no. Certified when it is about an update call.
    #[error("rejected with code {}: {}", .0.reject_code as u8, .0.reject_message)]
    Rejected(RejectResponse),
    /// A single node said no to the submission of an update call. Nothing certifies that it speaks the truth.
    #[error("turned away with code {}: {}", .0.reject_code as u8, .0.reject_message)]
    TurnedAway(RejectResponse),
    /// The boundary node refused the request with this HTTP status and text.
    #[error("HTTP status {0}: {1}")]
    Refused(u16, String),
    /// The answer's signature or certificate does not verify: whoever gave it is not the Internet Computer.
    #[error("the answer does not verify: {0}")]
    Unverified(String),
    /// The answer is not what the interface specification describes.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
}

impl IcError {
    /// Whether the same call may succeed a little later, and certainly was not executed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, IcError::Unreachable | IcError::Busy)
    }

    /// Nothing can have been executed by a request that only reads.
    pub(super) fn of_a_read(self) -> IcError {
        match self {
            IcError::AnswerLost => IcError::Unreachable,
            other => other,
        }
    }

    /// What an HTTP status that is no success means. Whether a busy node may have delivered a call all the same, the
    /// status alone does not say.
    pub(super) fn of_status(status: u16, body: &[u8]) -> IcError {
        match status {
            429 | 503 => IcError::Busy,
            // A gateway that failed or gave up waiting may have delivered the request.
            500.. => IcError::AnswerLost,
            _ => IcError::Refused(status, String::from_utf8_lossy(body).into_owned()),
        }
    }
}

impl From<CertificateError> for IcError {
    fn from(error: CertificateError) -> Self {
        // A check that broke off says nothing about who gave the answer.
        if error.is_of_content() || matches!(error, CertificateError::BrokenOff(_)) {
            IcError::Unexpected(error.to_string())
        } else {
            IcError::Unverified(error.to_string())
        }
    }
}

/// The agent library is only used for queries here.
impl From<AgentError> for IcError {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::CertifiedReject { reject, .. }
            | AgentError::UncertifiedReject { reject, .. } => IcError::Rejected(reject),
            AgentError::TransportError(_) | AgentError::TimeoutWaitingForResponse() => {
                IcError::Unreachable
            }
            AgentError::HttpError(payload) => {
                IcError::of_status(payload.status, &payload.content).of_a_read()
            }
            AgentError::CertificateVerificationFailed()
            | AgentError::QuerySignatureVerificationFailed
            | AgentError::CertificateNotAuthorized()
            | AgentError::CertificateOutdated(_)
            | AgentError::CertificateHasTooManyDelegations
            | AgentError::MissingSignature
            | AgentError::MalformedSignature
            | AgentError::MalformedPublicKey
            | AgentError::TooManySignatures { .. }
            | AgentError::DerKeyLengthMismatch { .. }
            | AgentError::DerPrefixMismatch { .. } => IcError::Unverified(error.to_string()),
            other => IcError::Unexpected(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_check_that_was_made_finds_an_answer_to_be_forged() {
        for error in [
            CertificateError::Signature,
            CertificateError::ForeignCanister,
            CertificateError::Delegation("canister ranges"),
        ] {
            assert!(
                matches!(error.clone().into(), IcError::Unverified(_)),
                "{error}"
            );
        }
        for error in [
            CertificateError::NotCovered,
            CertificateError::Incomplete("time"),
            CertificateError::BrokenOff(String::new()),
        ] {
            assert!(
                matches!(error.clone().into(), IcError::Unexpected(_)),
                "{error}"
            );
        }
    }
}
