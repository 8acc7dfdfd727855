use std::fmt;

use crate::{instance::InstanceName, oauth::random, store::Digest};

/// Consonants only: nothing that is read for another letter or digit, and no words (RFC 8628 section 6.1).
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// 43 bits.
const LETTERS: usize = 10;
/// Longest text that is looked at, in bytes.
const MAX_TEXT: usize = 64;

/// The code that the device shows and the person confirms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserCode([u8; LETTERS]);

impl UserCode {
    pub(crate) fn mint() -> Self {
        // Above the largest multiple of 20 a byte would favour the first letters.
        let fair = |byte: &u8| *byte < 240;
        let mut letters = [0; LETTERS];
        let mut filled = 0;
        while filled < LETTERS {
            for byte in random::<16>()
                .into_iter()
                .filter(fair)
                .take(LETTERS - filled)
            {
                letters[filled] = ALPHABET[usize::from(byte) % ALPHABET.len()];
                filled += 1;
            }
        }
        Self(letters)
    }

    /// Reads what a person typed: case, spaces and dashes do not matter.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let letters: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'-' | b'_' | b'.'))
            .map(|byte| byte.to_ascii_uppercase())
            .collect();
        let known = letters.iter().all(|letter| ALPHABET.contains(letter));
        known.then_some(Self(letters.try_into().ok()?))
    }

    /// All that is kept of it. A code means nothing at the other instance.
    pub(crate) fn digest(self, instance: InstanceName) -> Digest {
        Digest::of(&format!("{instance} {self}"))
    }
}

/// In two groups.
impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, letter) in self.0.iter().enumerate() {
            if position == LETTERS / 2 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forty_bits_at_least() {
        let bits = (LETTERS as f64) * (ALPHABET.len() as f64).log2();
        assert!(bits >= 40.0, "{bits}");
    }

    #[test]
    fn every_letter_occurs_everywhere() {
        let codes: Vec<_> = (0..2_000).map(|_| UserCode::mint()).collect();
        for position in 0..LETTERS {
            for letter in ALPHABET {
                assert!(
                    codes.iter().any(|code| code.0[position] == *letter),
                    "{position} {letter}"
                );
            }
        }
    }

    #[test]
    fn people_type_as_they_like() {
        let code = UserCode(*b"BCDFGHJKLM");
        assert_eq!(code.to_string(), "BCDFG-HJKLM");
        for typed in [
            "BCDFG-HJKLM",
            " bcdfg hjklm\n",
            "b-c-d-f-g-h-j-k-l-m",
            "BCDFGHJKLM",
        ] {
            assert_eq!(UserCode::parse(typed), Some(code), "{typed}");
        }
        for wrong in [
            "",
            "BCDFG-HJKL",
            "BCDFG-HJKLMN",
            "ACDFG-HJKLM",
            "BCDFG-HJKL1",
            "ßCDFG-HJKLM",
        ] {
            assert_eq!(UserCode::parse(wrong), None, "{wrong}");
        }
        assert_eq!(
            UserCode::parse(&format!("BCDFG{}HJKLM", " ".repeat(60))),
            None
        );
    }

    #[test]
    fn a_code_is_of_one_instance() {
        let code = UserCode::mint();
        assert_ne!(
            code.digest(InstanceName::Beta),
            code.digest(InstanceName::Prod)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            if let Some(code) = UserCode::parse(&text) {
                prop_assert_eq!(UserCode::parse(&code.to_string()), Some(code));
            }
        }
    }
}
