//! Grants: Internet Identity's registration of a session key for a user, and what proves it: the delegation chain
//! that Internet Identity's page delivers, and the canister signatures of everything it says later.

mod chain;
mod registered;
mod user;
mod verify;

pub use chain::{Chain, ChainError};
pub use registered::RegisteredKey;
pub use user::identify;
pub(crate) use verify::is_key_of;
pub use verify::{RootKey, VerifyError};
