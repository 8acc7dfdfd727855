//! icgate-devnet
