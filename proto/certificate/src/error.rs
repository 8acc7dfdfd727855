use std::time::Duration;

/// Why a certificate, or a signature that rests on one, is not believed or not of use.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is not the CBOR that the interface specification describes.
    #[error("it is not what a certificate looks like: {0}")]
    Malformed(String),
    /// A key is not a BLS12-381 key in DER, or not one that anybody can sign for.
    #[error("a key in it is not a BLS12-381 key")]
    Key,
    /// A BLS signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// The word of the root subnet about a subnet rests on yet another subnet.
    #[error("its subnet delegation is itself delegated")]
    DelegatedTwice,
    /// What the root subnet says of a subnet lacks something that the interface specification requires. The
    /// certificate itself was not looked at.
    #[error("its subnet delegation has no {0}")]
    Delegation(&'static str),
    /// The subnet that signed it does not host the canister.
    #[error("its subnet may not speak for this canister")]
    ForeignCanister,
    /// It was made longer ago than answers are believed.
    #[error("it is older than {} seconds", .0.as_secs())]
    Outdated(Duration),
    /// The canister did not certify what it is said to have signed.
    #[error("its canister did not sign this")]
    NotSigned,
    /// It neither holds what was asked for nor proves that it does not exist.
    #[error("it does not cover what was asked for")]
    NotCovered,
    /// Something is missing that the interface specification requires.
    #[error("it has no {0}")]
    Incomplete(&'static str),
    /// The check broke off; the certificate may be good.
    #[error("the check broke off: {0}")]
    BrokenOff(String),
}

impl CertificateError {
    /// Whether the certificate is genuine and only says less than was asked for.
    pub fn is_of_content(&self) -> bool {
        matches!(self, Self::NotCovered | Self::Incomplete(_))
    }
}
