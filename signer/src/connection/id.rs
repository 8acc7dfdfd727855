use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::vault::random;

/// A connection's id: 16 random bytes in base64url. Not a secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionId(String);

impl ConnectionId {
    /// A new id.
    pub fn random() -> Self {
        Self(random_id())
    }

    /// Reads an id; `None` when no connection can have it.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        (bytes.len() == 16).then(|| Self(text.to_owned()))
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An id of the same form for what belongs to connections.
pub(super) fn random_id() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(random::<16>())
}

#[cfg(test)]
mod tests {
    use super::ConnectionId;

    #[test]
    fn reads_what_it_makes_and_nothing_else() {
        let id = ConnectionId::random();
        assert_eq!(ConnectionId::parse(id.as_str()), Some(id));
        for text in [
            "",
            "short",
            &"A".repeat(23),
            &"=".repeat(22),
            "AAAAAAAAAAAAAAAAAAAAA\n",
        ] {
            assert_eq!(ConnectionId::parse(text), None, "{text:?}");
        }
    }
}
