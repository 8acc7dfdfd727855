use candid::Principal;
use ic_transport_types::{Delegation, SignedDelegation};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::clock::Nanos;

/// Largest chain that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;
/// Bounds of the interface specification ("Authentication").
const MAX_HOPS: usize = 20;
const MAX_TARGETS: usize = 1000;

/// A delegation chain as Internet Identity's page delivers it, parsed but not yet verified: from a user's key to the
/// connection's registration key.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The first key, DER: whose principal the chain speaks for.
    pub public_key: Vec<u8>,
    /// The hops, in order; at least one.
    pub hops: Vec<SignedDelegation>,
    /// SHA-256 of the text.
    pub digest: [u8; 32],
}

/// What is wrong with a chain.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Larger than 64 KiB.
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not the JSON it should be. A member that is not known counts too: a new signed member must fail loudly.
    #[error("it is not the JSON of a delegation chain")]
    Json,
    /// No hops, or too many.
    #[error("it must have 1 to {MAX_HOPS} delegations")]
    Hops,
    /// A member that must be hexadecimal is not.
    #[error("a key, signature or expiration is not hexadecimal")]
    Hex,
    /// A target is no principal, or there are too many.
    #[error("its targets are not at most {MAX_TARGETS} principals")]
    Targets,
    /// It does not lead to the connection's registration key.
    #[error("it leads to another key")]
    ForeignKey,
    /// A hop has expired.
    #[error("it has expired")]
    Expired,
    /// A hop may not be used at the Internet Identity canister.
    #[error("it may not be used at Internet Identity")]
    Target,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainJson {
    delegations: Vec<HopJson>,
    #[serde(rename = "publicKey")]
    public_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HopJson {
    delegation: DelegationJson,
    signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DelegationJson {
    expiration: String,
    pubkey: String,
    #[serde(default)]
    targets: Option<Vec<String>>,
}

impl Chain {
    /// Parses a chain.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn parse(text: &str) -> Result<Self, ChainError> {
        if text.len() > MAX_BYTES {
            return Err(ChainError::TooLarge);
        }
        let json: ChainJson = serde_json::from_str(text).map_err(|_| ChainError::Json)?;
        if json.delegations.is_empty() || json.delegations.len() > MAX_HOPS {
            return Err(ChainError::Hops);
        }
        Ok(Self {
            public_key: hex_bytes(&json.public_key)?,
            hops: json
                .delegations
                .into_iter()
                .map(hop)
                .collect::<Result<_, _>>()?,
            digest: Sha256::digest(text).into(),
        })
    }

    /// Checks what needs no cryptography: that the chain leads to `leaf` (DER), holds now, and may be used at
    /// `canister`.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub fn check(&self, leaf: &[u8], canister: Principal, now: Nanos) -> Result<(), ChainError> {
        if self
            .hops
            .last()
            .is_none_or(|hop| hop.delegation.pubkey != leaf)
        {
            return Err(ChainError::ForeignKey);
        }
        if self.hops.iter().any(|hop| hop.delegation.expiration <= now) {
            return Err(ChainError::Expired);
        }
        let excluded = |hop: &SignedDelegation| {
            hop.delegation
                .targets
                .as_ref()
                .is_some_and(|targets| !targets.contains(&canister))
        };
        if self.hops.iter().any(excluded) {
            return Err(ChainError::Target);
        }
        Ok(())
    }
}

fn hop(hop: HopJson) -> Result<SignedDelegation, ChainError> {
    let HopJson {
        delegation,
        signature,
    } = hop;
    Ok(SignedDelegation {
        delegation: Delegation {
            pubkey: hex_bytes(&delegation.pubkey)?,
            expiration: hex_u64(&delegation.expiration)?,
            targets: delegation.targets.map(targets).transpose()?,
            permissions: None,
        },
        signature: hex_bytes(&signature)?,
    })
}

fn hex_bytes(text: &str) -> Result<Vec<u8>, ChainError> {
    hex::decode(text).map_err(|_| ChainError::Hex)
}

fn hex_u64(text: &str) -> Result<u64, ChainError> {
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(ChainError::Hex);
    }
    u64::from_str_radix(text, 16).map_err(|_| ChainError::Hex)
}

fn targets(texts: Vec<String>) -> Result<Vec<Principal>, ChainError> {
    if texts.len() > MAX_TARGETS {
        return Err(ChainError::Targets);
    }
    texts.iter().map(|text| target(text)).collect()
}

