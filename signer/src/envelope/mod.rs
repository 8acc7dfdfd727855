//! Requests to the Internet Computer: built here from their decoded fields, decided about, and signed. Nothing the
//! signer did not build is ever signed.

mod call;
mod decide;
mod identity;
mod sign;

pub use call::{Call, Digest, Invocation, Kind};
pub use decide::{Bounds, Refusal, Rule, Standing, decide};
pub use identity::Identity;
pub use sign::{SignedEnvelope, sign};
