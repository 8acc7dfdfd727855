use std::{collections::HashMap, fmt, str::FromStr};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::v1;

/// The `domain` of every [`google.rpc.ErrorInfo`](https://google.aip.dev/193) the signer sends.
pub const ERROR_DOMAIN: &str = "signer.icgate";

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $code:ident;)+) => {
        /// Why the signer refused or failed: the stable machine code of an error.
        #[non_exhaustive]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)+ }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Reason] = &[$(Reason::$name,)+];

            /// The text on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$name => $text,)+ }
            }

            /// The gRPC status code an error of this reason travels under.
            pub const fn code(self) -> Code {
                match self { $(Reason::$name => Code::$code,)+ }
            }
        }

        impl FromStr for Reason {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok(Reason::$name),)+ _ => Err(()) }
            }
        }
    };
}

reasons! {
    /// A field is missing, malformed or out of its bounds; the message names it.
    InvalidArgument = "INVALID_ARGUMENT", InvalidArgument;
    /// There is no such connection, or the secret opens none of its slots. The two are not told apart.
    SecretRefused = "SECRET_REFUSED", Unauthenticated;
    /// The connection expired, was closed, or Internet Identity no longer honours its grant: the user has to
    /// connect again.
    ConnectionEnded = "CONNECTION_ENDED", Unauthenticated;
    /// The user signed in again, which replaced the connection's grant, and has not said yet whether it goes on; or may
    /// just be doing so. Worth a retry.
    ConnectionReplaced = "CONNECTION_REPLACED", FailedPrecondition;
    /// The connection was begun but the user has not finished signing in.
    ConnectionPending = "CONNECTION_PENDING", FailedPrecondition;
    /// The call needs a scope that the connection's ceiling does not have.
    ScopeExceeded = "SCOPE_EXCEEDED", PermissionDenied;
    /// The user granted queries only and the call is an update.
    AccessLevelExceeded = "ACCESS_LEVEL_EXCEEDED", PermissionDenied;
    /// The user has no such account at this origin; the message lists those there are.
    AccountUnknown = "ACCOUNT_UNKNOWN", NotFound;
    /// The delegation chain is malformed or one of its signatures does not verify.
    ChainInvalid = "CHAIN_INVALID", InvalidArgument;
    /// The delegation chain has expired.
    ChainExpired = "CHAIN_EXPIRED", FailedPrecondition;
    /// The delegation chain ends in another key than this connection's registration key.
    ChainForeignKey = "CHAIN_FOREIGN_KEY", PermissionDenied;
    /// Internet Identity refused to register the session key; the message is its own text.
    RegistrationRefused = "REGISTRATION_REFUSED", FailedPrecondition;
    /// Internet Identity could not be reached in time. Worth a retry.
    IdentityUnavailable = "IDENTITY_UNAVAILABLE", Unavailable;
    /// Internet Identity's answer did not verify or did not match what was asked.
    IdentityUnexpected = "IDENTITY_UNEXPECTED", Internal;
    /// The client certificate's role may not call this method.
    RoleForbidden = "ROLE_FORBIDDEN", PermissionDenied;
    /// The signer is at one of its limits. Worth a retry.
    Overloaded = "OVERLOADED", ResourceExhausted;
    /// The signer cannot be reached or did not answer in time. Made by the client, never sent. Worth a retry.
    SignerUnavailable = "SIGNER_UNAVAILABLE", Unavailable;
    /// A fault of the signer itself; its log has the cause.
    Internal = "INTERNAL", Internal;
}

impl Reason {
    /// Whether the same request may succeed a little later without anyone doing anything.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Reason::IdentityUnavailable
                | Reason::Overloaded
                | Reason::SignerUnavailable
                | Reason::ConnectionReplaced
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of the signer, the same on both ends of the link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SignerError {
    /// The stable code.
    pub reason: Reason,
    /// A sentence fit to be shown to an agent. Holds no secret.
    pub message: String,
}

impl SignerError {
    /// An error with a sentence of its own.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

impl From<SignerError> for Status {
    fn from(error: SignerError) -> Status {
        let details =
            ErrorDetails::with_error_info(error.reason.as_str(), ERROR_DOMAIN, HashMap::new());
        Status::with_error_details(error.reason.code(), error.message, details)
    }
}

impl From<SignerError> for v1::SignError {
    fn from(error: SignerError) -> v1::SignError {
        v1::SignError {
            code: error.reason.code() as i32,
            reason: error.reason.as_str().to_owned(),
            message: error.message,
        }
    }
}

impl From<v1::SignError> for SignerError {
    fn from(error: v1::SignError) -> SignerError {
        match error.reason.parse() {
            Ok(reason) => SignerError::new(reason, error.message),
            Err(()) => without_reason(Code::from_i32(error.code), Some(&error.message)),
        }
    }
}

impl From<Status> for SignerError {
    fn from(status: Status) -> SignerError {
        let ours = status
            .get_details_error_info()
            .filter(|info| info.domain == ERROR_DOMAIN);
        let Some(info) = ours else {
            return without_reason(status.code(), None);
        };
        match info.reason.parse() {
            Ok(reason) => SignerError::new(reason, status.message()),
            Err(()) => without_reason(status.code(), Some(status.message())),
        }
    }
}

/// An error that the transport made, whose text is for nobody's eyes, or one of a newer signer whose reason is not
/// known here but whose sentence may be shown.
fn without_reason(code: Code, sentence: Option<&str>) -> SignerError {
    match code {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            SignerError::new(
                Reason::SignerUnavailable,
                "The signer is not reachable right now; try again in a few seconds.",
            )
        }
        Code::ResourceExhausted => SignerError::new(
            Reason::Overloaded,
            "The signer is busy; try again in a few seconds.",
        ),
        _ => SignerError::new(
            Reason::Internal,
            sentence.unwrap_or("The signer gave an answer that is not understood."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire() {
        for &reason in Reason::ALL {
            let error = SignerError::new(reason, "a sentence");
            assert_eq!(SignerError::from(Status::from(error.clone())), error);
            assert_eq!(SignerError::from(v1::SignError::from(error.clone())), error);
        }
    }

    #[test]
    fn a_foreign_domain_is_not_trusted_for_its_reason() {
        let details =
            ErrorDetails::with_error_info("SECRET_REFUSED", "elsewhere.example", HashMap::new());
        let status = Status::with_error_details(Code::Internal, "x", details);
        assert_eq!(SignerError::from(status).reason, Reason::Internal);
    }

    #[test]
    fn what_the_transport_says_reaches_no_agent() {
        let status = Status::internal("h2 protocol error: connection error detected");
        let error = SignerError::from(status);
        assert_eq!(error.reason, Reason::Internal);
        assert!(!error.message.contains("h2"), "{error}");
    }

    #[test]
    fn a_transport_failure_is_retryable() {
        assert!(
            SignerError::from(Status::unavailable("gone"))
                .reason
                .is_retryable()
        );
        assert!(
            SignerError::from(Status::deadline_exceeded("late"))
                .reason
                .is_retryable()
        );
    }
}
