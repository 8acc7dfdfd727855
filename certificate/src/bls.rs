//! BLS12-381 signatures as subnets make them (IC interface specification, "Root of trust"): signatures in G1, keys in
//! G2. `blst` takes half the time of the pure-Rust `ic-verify-bls-signature`; `tests/load` measures both.

use std::fmt;

use blst::{
    BLST_ERROR,
    min_sig::{PublicKey as Point, Signature},
};
use ic_certification::Certificate;

use crate::CertificateError;

/// SubjectPublicKeyInfo around the 96 bytes of a compressed point in G2.
pub(crate) const DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05,
    0x03, 0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x02, 0x01, 0x03, 0x61, 0x00,
];
const SUITE: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
const STATE_ROOT: &[u8] = b"\x0Dic-state-root";

/// A subnet's public key: a point of the right group, and not the point at infinity, for which anybody can sign.
#[derive(Clone)]
pub(crate) struct PublicKey(Point);

impl PublicKey {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        der.strip_prefix(&DER_PREFIX)
            .filter(|point| point.len() == 96)
            .and_then(|point| Point::key_validate(point).ok())
            .map(Self)
            .ok_or(CertificateError::Key)
    }

    /// Whether the key signed the certificate's tree; nothing else about it is looked at.
    pub(crate) fn check(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        let message = [STATE_ROOT, &certificate.tree.digest()].concat();
        if self.signed(&message, &certificate.signature) {
            Ok(())
        } else {
            Err(CertificateError::Signature)
        }
    }

    /// Whether the key signed the message. The signature is one compressed point of the right group.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::uncompress(signature).is_ok_and(|signature| {
            signature.verify(true, message, SUITE, &[], &self.0, false) == BLST_ERROR::BLST_SUCCESS
        })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use ic_verify_bls_signature::{PrivateKey, verify_bls_signature};
    use rand::{RngCore, rngs::OsRng};

    use super::*;

    fn der(point: &[u8]) -> Vec<u8> {
        [DER_PREFIX.as_slice(), point].concat()
    }

    #[test]
    fn both_verifiers_agree_on_good_and_on_altered_signatures() {
        for _ in 0..4 {
            let private = PrivateKey::random(&mut OsRng);
            let point = private.public_key().serialize();
            let key = PublicKey::from_der(&der(&point)).unwrap();
            let mut message = [0; 46];
            OsRng.fill_bytes(&mut message);
            let good = private.sign(&message).serialize();
            assert!(key.signed(&message, &good));
            assert!(!key.signed(&message[1..], &good));
            for at in 0..good.len() {
                let mut altered = good;
                altered[at] ^= 1 << (at % 8);
                assert!(!key.signed(&message, &altered), "byte {at}");
                assert!(verify_bls_signature(&altered, &message, &point).is_err());
            }
            for length in 0..good.len() {
                assert!(!key.signed(&message, &good[..length]), "{length} bytes");
            }
        }
    }

    #[test]
    fn no_signature_is_good_for_infinity_and_infinity_is_no_signature() {
        let mut infinity = [0; 96];
        infinity[0] = 0xc0;
        assert!(PublicKey::from_der(&der(&infinity)).is_err());
        let private = PrivateKey::random(&mut OsRng);
        let key = PublicKey::from_der(&der(&private.public_key().serialize())).unwrap();
        assert!(!key.signed(b"message", &infinity[..48]));
    }

    #[test]
    fn a_key_is_one_point_behind_its_header() {
        let point = PrivateKey::random(&mut OsRng).public_key().serialize();
        let good = der(&point);
        assert!(PublicKey::from_der(&good).is_ok());
        for length in 0..good.len() {
            assert!(PublicKey::from_der(&good[..length]).is_err(), "{length}");
        }
        assert!(PublicKey::from_der(&[good.as_slice(), &[0]].concat()).is_err());
        let mut header = good.clone();
        header[5] ^= 1;
        assert!(PublicKey::from_der(&header).is_err());
        assert!(PublicKey::from_der(&der(&[0xff; 96])).is_err());
        assert!(PublicKey::from_der(&der(&[0; 96])).is_err());
    }
}