/// A target is hexadecimal or, in some writers, the principal's text, which always has a dash.
fn target(text: &str) -> Result<Principal, ChainError> {
    let principal = if text.contains('-') {
        Principal::from_text(text).ok()
    } else {
        hex::decode(text)
            .ok()
            .and_then(|bytes| Principal::try_from_slice(&bytes).ok())
    };
    principal.ok_or(ChainError::Targets)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"delegations":[
        {"delegation":{"expiration":"17a","pubkey":"0102"},"signature":"03"},
        {"delegation":{"expiration":"17b","pubkey":"0405","targets":["0001","rdmx6-jaaaa-aaaaa-aaadq-cai"]},"signature":"06"}],
        "publicKey":"0708"}"#;

    fn ii() -> Principal {
        Principal::from_text("rdmx6-jaaaa-aaaaa-aaadq-cai").unwrap()
    }

    #[test]
    fn parses_what_the_page_delivers() {
        let chain = Chain::parse(GOOD).unwrap();
        assert_eq!(chain.public_key, [7, 8]);
        assert_eq!(chain.hops[0].delegation.expiration, 0x17a);
        assert_eq!(chain.hops[1].delegation.pubkey, [4, 5]);
        assert_eq!(
            chain.hops[1].delegation.targets,
            Some(vec![Principal::from_slice(&[0, 1]), ii()])
        );
        assert_eq!(chain.hops[1].signature, [6]);
    }

    #[test]
    fn checks_leaf_expiry_and_targets() {
        let chain = Chain::parse(GOOD).unwrap();
        assert_eq!(chain.check(&[4, 5], ii(), 0x179), Ok(()));
        assert_eq!(
            chain.check(&[1, 2], ii(), 0x179),
            Err(ChainError::ForeignKey)
        );
        assert_eq!(chain.check(&[4, 5], ii(), 0x17a), Err(ChainError::Expired));
        assert_eq!(
            chain.check(&[4, 5], Principal::from_slice(&[9]), 0x179),
            Err(ChainError::Target)
        );
    }

    #[test]
    fn refuses_everything_else() {
        for (from, to, error) in [
            (
                r#""publicKey":"#,
                r#""permissions":"all","publicKey":"#,
                ChainError::Json,
            ),
            (
                r#""pubkey":"0102""#,
                r#""pubkey":"0102","permissions":"all""#,
                ChainError::Json,
            ),
            (
                r#""signature":"03""#,
                r#""signature":"03","extra":1"#,
                ChainError::Json,
            ),
            (
                r#""signature":"03""#,
                r#""signature":"0g""#,
                ChainError::Hex,
            ),
            (
                r#""signature":"03""#,
                r#""signature":"030""#,
                ChainError::Hex,
            ),
            (
                r#""expiration":"17a""#,
                r#""expiration":"+7a""#,
                ChainError::Hex,
            ),
            (
                r#""expiration":"17a""#,
                r#""expiration":"0x1""#,
                ChainError::Hex,
            ),
            (
                r#""expiration":"17a""#,
                r#""expiration":"""#,
                ChainError::Hex,
            ),
            (
                r#""expiration":"17a""#,
                r#""expiration":"11112222333344445""#,
                ChainError::Hex,
            ),
            (
                r#""expiration":"17a""#,
                r#""expiration":378"#,
                ChainError::Json,
            ),
            (r#""0001""#, r#""not-a-principal""#, ChainError::Targets),
            (
                r#""0001""#,
                &format!("\"{}\"", "00".repeat(30)),
                ChainError::Targets,
            ),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            assert_eq!(Chain::parse(&text).unwrap_err(), error, "{to}");
        }
        assert_eq!(
            Chain::parse(r#"{"delegations":[],"publicKey":"00"}"#).unwrap_err(),
            ChainError::Hops
        );
        let hop = r#"{"delegation":{"expiration":"1","pubkey":"00"},"signature":"00"}"#;
        let many = format!(
            r#"{{"delegations":[{}],"publicKey":"00"}}"#,
            [hop; 21].join(",")
        );
        assert_eq!(Chain::parse(&many).unwrap_err(), ChainError::Hops);
        assert_eq!(
            Chain::parse(&"[".repeat(MAX_BYTES)).unwrap_err(),
            ChainError::Json
        );
        assert_eq!(
            Chain::parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err(),
            ChainError::TooLarge
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = Chain::parse(&text);
        }

        #[test]
        fn never_panics_near_a_chain(at in 0..GOOD.len(), byte in 0x20u8..0x7f) {
            let mut text = GOOD.as_bytes().to_vec();
            text[at] = byte;
            let _ = Chain::parse(std::str::from_utf8(&text).unwrap());
        }
    }
}
