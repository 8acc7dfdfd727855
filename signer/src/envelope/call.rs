use candid::Principal;
use ic_certification::Label;
use ic_transport_types::EnvelopeContent;
use sha2::{Digest as _, Sha256};

use crate::clock::Nanos;

/// A request as its caller describes it: everything but who sends it.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is asked for.
    pub invocation: Invocation,
    /// Until when the Internet Computer may accept it.
    pub ingress_expiry: Nanos,
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub enum Invocation {
    /// A query.
    Query {
        /// The canister.
        canister: Principal,
        /// Its method.
        method: String,
        /// The Candid-encoded argument.
        arg: Vec<u8>,
    },
    /// An update call.
    Update {
        /// The canister.
        canister: Principal,
        /// Its method.
        method: String,
        /// The Candid-encoded argument.
        arg: Vec<u8>,
        /// Makes equal calls distinct requests.
        nonce: Vec<u8>,
    },
    /// A read of the status of an update call.
    ReadState {
        /// The update call's request id.
        request_id: [u8; 32],
    },
}

/// The kind of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// See [`Invocation::Query`].
    Query,
    /// See [`Invocation::Update`].
    Update,
    /// See [`Invocation::ReadState`].
    ReadState,
}

impl Kind {
    /// The kind's name in logs and digests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Update => "update",
            Self::ReadState => "read_state",
        }
    }
}

/// SHA-256 of a call's content: what an approval names. Two requests that do the same have the same digest, so the
/// nonce and the ingress expiry are not part of it.
///
/// It is taken over these parts, each preceded by its length in bytes as a big-endian u64: the text
/// `icgate call v1`, the kind (`query`, `update` or `read_state`), the canister's principal, the method, the
/// argument, the sender's principal. For a read_state the canister and method are empty and the argument is the
/// request id.
pub type Digest = [u8; 32];

impl Call {
    /// The kind.
    pub fn kind(&self) -> Kind {
        match self.invocation {
            Invocation::Query { .. } => Kind::Query,
            Invocation::Update { .. } => Kind::Update,
            Invocation::ReadState { .. } => Kind::ReadState,
        }
    }

    /// The canister called; none for a read_state.
    pub fn canister(&self) -> Option<Principal> {
        match self.invocation {
            Invocation::Query { canister, .. } | Invocation::Update { canister, .. } => {
                Some(canister)
            }
            Invocation::ReadState { .. } => None,
        }
    }

    /// The method called; empty for a read_state.
    pub fn method(&self) -> &str {
        match &self.invocation {
            Invocation::Query { method, .. } | Invocation::Update { method, .. } => method,
            Invocation::ReadState { .. } => "",
        }
    }

    /// See [`Digest`].
    pub fn digest(&self, sender: Principal) -> Digest {
        let arg: &[u8] = match &self.invocation {
            Invocation::Query { arg, .. } | Invocation::Update { arg, .. } => arg,
            Invocation::ReadState { request_id } => request_id,
        };
        let canister = self.canister();
        let parts: [&[u8]; 6] = [
            b"icgate call v1",
            self.kind().as_str().as_bytes(),
            canister
                .as_ref()
                .map_or(&[], |canister| canister.as_slice()),
            self.method().as_bytes(),
            arg,
            sender.as_slice(),
        ];
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }

    /// The request's content as the Internet Computer's interface specification has it.
    pub(super) fn into_content(self, sender: Principal) -> EnvelopeContent {
        let ingress_expiry = self.ingress_expiry;
        match self.invocation {
            Invocation::Query {
                canister,
                method,
                arg,
            } => EnvelopeContent::Query {
                ingress_expiry,
                sender,
                canister_id: canister,
                method_name: method,
                arg,
                nonce: None,
                sender_info: None,
            },
            Invocation::Update {
                canister,
                method,
                arg,
                nonce,
            } => EnvelopeContent::Call {
                nonce: Some(nonce),
                ingress_expiry,
                sender,
                canister_id: canister,
                method_name: method,
                arg,
                sender_info: None,
            },
            Invocation::ReadState { request_id } => EnvelopeContent::ReadState {
                ingress_expiry,
                sender,
                paths: vec![vec![
                    Label::from_bytes(b"request_status"),
                    Label::from_bytes(&request_id),
                ]],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(method: &str, arg: &[u8], nonce: u8, ingress_expiry: Nanos) -> Call {
        let invocation = Invocation::Update {
            canister: Principal::from_slice(&[1, 2]),
            method: method.to_owned(),
            arg: arg.to_vec(),
            nonce: vec![nonce],
        };
        Call {
            invocation,
            ingress_expiry,
        }
    }

    #[test]
    fn the_digest_names_what_a_call_does_and_nothing_else() {
        let sender = Principal::from_slice(&[9]);
        let digest = update("m", b"a", 1, 10).digest(sender);
        assert_eq!(update("m", b"a", 2, 20).digest(sender), digest);
        assert_ne!(update("n", b"a", 1, 10).digest(sender), digest);
        assert_ne!(update("ma", b"", 1, 10).digest(sender), digest);
        assert_ne!(update("m", b"b", 1, 10).digest(sender), digest);
        assert_ne!(
            update("m", b"a", 1, 10).digest(Principal::anonymous()),
            digest
        );
        let Invocation::Update {
            canister,
            method,
            arg,
            ..
        } = update("m", b"a", 1, 10).invocation
        else {
            unreachable!()
        };
        let query = Call {
            invocation: Invocation::Query {
                canister,
                method,
                arg,
            },
            ingress_expiry: 10,
        };
        assert_ne!(query.digest(sender), digest);
    }
}
