//! Accounts of the ICP ledger.

use std::fmt;

use ::candid::Principal;
use sha2::{Digest, Sha224};

/// Where the ICP ledger keeps what an owner has in a subaccount: CRC-32 of a hash, and the hash: SHA-224 over
/// `\x0Aaccount-id`, owner and subaccount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountIdentifier([u8; 32]);

impl AccountIdentifier {
    /// The account of an owner with this subaccount.
    pub fn new(owner: Principal, subaccount: &[u8; 32]) -> Self {
        let hash = Sha224::new()
            .chain_update(b"\x0Aaccount-id")
            .chain_update(owner.as_slice())
            .chain_update(subaccount)
            .finalize();
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&crc32fast::hash(&hash).to_be_bytes());
        bytes[4..].copy_from_slice(&hash);
        Self(bytes)
    }

    /// The owner's account without a subaccount.
    pub fn default_of(owner: Principal) -> Self {
        Self::new(owner, &[0; 32])
    }

    /// As the ledger takes it.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for AccountIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The subaccount of the cycles minting canister that belongs to a principal: its length, its bytes, zeros.
pub fn subaccount_of(principal: Principal) -> [u8; 32] {
    let bytes = principal.as_slice();
    let mut subaccount = [0; 32];
    // A principal has 29 bytes at most.
    for (to, from) in subaccount.iter_mut().skip(1).zip(bytes) {
        *to = *from;
    }
    subaccount[0] = u8::try_from(bytes.len()).unwrap_or_default();
    subaccount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_anonymous_account_is_the_published_one() {
        assert_eq!(
            AccountIdentifier::default_of(Principal::anonymous()).to_string(),
            "1c7a48ba6a562aa9eaa2481a9049cdf0433b9738c992d698c31d8abf89cadc79"
        );
    }

    #[test]
    fn a_subaccount_holds_length_and_bytes() {
        let subaccount = subaccount_of(Principal::from_slice(&[7, 8, 9]));
        assert_eq!(&subaccount[..5], &[3, 7, 8, 9, 0]);
        assert_eq!(subaccount_of(Principal::management_canister()), [0; 32]);
    }
}
