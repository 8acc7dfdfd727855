//! The sentences that leave the signer. Each is fit for an agent and names a next step; the cause goes to the log.

use std::fmt::Display;

use icgate_proto::{Reason, SignerError};
use tracing::{error, warn};

use crate::{
    account::TargetOrigin,
    grant::ChainError,
    transport::IdentityCallError,
    vault::{RecordError, SealError, StoreError},
};

/// What the agent tells its user when a connection is over.
pub(crate) const SESSION_OVER: &str = "The Internet Identity session behind this connection is over. Ask the user to reconnect (sign in again).";

const LATER: &str = "The signer is busy; try again in a few seconds.";
/// Longest text of Internet Identity that is passed on, in characters.
const FOREIGN_TEXT: usize = 300;

pub(crate) fn invalid(what: impl Display) -> SignerError {
    SignerError::new(Reason::InvalidArgument, format!("{what}."))
}

pub(crate) fn secret_refused() -> SignerError {
    SignerError::new(
        Reason::SecretRefused,
        "This credential opens no connection. Ask the user to reconnect (sign in again).",
    )
}

pub(crate) fn connection_ended() -> SignerError {
    SignerError::new(Reason::ConnectionEnded, SESSION_OVER)
}

pub(crate) fn connection_replaced() -> SignerError {
    SignerError::new(
        Reason::ConnectionReplaced,
        "The user is signing in again and has not said yet whether this connection goes on. Try again in a minute.",
    )
}

/// Internet Identity does not honour the grant, which a sign-in under way may have replaced.
pub(crate) fn connection_in_doubt() -> SignerError {
    SignerError::new(
        Reason::ConnectionReplaced,
        "Internet Identity does not honour this connection; the user may be signing in again. Try again in a minute.",
    )
}

pub(crate) fn too_many_connections() -> SignerError {
    SignerError::new(
        Reason::Overloaded,
        "The user has as many connections as one may have. Ask the user to end one first.",
    )
}

pub(crate) fn connection_pending() -> SignerError {
    SignerError::new(
        Reason::ConnectionPending,
        "The user has not finished signing in with Internet Identity yet.",
    )
}

pub(crate) fn overloaded() -> SignerError {
    SignerError::new(Reason::Overloaded, LATER)
}

pub(crate) fn role_forbidden() -> SignerError {
    SignerError::new(
        Reason::RoleForbidden,
        "The client certificate's role may not call this method; the signer's configuration assigns roles.",
    )
}

pub(crate) fn internal(what: &str, cause: &dyn Display) -> SignerError {
    error!(%cause, "{what}");
    SignerError::new(
        Reason::Internal,
        "The signer failed; its log has the cause.",
    )
}

pub(crate) fn account_unknown(origin: &TargetOrigin, name: &str, names: &[&str]) -> SignerError {
    let name = printable(name);
    let known = match names {
        [] => "There are no named accounts there; leave the account out to use the default one"
            .to_owned(),
        names => format!("Named accounts there: {}", printable(&names.join(", "))),
    };
    SignerError::new(
        Reason::AccountUnknown,
        format!("The user has no account named \"{name}\" at {origin}. {known}."),
    )
}

pub(crate) fn account_number_unknown(origin: &TargetOrigin, number: u64) -> SignerError {
    SignerError::new(
        Reason::AccountUnknown,
        format!(
            "The user has no account number {number} at {origin}; list the accounts there for those there are."
        ),
    )
}

pub(crate) fn account_ambiguous(origin: &TargetOrigin, name: &str) -> SignerError {
    let name = printable(name);
    SignerError::new(
        Reason::AccountUnknown,
        format!(
            "The user has several accounts named \"{name}\" at {origin}; use the account's number."
        ),
    )
}

pub(crate) fn account_name_is_number(origin: &TargetOrigin, name: &str) -> SignerError {
    let name = printable(name);
    SignerError::new(
        Reason::AccountUnknown,
        format!(
            "At {origin} \"{name}\" is the name of one of the user's accounts and the number of another; give the \
             number of the one that is meant, as a number and not as text."
        ),
    )
}

pub(crate) fn chain(error: ChainError) -> SignerError {
    let reason = match error {
        ChainError::ForeignKey => Reason::ChainForeignKey,
        ChainError::Expired => Reason::ChainExpired,
        _ => Reason::ChainInvalid,
    };
    SignerError::new(
        reason,
        format!("Internet Identity's delegation cannot be used: {error}. Start the sign-in again."),
    )
}

pub(crate) fn chain_signature(cause: &dyn Display) -> SignerError {
    warn!(%cause, "a delegation chain does not verify");
    SignerError::new(
        Reason::ChainInvalid,
        "Internet Identity's delegation cannot be used: it does not verify. Start the sign-in again.",
    )
}

/// A failed registration: here Internet Identity's own words matter to the user.
pub(crate) fn registration(error: IdentityCallError) -> SignerError {
    match error {
        IdentityCallError::Refused(text) => {
            SignerError::new(Reason::RegistrationRefused, printable(&text))
        }
        other => identity_call(other),
    }
}

/// A failed call to Internet Identity. `Unauthorized` ends the connection; that is the caller's to do.
pub(crate) fn identity_call(error: IdentityCallError) -> SignerError {
    match error {
        IdentityCallError::Unauthorized => connection_ended(),
        IdentityCallError::Unavailable(cause) => {
            warn!(%cause, "Internet Identity is not reachable");
            SignerError::new(
                Reason::IdentityUnavailable,
                "Internet Identity cannot be reached right now; try again in a few seconds.",
            )
        }
        IdentityCallError::Refused(cause) | IdentityCallError::Unexpected(cause) => {
            error!(
                cause = printable(&cause),
                "Internet Identity's answer cannot be used"
            );
            SignerError::new(
                Reason::IdentityUnexpected,
                "Internet Identity gave an answer that cannot be trusted or understood; the signer's log has the cause.",
            )
        }
    }
}

/// A storage or sealing error on its way out.
pub(crate) struct Stored(pub(crate) SignerError);

impl From<StoreError> for Stored {
    fn from(error: StoreError) -> Self {
        Self(match error {
            StoreError::NoConnection => secret_refused(),
            StoreError::TooManyConnections => too_many_connections(),
            StoreError::Database(sqlx::Error::PoolTimedOut) => busy(),
            StoreError::Group(cause) if matches!(*cause, sqlx::Error::PoolTimedOut) => busy(),
            other => internal("the database failed", &other),
        })
    }
}

fn busy() -> SignerError {
    warn!("the database is too busy");
    overloaded()
}

impl From<SealError> for Stored {
    fn from(error: SealError) -> Self {
        Self(internal("a key does not open or seal", &error))
    }
}

impl From<RecordError> for Stored {
    fn from(error: RecordError) -> Self {
        Self(internal("a record does not open", &error))
    }
}

/// What a storage operation's failure means to the caller.
pub(crate) fn stored<E: Into<Stored>>(error: E) -> SignerError {
    error.into().0
}

/// A foreign text without control characters and of bounded length.
fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .filter(|char| !is_invisible(*char))
        .take(FOREIGN_TEXT)
        .collect()
}

/// Characters that steer how the text around them is shown.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_scrubbed_and_capped() {
        let text = format!("MCP\u{1b}[31m failed\n\u{202e}{}", "x".repeat(500));
        let error = registration(IdentityCallError::Refused(text));
        assert_eq!(error.reason, Reason::RegistrationRefused);
        assert!(
            error.message.starts_with("MCP [31m failed x"),
            "{}",
            error.message
        );
        assert_eq!(error.message.chars().count(), FOREIGN_TEXT);
    }
}
