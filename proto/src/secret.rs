use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// What opens a connection at the signer: 32 bytes derived from a presented credential. Wiped when dropped, and
/// never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ConnectionSecret([u8; Self::LEN]);

impl ConnectionSecret {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Takes over derived key material.
    pub fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The key material itself.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The form that travels in a request.
    pub fn to_wire(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

impl TryFrom<&[u8]> for ConnectionSecret {
    type Error = InvalidSecret;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidSecret> {
        bytes.try_into().map(Self).map_err(|_| InvalidSecret)
    }
}

impl fmt::Debug for ConnectionSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionSecret(..)")
    }
}

/// A connection secret on the wire was not 32 bytes long.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a connection secret has {} bytes", ConnectionSecret::LEN)]
pub struct InvalidSecret;

#[cfg(test)]
mod tests {
    use super::ConnectionSecret;

    #[test]
    fn debug_shows_nothing() {
        let shown = format!("{:?}", ConnectionSecret::new([0xAB; 32]));
        assert_eq!(shown, "ConnectionSecret(..)");
    }

    #[test]
    fn only_32_bytes_are_a_secret() {
        assert!(ConnectionSecret::try_from(&[0u8; 31][..]).is_err());
        assert!(ConnectionSecret::try_from(&[0u8; 33][..]).is_err());
        assert!(ConnectionSecret::try_from(&[0u8; 32][..]).is_ok());
    }
}
