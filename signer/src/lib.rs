//! icgate-signer
