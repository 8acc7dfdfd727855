//! Identities ("anchors") and their accounts at apps.

use std::collections::{BTreeMap, HashMap};

use candid::Principal;
use rand::{RngCore, rngs::OsRng};
use sha2::{Digest, Sha256};

use super::{
    grant::{Grant, Pending},
    wire::McpConfig,
};

pub(crate) struct Anchor {
    pub(crate) name: &'static str,
    /// The principal of the device that authenticates as this anchor. The devnet's own browser
    /// acts for it, so its key is never needed.
    pub(crate) device: Principal,
    pub(crate) config: Option<McpConfig>,
    pub(crate) grant: Option<Grant>,
    pub(crate) pending: Option<Pending>,
    /// Names of the accounts that exist at every origin from the start.
    everywhere: &'static [&'static str],
    origins: HashMap<String, Origin>,
}

/// The anchor's accounts at one origin, beside the one without a number.
#[derive(Default)]
pub(crate) struct Origin {
    pub(crate) named: BTreeMap<u64, String>,
    /// The account used when none is named; `None` is the one without a number.
    pub(crate) default: Option<u64>,
    pub(crate) last_used: HashMap<Option<u64>, u64>,
}

impl Anchor {
    pub(crate) fn new(
        name: &'static str,
        everywhere: &'static [&'static str],
        config: Option<McpConfig>,
    ) -> Self {
        let mut device = [0; 32];
        OsRng.fill_bytes(&mut device);
        Self {
            name,
            device: Principal::self_authenticating(device),
            config,
            grant: None,
            pending: None,
            everywhere,
            origins: HashMap::new(),
        }
    }

    /// The accounts at `origin`; the first look creates those that exist everywhere, numbered
    /// from `next_number` on.
    pub(crate) fn at(&mut self, origin: &str, next_number: &mut u64) -> &mut Origin {
        let everywhere = self.everywhere;
        self.origins.entry(origin.to_owned()).or_insert_with(|| {
            let mut accounts = Origin::default();
            for name in everywhere {
                accounts.add((*name).to_owned(), next_number);
            }
            accounts
        })
    }

    /// The URL of the MCP server this identity trusts.
    pub(crate) fn trusted_url(&self) -> Option<&str> {
        self.config
            .as_ref()
            .filter(|config| config.enabled)
            .and_then(|config| config.url.as_deref())
    }
}

impl Origin {
    pub(crate) fn add(&mut self, name: String, next_number: &mut u64) -> u64 {
        let number = *next_number;
        *next_number += 1;
        self.named.insert(number, name);
        number
    }

    pub(crate) fn owns(&self, number: Option<u64>) -> bool {
        number.is_none_or(|number| self.named.contains_key(&number))
    }
}

/// The seed of the key for one account of an anchor at an origin.
pub(crate) fn account_seed(
    salt: &[u8; 32],
    anchor: u64,
    origin: &str,
    number: Option<u64>,
) -> [u8; 32] {
    let anchor = anchor.to_string();
    let number = number.map(|n| n.to_string());
    let mut parts = vec![salt.as_slice(), anchor.as_bytes(), origin.as_bytes()];
    parts.extend(number.as_ref().map(String::as_bytes));
    seed(&parts)
}

/// SHA-256 over length-prefixed parts.
pub(crate) fn seed(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update([u8::try_from(part.len()).unwrap_or(u8::MAX)]);
        hash.update(part);
    }
    hash.finalize().into()
}
