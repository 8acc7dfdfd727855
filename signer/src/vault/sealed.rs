use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305,
    kdf::HkdfSha256, kem::X25519HkdfSha256,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{PrivateKey, entropy::OsEntropy};

type Kem = X25519HkdfSha256;
type PublicKey = <Kem as hpke::Kem>::PublicKey;
type SecretKey = <Kem as hpke::Kem>::PrivateKey;
type EncappedKey = <Kem as hpke::Kem>::EncappedKey;

/// A connection's HPKE key pair (RFC 9180, X25519). Its private half rests in the connection's slots only.
pub struct ConnectionKeyPair {
    secret: SecretKey,
}

/// The public half: what keys are sealed to, also when nobody is there to open them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionPublicKey([u8; 32]);

/// A private key sealed to a connection (HPKE base mode, X25519-HKDF-SHA256, ChaCha20-Poly1305).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    #[serde(with = "serde_bytes")]
    encapsulated: Vec<u8>,
    #[serde(with = "serde_bytes")]
    ciphertext: Vec<u8>,
}

/// What a key is sealed for. A seal opens for the purpose it was made for and no other.
#[derive(Debug, Clone, Copy)]
pub enum SealPurpose<'a> {
    /// The registration key of a connection.
    Registration {
        /// The connection.
        connection: &'a str,
    },
    /// The session key of a grant, for one of the connections that use it.
    Session {
        /// The grant.
        grant: &'a str,
        /// The connection.
        connection: &'a str,
    },
}

impl SealPurpose<'_> {
    fn info(self) -> Vec<u8> {
        let parts: &[&str] = match self {
            Self::Registration { connection } => &["icgate registration key v1", connection],
            Self::Session { grant, connection } => &["icgate session key v1", grant, connection],
        };
        let mut info = Vec::new();
        for part in parts {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part.as_bytes());
        }
        info
    }
}

impl ConnectionKeyPair {
    /// A new random pair.
    pub fn generate() -> Self {
        let (secret, _) = Kem::gen_keypair(&mut OsEntropy);
        Self { secret }
    }

    /// The pair of a private key that a slot held.
    ///
    /// # Errors
    /// When the bytes are no X25519 private key.
    pub fn from_secret(bytes: &[u8]) -> Result<Self, SealError> {
        let secret = SecretKey::from_bytes(bytes).map_err(|_| SealError)?;
        Ok(Self { secret })
    }

    /// The public half. Computed when it is asked for: further slots are sealed without it.
    pub fn public(&self) -> ConnectionPublicKey {
        ConnectionPublicKey(Kem::sk_to_pk(&self.secret).to_bytes().into())
    }

    /// The private half, to be sealed in a slot.
    pub(super) fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes().into())
    }

    /// Opens a key that was sealed to this pair for this purpose.
    ///
    /// # Errors
    /// When it was not, or was altered.
    pub fn open(&self, purpose: SealPurpose<'_>, sealed: &Sealed) -> Result<PrivateKey, SealError> {
        let encapsulated = EncappedKey::from_bytes(&sealed.encapsulated).map_err(|_| SealError)?;
        let seed = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            &self.secret,
            &encapsulated,
            &purpose.info(),
            &sealed.ciphertext,
            b"",
        );
        let seed = Zeroizing::new(seed.map_err(|_| SealError)?);
        seed.as_slice()
            .try_into()
            .map(PrivateKey::from_seed)
            .map_err(|_| SealError)
    }
}

impl ConnectionPublicKey {
    /// Seals a private key to the connection.
    ///
    /// # Errors
    /// When this is not a usable X25519 public key.
    pub fn seal(self, purpose: SealPurpose<'_>, key: &PrivateKey) -> Result<Sealed, SealError> {
        let public = PublicKey::from_bytes(&self.0).map_err(|_| SealError)?;
        let (encapsulated, ciphertext) =
            hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem, _>(
                &OpModeS::Base,
                &public,
                &purpose.info(),
                key.seed().as_slice(),
                b"",
                &mut OsEntropy,
            )
            .map_err(|_| SealError)?;
        Ok(Sealed {
            encapsulated: encapsulated.to_bytes().to_vec(),
            ciphertext,
        })
    }
}

/// A seal did not open or could not be made; deliberately without detail.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a sealed key does not open")]
pub struct SealError;

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSE: SealPurpose<'static> = SealPurpose::Session {
        grant: "g",
        connection: "c",
    };

    #[test]
    fn round_trip_through_the_private_half() {
        let pair = ConnectionKeyPair::generate();
        let key = PrivateKey::generate();
        let sealed = pair.public().seal(PURPOSE, &key).unwrap();
        let again = ConnectionKeyPair::from_secret(pair.secret_bytes().as_slice()).unwrap();
        assert_eq!(again.public(), pair.public());
        assert_eq!(
            again.open(PURPOSE, &sealed).unwrap().public_der(),
            key.public_der()
        );
    }

    #[test]
    fn opens_for_its_pair_and_purpose_only() {
        let pair = ConnectionKeyPair::generate();
        let sealed = pair
            .public()
            .seal(PURPOSE, &PrivateKey::generate())
            .unwrap();
        assert!(
            ConnectionKeyPair::generate()
                .open(PURPOSE, &sealed)
                .is_err()
        );
        for purpose in [
            SealPurpose::Session {
                grant: "h",
                connection: "c",
            },
            SealPurpose::Session {
                grant: "g",
                connection: "d",
            },
            SealPurpose::Registration { connection: "c" },
        ] {
            assert!(pair.open(purpose, &sealed).is_err());
        }
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let pair = ConnectionKeyPair::generate();
        let sealed = pair
            .public()
            .seal(PURPOSE, &PrivateKey::generate())
            .unwrap();
        for at in 0..sealed.encapsulated.len() {
            let mut altered = sealed.clone();
            altered.encapsulated[at] ^= 1;
            assert!(
                pair.open(PURPOSE, &altered).is_err(),
                "encapsulated byte {at}"
            );
        }
        for at in 0..sealed.ciphertext.len() {
            let mut altered = sealed.clone();
            altered.ciphertext[at] ^= 1;
            assert!(
                pair.open(PURPOSE, &altered).is_err(),
                "ciphertext byte {at}"
            );
        }
    }
}
