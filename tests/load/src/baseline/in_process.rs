use std::{
    borrow::Cow,
    hint::black_box,
    time::{Duration, Instant},
};

use ed25519_dalek::{Signer as _, SigningKey};
use ic_transport_types::{Envelope, EnvelopeContent};

use crate::Failure;

/// What one core does without TLS, gRPC, a ceiling or a delegation cache in its way.
pub(crate) struct InProcess {
    key: SigningKey,
    model: Envelope<'static>,
}

impl InProcess {
    /// Works on envelopes like this one, which the signer made.
    pub(crate) fn like(envelope: &[u8]) -> Result<Self, Failure> {
        let model: Envelope<'static> = serde_cbor::from_slice(envelope)?;
        match *model.content {
            EnvelopeContent::Call { .. } if model.sender_delegation.is_some() => Ok(Self {
                key: SigningKey::from_bytes(&[7; 32]),
                model,
            }),
            _ => Err("the signer was asked for an update call under a delegation".into()),
        }
    }

    /// Envelopes built, hashed, signed and encoded, each with a nonce of its own.
    pub(crate) fn per_second(&self, during: Duration) -> f64 {
        per_second(during, |count| {
            black_box(self.envelope(count));
        })
    }

    fn envelope(&self, count: u64) -> Vec<u8> {
        let mut content = self.model.content.clone().into_owned();
        if let EnvelopeContent::Call { nonce, .. } = &mut content {
            let mut bytes = vec![0; 16];
            bytes[..8].copy_from_slice(&count.to_le_bytes());
            *nonce = Some(bytes);
        }
        let signature = self.key.sign(&content.to_request_id().signable());
        let envelope = Envelope {
            content: Cow::Owned(content),
            sender_pubkey: self.model.sender_pubkey.clone(),
            sender_sig: Some(signature.to_vec()),
            sender_delegation: self.model.sender_delegation.clone(),
        };
        envelope.encode_bytes()
    }

    /// Signatures alone, over as many bytes as a request's signature covers.
    pub(crate) fn raw_per_second(&self, during: Duration) -> f64 {
        // 0x0A, "ic-request" and a request id.
        let mut message = [0u8; 43];
        per_second(during, |count| {
            message[11..19].copy_from_slice(&count.to_le_bytes());
            black_box(self.key.sign(&message));
        })
    }
}

fn per_second(during: Duration, mut work: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < during {
        work(count);
        count += 1;
    }
    count as f64 / start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use ic_transport_types::{Delegation, SignedDelegation};

    use super::*;

    #[test]
    fn every_envelope_is_another_and_signed() {
        let content = EnvelopeContent::Call {
            nonce: None,
            ingress_expiry: 1,
            sender: "aaaaa-aa".parse().unwrap(),
            canister_id: "aaaaa-aa".parse().unwrap(),
            method_name: "m".to_owned(),
            arg: vec![1],
            sender_info: None,
        };
        let delegation = Delegation {
            pubkey: vec![1],
            expiration: 2,
            targets: None,
            permissions: None,
        };
        let model = Envelope {
            content: Cow::Owned(content),
            sender_pubkey: Some(vec![2]),
            sender_sig: Some(vec![3]),
            sender_delegation: Some(vec![SignedDelegation {
                delegation,
                signature: vec![4],
            }]),
        };
        let in_process = InProcess::like(&model.encode_bytes()).unwrap();
        let bytes = in_process.envelope(5);
        assert_ne!(bytes, in_process.envelope(6));
        let envelope: Envelope<'static> = serde_cbor::from_slice(&bytes).unwrap();
        let signature = envelope.sender_sig.unwrap();
        let signed = envelope.content.to_request_id().signable();
        let signature = ed25519_dalek::Signature::from_slice(&signature).unwrap();
        let key = in_process.key.verifying_key();
        assert!(key.verify_strict(&signed, &signature).is_ok());
        assert!(envelope.sender_delegation.is_some());
    }

    #[test]
    fn only_a_delegated_update_is_a_model() {
        assert!(InProcess::like(b"not an envelope").is_err());
    }
}
