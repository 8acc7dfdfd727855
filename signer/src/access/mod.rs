//! Who may call what: the client certificate names a subject, the configuration gives subjects roles, and each method
//! names the roles that may use it.

mod peer;
mod role;

pub use peer::{Peer, RoleRule};
pub use role::{ANY_ROLE, GATEWAY_ONLY, Role, UnknownRole, require};
