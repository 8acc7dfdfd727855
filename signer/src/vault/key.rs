use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};
use zeroize::Zeroizing;

use super::entropy::random;

/// DER SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// An Ed25519 private key: a registration, session or app key. Wiped when dropped and never printed; its seed leaves
/// only to be sealed.
pub struct PrivateKey {
    signing: SigningKey,
    public_der: Vec<u8>,
}

impl PrivateKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self::from_seed(&Zeroizing::new(random()))
    }

    /// The key of a seed (RFC 8032).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let mut public_der = SPKI_PREFIX.to_vec();
        public_der.extend_from_slice(signing.verifying_key().as_bytes());
        Self {
            signing,
            public_der,
        }
    }

    /// The public key, DER SubjectPublicKeyInfo.
    pub fn public_der(&self) -> &[u8] {
        &self.public_der
    }

    /// The seed, to be sealed.
    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    /// Ed25519 over the message. Only [`crate::envelope::sign`] calls this.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, VerifyingKey};

    use super::PrivateKey;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", PrivateKey::generate()), "PrivateKey(..)");
    }

    #[test]
    fn signs_under_its_public_key() {
        let key = PrivateKey::generate();
        let public: [u8; 32] = key.public_der()[12..].try_into().unwrap();
        let verifying = VerifyingKey::from_bytes(&public).unwrap();
        let signature = Signature::from_bytes(&key.sign(b"message"));
        assert!(verifying.verify_strict(b"message", &signature).is_ok());
        assert!(verifying.verify_strict(b"another", &signature).is_err());
    }

    #[test]
    fn a_seed_gives_the_same_key() {
        let key = PrivateKey::generate();
        assert_eq!(
            PrivateKey::from_seed(&key.seed()).public_der(),
            key.public_der()
        );
    }

    #[test]
    fn rfc_8032_test_vector_1() {
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
            .unwrap();
        let key = PrivateKey::from_seed(&seed.try_into().unwrap());
        assert_eq!(
            hex::encode(&key.public_der()[12..]),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
    }
}
