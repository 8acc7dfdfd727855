use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{oauth::random, store::Digest};

const PREFIX: &str = "icg_up_";

/// Lets its bearer write one upload and nothing else, so that an agent's shell can send a file without the agent's
/// token. Never printed, stored as its hash.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Ticket([u8; 32]);

impl Ticket {
    pub(super) fn mint() -> Self {
        Self(random())
    }

    /// Whether a bearer text is a ticket's.
    pub(super) fn is_one(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The text that is sent as a bearer token.
    pub(crate) fn text(&self) -> String {
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    pub(super) fn digest(&self) -> Digest {
        Digest::of(&self.text())
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("icg_up_..")
    }
}
