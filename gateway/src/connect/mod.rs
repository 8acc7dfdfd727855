//! The Internet Identity handshake: the browser leaves with our registration key and comes back with a delegation
//! chain to it (generation `registration-delegation`).

mod begin;
mod failure;
mod link;
mod redeem;

pub(crate) use begin::begin;
pub(crate) use failure::too_often;
pub(crate) use link::callbacks;
pub(crate) use redeem::{MAX_BODY as MAX_REDEEM, redeem};
