//! The outer layer of every record, format 1:
//!
//! ```text
//! 0x01 ‖ length of generation (1 byte) ‖ generation ‖ nonce (24 bytes) ‖ XChaCha20-Poly1305 ciphertext
//! ```
//!
//! The associated data is the header up to the nonce and the record's place (table and row), so that a record moved
//! to another row, relabelled or given another version does not open.

use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, KeyInit, Payload},
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{entropy::random, master_key::MasterKey};

const FORMAT: u8 = 1;
const NONCE: usize = 24;

/// Where a record lies: part of what its outer layer authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The table.
    pub table: &'static str,
    /// The row's primary key, its parts in order.
    pub row: &'a [&'a str],
}

/// The outer layer under the current generation of the master key; older generations are read only.
#[derive(Debug)]
pub struct Outer {
    current: MasterKey,
    previous: Vec<MasterKey>,
}

impl Outer {
    /// An outer layer that writes under `current` and reads under all.
    pub fn new(current: MasterKey, previous: Vec<MasterKey>) -> Self {
        Self { current, previous }
    }

    /// Whether a record lies under the current generation already.
    pub fn is_current(&self, record: &[u8]) -> bool {
        Header::parse(record).is_ok_and(|header| header.generation == self.current.generation())
    }

    /// Encodes (CBOR) and seals a record.
    ///
    /// # Errors
    /// When the record cannot be encoded.
    pub fn seal(&self, place: Place<'_>, record: &impl Serialize) -> Result<Vec<u8>, RecordError> {
        let inner = Zeroizing::new(serde_cbor::to_vec(record).map_err(|_| RecordError::Encoding)?);
        self.seal_bytes(place, &inner)
    }

    /// Opens and decodes a record.
    ///
    /// # Errors
    /// When the record was altered or moved, its generation is not configured, or its content is of another version.
    pub fn open<T: DeserializeOwned>(
        &self,
        place: Place<'_>,
        record: &[u8],
    ) -> Result<T, RecordError> {
        let inner = self.open_bytes(place, record)?;
        serde_cbor::from_slice(&inner).map_err(|_| RecordError::Encoding)
    }

    /// The same record under the current generation. What lies within stays sealed as it is.
    ///
    /// # Errors
    /// As [`Outer::open`].
    pub fn rewrap(&self, place: Place<'_>, record: &[u8]) -> Result<Vec<u8>, RecordError> {
        self.seal_bytes(place, &self.open_bytes(place, record)?)
    }

    fn seal_bytes(&self, place: Place<'_>, inner: &[u8]) -> Result<Vec<u8>, RecordError> {
        let generation = self.current.generation();
        let length = u8::try_from(generation.len()).map_err(|_| RecordError::Encoding)?;
        let mut record = vec![FORMAT, length];
        record.extend_from_slice(generation.as_bytes());
        let aad = associated_data(&record, place);
        let nonce: [u8; NONCE] = random();
        record.extend_from_slice(&nonce);
        let sealed = cipher(&self.current)
            .encrypt(
                XNonce::from_slice(&nonce),
                Payload {
                    msg: inner,
                    aad: &aad,
                },
            )
            .map_err(|_| RecordError::Encoding)?;
        record.extend_from_slice(&sealed);
        Ok(record)
    }

    fn open_bytes(
        &self,
        place: Place<'_>,
        record: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        let header = Header::parse(record)?;
        let key = std::iter::once(&self.current)
            .chain(&self.previous)
            .find(|key| key.generation() == header.generation)
            .ok_or_else(|| RecordError::Generation(header.generation.to_owned()))?;
        let aad = associated_data(header.bytes, place);
        cipher(key)
            .decrypt(
                XNonce::from_slice(header.nonce),
                Payload {
                    msg: header.sealed,
                    aad: &aad,
                },
            )
            .map(Zeroizing::new)
            .map_err(|_| RecordError::Altered { table: place.table })
    }
}

