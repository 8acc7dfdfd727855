use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use hkdf::Hkdf;
use icgate_proto::ConnectionSecret;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    entropy::random,
    sealed::{ConnectionKeyPair, SealError},
};

const NONCE: usize = 24;

/// The name of the slot that a secret opens: derived one way, so that the database alone does not tell which
/// credential a slot belongs to.
pub fn slot_id(connection: &str, secret: &ConnectionSecret) -> String {
    let mut id = [0; 16];
    derive(secret, "icgate slot id v1", connection, &mut id);
    BASE64_URL_SAFE_NO_PAD.encode(id)
}

/// The key of one slot: HKDF-SHA-256 (RFC 5869) of the connection secret. Under it the connection's HPKE private key
/// lies, `nonce ‖ XChaCha20-Poly1305 ciphertext`, bound to the connection's id.
pub struct SlotKey<'a> {
    key: Zeroizing<[u8; 32]>,
    connection: &'a str,
}

impl<'a> SlotKey<'a> {
    /// The slot key of a secret at a connection.
    pub fn derive(connection: &'a str, secret: &ConnectionSecret) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        derive(secret, "icgate slot key v1", connection, key.as_mut_slice());
        Self { key, connection }
    }

    /// Seals the connection's private key.
    ///
    /// # Errors
    /// Only when the cipher refuses the message's length.
    pub fn seal(&self, pair: &ConnectionKeyPair) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE] = random();
        let secret = pair.secret_bytes();
        let payload = Payload {
            msg: secret.as_slice(),
            aad: self.connection.as_bytes(),
        };
        let sealed = self
            .cipher()
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| SealError)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`SlotKey::seal`] made.
    ///
    /// # Errors
    /// When it was sealed under another secret or connection, or was altered.
    pub fn open(&self, sealed: &[u8]) -> Result<ConnectionKeyPair, SealError> {
        let (nonce, ciphertext) = sealed.split_at_checked(NONCE).ok_or(SealError)?;
        let payload = Payload {
            msg: ciphertext,
            aad: self.connection.as_bytes(),
        };
        let secret = self
            .cipher()
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(|_| SealError)?;
        ConnectionKeyPair::from_secret(&Zeroizing::new(secret))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }
}

fn derive(secret: &ConnectionSecret, purpose: &str, connection: &str, output: &mut [u8]) {
    Hkdf::<Sha256>::new(None, secret.expose())
        .expand_multi_info(&[purpose.as_bytes(), connection.as_bytes()], output)
        .expect("an output of at most 32 bytes is within HKDF's bound");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> ConnectionSecret {
        ConnectionSecret::new([byte; 32])
    }

    #[test]
    fn opens_with_its_secret_and_connection_only() {
        let pair = ConnectionKeyPair::generate();
        let sealed = SlotKey::derive("c", &secret(1)).seal(&pair).unwrap();
        assert_eq!(
            SlotKey::derive("c", &secret(1))
                .open(&sealed)
                .unwrap()
                .public(),
            pair.public()
        );
        assert!(SlotKey::derive("c", &secret(2)).open(&sealed).is_err());
        assert!(SlotKey::derive("d", &secret(1)).open(&sealed).is_err());
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let sealed = SlotKey::derive("c", &secret(1))
            .seal(&ConnectionKeyPair::generate())
            .unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(
                SlotKey::derive("c", &secret(1)).open(&altered).is_err(),
                "byte {at}"
            );
        }
    }

    #[test]
    fn ids_are_stable_and_apart() {
        assert_eq!(slot_id("c", &secret(1)), slot_id("c", &secret(1)));
        assert_ne!(slot_id("c", &secret(1)), slot_id("c", &secret(2)));
        assert_ne!(slot_id("c", &secret(1)), slot_id("d", &secret(1)));
    }
}
