//! PKCE (RFC 7636), method S256 only.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whether a challenge can be the S256 transform of anything: 32 bytes in base64url.
pub(crate) fn is_challenge(text: &str) -> bool {
    text.len() == 43
        && URL_SAFE_NO_PAD
            .decode(text)
            .is_ok_and(|bytes| bytes.len() == 32)
}

/// Whether the verifier has the form of section 4.1 and belongs to the challenge.
pub(crate) fn verifies(verifier: &str, challenge: &str) -> bool {
    let well_formed = (43..=128).contains(&verifier.len())
        && verifier
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    let transformed = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    well_formed && bool::from(transformed.as_bytes().ct_eq(challenge.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_verifies() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(is_challenge(challenge));
        assert!(verifies(verifier, challenge));
        assert!(!verifies(&verifier.replace('d', "e"), challenge));
        assert!(!verifies(challenge, challenge));
        assert!(!verifies("", challenge));
    }

    #[test]
    fn a_challenge_is_32_bytes() {
        for wrong in ["", "abc", &"A".repeat(44), &"=".repeat(43), &"+".repeat(43)] {
            assert!(!is_challenge(wrong), "{wrong}");
        }
    }
}