struct Header<'a> {
    bytes: &'a [u8],
    generation: &'a str,
    nonce: &'a [u8],
    sealed: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(record: &'a [u8]) -> Result<Self, RecordError> {
        let (&[format, length], rest) =
            record.split_first_chunk::<2>().ok_or(RecordError::Format)?;
        if format != FORMAT {
            return Err(RecordError::Format);
        }
        let (generation, rest) = rest
            .split_at_checked(usize::from(length))
            .ok_or(RecordError::Format)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE).ok_or(RecordError::Format)?;
        let generation = std::str::from_utf8(generation).map_err(|_| RecordError::Format)?;
        let bytes = &record[..2 + generation.len()];
        Ok(Self {
            bytes,
            generation,
            nonce,
            sealed,
        })
    }
}

fn cipher(key: &MasterKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.expose().into())
}

fn associated_data(header: &[u8], place: Place<'_>) -> Vec<u8> {
    let mut aad = b"icgate record".to_vec();
    for part in [header, place.table.as_bytes()]
        .into_iter()
        .chain(place.row.iter().map(|id| id.as_bytes()))
    {
        aad.extend_from_slice(&(part.len() as u64).to_be_bytes());
        aad.extend_from_slice(part);
    }
    aad
}

/// Why a record of the database does not open.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not a record of a format this signer knows.
    #[error("a stored record has an unknown format version")]
    Format,
    /// The record's master key generation is not configured.
    #[error("a stored record needs master key generation `{0}`, which is not configured")]
    Generation(String),
    /// The record was altered, moved from another row, or sealed under another key of the same name.
    #[error(
        "a record of table {table} does not open: it was altered or the master key is another one"
    )]
    Altered {
        /// The table it lies in.
        table: &'static str,
    },
    /// The content is not what this version writes.
    #[error("a stored record has unexpected content")]
    Encoding,
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place {
        table: "connections",
        row: &["a"],
    };

    fn key(generation: &str, byte: u8) -> MasterKey {
        MasterKey::new(generation, Zeroizing::new([byte; 32])).unwrap()
    }

    fn outer() -> Outer {
        Outer::new(key("1", 7), Vec::new())
    }

    #[test]
    fn round_trip() {
        let record = outer().seal(PLACE, &("text", 5u64)).unwrap();
        assert_eq!(
            outer().open::<(String, u64)>(PLACE, &record).unwrap(),
            ("text".to_owned(), 5)
        );
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let record = outer().seal(PLACE, &"secret").unwrap();
        for at in 0..record.len() {
            let mut altered = record.clone();
            altered[at] ^= 1;
            assert!(
                outer().open::<String>(PLACE, &altered).is_err(),
                "byte {at}"
            );
        }
        for length in 0..record.len() {
            assert!(
                outer().open::<String>(PLACE, &record[..length]).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn a_record_opens_only_where_it_lies() {
        let record = outer().seal(PLACE, &"secret").unwrap();
        for place in [
            Place {
                table: "grants",
                row: &["a"],
            },
            Place {
                table: "connections",
                row: &["b"],
            },
            Place {
                table: "connections",
                row: &["a", ""],
            },
            Place {
                table: "connections",
                row: &[],
            },
        ] {
            assert!(matches!(
                outer().open::<String>(place, &record),
                Err(RecordError::Altered { .. })
            ));
        }
    }

    #[test]
    fn rotation_rewraps_the_outer_layer_only() {
        let record = outer().seal(PLACE, &"secret").unwrap();
        let rotated = Outer::new(key("2", 9), vec![key("1", 7)]);
        assert!(!rotated.is_current(&record));
        assert_eq!(rotated.open::<String>(PLACE, &record).unwrap(), "secret");

        let rewrapped = rotated.rewrap(PLACE, &record).unwrap();
        assert!(rotated.is_current(&rewrapped));
        let only_new = Outer::new(key("2", 9), Vec::new());
        assert_eq!(
            only_new.open::<String>(PLACE, &rewrapped).unwrap(),
            "secret"
        );
        assert!(matches!(
            only_new.open::<String>(PLACE, &record),
            Err(RecordError::Generation(name)) if name == "1"
        ));
    }

    #[test]
    fn another_key_of_the_same_name_opens_nothing() {
        let record = outer().seal(PLACE, &"secret").unwrap();
        let other = Outer::new(key("1", 8), Vec::new());
        assert!(matches!(
            other.open::<String>(PLACE, &record),
            Err(RecordError::Altered { .. })
        ));
    }
}
