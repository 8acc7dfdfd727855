//! The Internet Identity handshake: the browser leaves with our registration key and comes back with a delegation
//! chain to it (generation `registration-delegation`).

mod begin;
mod failure;
mod link;
mod redeem;

pub(crate) use begin::begin;
pub(crate) use link::callbacks;
pub(crate) use redeem::{MAX_BODY as MAX_REDEEM, redeem};

/// How long the person may take at Internet Identity.
const PENDING_SECONDS: u64 = 600;
