//! Paying for canisters without ever paying twice.
//!
//! What a user asks for becomes an [`Intent`], which is durable before any payment leaves. Everything that is sent
//! for it is made of the intent alone, so that sending it again is recognised: by the ledgers through
//! `created_at_time`, by the cycles minting canister through the block. [`machine`] decides what is sent next and
//! what an answer means; it knows neither clock nor network nor database.

pub mod account;
pub mod amount;
pub mod intent;
pub mod machine;
pub mod request;
