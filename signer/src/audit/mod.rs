//! The one place through which every signing decision passes.
//!
//! [`crate::envelope::sign`] takes a [`Recorded`], and only this module makes one: a signature whose decision was not
//! recorded cannot be written down.

use std::sync::atomic::{AtomicU64, Ordering};

use candid::Principal;
use tracing::{debug, info};

use crate::envelope::{Call, Digest, Refusal, Rule};

/// A decision about one signature.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// The connection on whose behalf it is made.
    pub connection: &'a str,
    /// The call.
    pub call: &'a Call,
    /// Who it would be sent as; unknown when the call was refused before the identity was needed.
    pub sender: Option<Principal>,
    /// The call's digest, when the sender is known.
    pub digest: Option<Digest>,
    /// The rule it fell under, or the refusal.
    pub outcome: Result<Rule, Refusal>,
}

/// Records decisions, in the log and as counters.
#[derive(Debug, Default)]
pub struct Audit {
    signed: AtomicU64,
    refused: AtomicU64,
}

/// The proof that the decision to sign was recorded; good for one signature.
#[derive(Debug)]
#[must_use]
pub struct Recorded(());

impl Audit {
    /// Records that a call on a connection's behalf is signed.
    pub fn allowed(
        &self,
        connection: &str,
        call: &Call,
        sender: Principal,
        digest: Digest,
        rule: Rule,
    ) -> Recorded {
        self.record(&Decision {
            connection,
            call,
            sender: Some(sender),
            digest: Some(digest),
            outcome: Ok(rule),
        });
        Recorded(())
    }

    /// Records that a call is refused.
    pub fn refused(
        &self,
        connection: &str,
        call: &Call,
        sender: Option<Principal>,
        refusal: Refusal,
    ) {
        let digest = sender.map(|sender| call.digest(sender));
        self.record(&Decision {
            connection,
            call,
            sender,
            digest,
            outcome: Err(refusal),
        });
    }

    /// Records that the signer signs a call of its own to Internet Identity.
    pub fn own_call(&self, call: &Call, sender: Principal) -> Recorded {
        self.allowed("", call, sender, call.digest(sender), Rule::Identity)
    }

    /// How many signatures were made and how many refused since the start.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.signed.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        )
    }

    fn record(&self, decision: &Decision<'_>) {
        let kind = decision.call.kind().as_str();
        let method = decision.call.method();
        match decision.outcome {
            Ok(rule) => {
                self.signed.fetch_add(1, Ordering::Relaxed);
                debug!(
                    connection = decision.connection,
                    kind,
                    canister = decision.call.canister().map(tracing::field::display),
                    method,
                    sender = decision.sender.map(tracing::field::display),
                    digest = decision.digest.map(hex::encode),
                    rule = rule.as_str(),
                    "signed"
                );
            }
            Err(refusal) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                info!(
                    connection = decision.connection,
                    kind,
                    canister = decision.call.canister().map(tracing::field::display),
                    method,
                    rule = refusal.rule.as_str(),
                    reason = refusal.reason.as_str(),
                    "refused to sign"
                );
            }
        }
    }
}
