//! Faults that tests order: what a broken or hostile network would do.

use std::{
    sync::{
        RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use candid::Principal;
use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The node's signature of a query reply does not verify.
    QuerySignature,
    /// Certificates are signed over another root hash.
    Certificate,
    /// Certificates come from a subnet that the root subnet vouches for and that hosts none of the
    /// canisters here.
    ForeignSubnet,
    /// Every certificate carries a subnet delegation made for it alone.
    FreshDelegation,
    /// Certificates were made `value` milliseconds ago.
    OldCertificate,
    /// The connection is closed without an answer.
    Unreachable,
    /// Every answer comes `value` milliseconds late.
    SlowMs,
    /// Update calls are accepted (202) and done `value` milliseconds later; the caller polls.
    SlowCall,
    /// Update calls run, and 503 is all that their callers hear.
    Unavailable,
    /// Ends all faults.
    None,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    kind: Kind,
    #[serde(default)]
    value: u64,
    /// Only requests to this effective canister suffer; absent is all.
    #[serde(default)]
    canister: Option<Principal>,
}

#[derive(Default)]
pub(crate) struct Faults {
    any: AtomicBool,
    active: RwLock<Vec<Fault>>,
}

impl Faults {
    /// Adds a fault, replacing one of the same kind for the same canister.
    pub(crate) fn set(&self, fault: Fault) {
        let mut active = self
            .active
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if fault.kind == Kind::None {
            active.clear();
        } else {
            active.retain(|old| old.kind != fault.kind || old.canister != fault.canister);
            active.push(fault);
        }
        self.any.store(!active.is_empty(), Ordering::Release);
    }

    /// The value of the fault of this kind that hits requests to `canister`.
    pub(crate) fn hits(&self, kind: Kind, canister: Option<&Principal>) -> Option<u64> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let active = self
            .active
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        active
            .iter()
            .find(|fault| {
                fault.kind == kind
                    && (fault.canister.is_none() || fault.canister.as_ref() == canister)
            })
            .map(|fault| fault.value)
    }

    pub(crate) fn delay(&self, kind: Kind, canister: Option<&Principal>) -> Option<Duration> {
        self.hits(kind, canister).map(Duration::from_millis)
    }

    /// The value of the fault of this kind that hits a request to this path of the IC's interface.
    pub(crate) fn hits_path(&self, kind: Kind, path: &str) -> Option<u64> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut parts = path.strip_prefix("/api/")?.split('/');
        let canister = parts.find_map(|part| Principal::from_text(part).ok());
        self.hits(kind, canister.as_ref())
    }
}
