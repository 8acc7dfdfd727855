use candid::Principal;

use super::{
    Call,
    identity::{Identity, encode},
};
use crate::{audit::Recorded, clock::Nanos};

/// The tag of self-described CBOR (RFC 8949, section 3.4.6), which the interface specification asks for.
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];
const MAP: u8 = 0xa0;
/// Room for the content of a usual call and for the signature, in bytes: growing in steps costs more than hashing.
const ROOM: usize = 512;

/// A signed request, ready to be posted to a boundary node.
#[derive(Debug, Clone)]
pub struct SignedEnvelope {
    /// The CBOR envelope.
    pub envelope: Vec<u8>,
    /// The request's id.
    pub request_id: [u8; 32],
    /// Who it is sent as.
    pub sender: Principal,
    /// Until when it may be accepted.
    pub ingress_expiry: Nanos,
}

/// Builds the envelope of a call and signs it (interface specification, "Authentication"). Takes the proof that the
/// decision to sign was recorded.
pub fn sign(_: Recorded, identity: &Identity, call: Call) -> SignedEnvelope {
    let ingress_expiry = call.ingress_expiry;
    let content = call.into_content(identity.sender());
    let request_id = content.to_request_id();
    let signature = identity.key().sign(&request_id.signable());

    let (members, credentials) = identity.credentials();
    let mut envelope = Vec::with_capacity(ROOM + credentials.len());
    envelope.extend_from_slice(&SELF_DESCRIBED);
    envelope.push(MAP | (members + 2));
    encode(&mut envelope, "content");
    encode(&mut envelope, &content);
    envelope.extend_from_slice(credentials);
    encode(&mut envelope, "sender_sig");
    encode(&mut envelope, serde_bytes::Bytes::new(&signature));
    SignedEnvelope {
        envelope,
        request_id: *request_id,
        sender: identity.sender(),
        ingress_expiry,
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, VerifyingKey};
    use ic_transport_types::{Delegation, DelegationPermissions, Envelope, SignedDelegation};

    use super::*;
    use crate::{audit::Audit, envelope::Invocation, vault::PrivateKey};

    fn invocations() -> [Invocation; 3] {
        let canister = Principal::from_slice(&[7; 10]);
        let (method, arg) = ("greet".to_owned(), vec![0x44; 300]);
        [
            Invocation::Query {
                canister,
                method: method.clone(),
                arg: arg.clone(),
            },
            Invocation::Update {
                canister,
                method,
                arg,
                nonce: vec![3; 16],
            },
            Invocation::ReadState {
                request_id: [5; 32],
            },
        ]
    }

    #[test]
    fn an_envelope_is_what_the_library_of_the_field_would_make() {
        let user_key = vec![1; 62];
        let key = PrivateKey::generate();
        let public: [u8; 32] = key.public_der()[12..].try_into().unwrap();
        let chain = vec![SignedDelegation {
            delegation: Delegation {
                pubkey: key.public_der().to_vec(),
                expiration: 77,
                targets: None,
                permissions: Some(DelegationPermissions::Queries),
            },
            signature: vec![9; 1500],
        }];
        let identity = Identity::delegated(key, &user_key, &chain);
        for invocation in invocations() {
            let call = Call {
                invocation,
                ingress_expiry: 1_700_000_000_000_000_000,
            };
            let content = call.clone().into_content(identity.sender());
            let signed = sign(
                Audit::default().own_call(&call, identity.sender()),
                &identity,
                call,
            );

            let decoded: Envelope<'_> = serde_cbor::from_slice(&signed.envelope).unwrap();
            assert_eq!(
                serde_cbor::to_vec(&*decoded.content).unwrap(),
                serde_cbor::to_vec(&content).unwrap()
            );
            assert_eq!(decoded.content.to_request_id(), content.to_request_id());
            assert_eq!(signed.request_id, *content.to_request_id());
            assert_eq!(decoded.sender_pubkey.as_deref(), Some(user_key.as_slice()));
            assert_eq!(
                serde_cbor::to_vec(&decoded.sender_delegation).unwrap(),
                serde_cbor::to_vec(&Some(&chain)).unwrap()
            );
            let signature = Signature::from_slice(decoded.sender_sig.as_deref().unwrap()).unwrap();
            VerifyingKey::from_bytes(&public)
                .unwrap()
                .verify_strict(&content.to_request_id().signable(), &signature)
                .unwrap();
            assert_eq!(signed.sender, Principal::self_authenticating(&user_key));
        }
    }

    #[test]
    fn without_delegation_the_key_speaks_for_itself() {
        let identity = Identity::of_key(PrivateKey::generate());
        for invocation in invocations() {
            let call = Call {
                invocation,
                ingress_expiry: 1,
            };
            let signed = sign(
                Audit::default().own_call(&call, identity.sender()),
                &identity,
                call,
            );
            let decoded: Envelope<'_> = serde_cbor::from_slice(&signed.envelope).unwrap();
            assert!(decoded.sender_delegation.is_none());
            assert_eq!(
                *decoded.content.sender(),
                Principal::self_authenticating(decoded.sender_pubkey.unwrap())
            );
        }
    }
}
