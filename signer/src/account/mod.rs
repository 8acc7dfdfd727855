//! App identities: who the user is at an app, and the short-lived delegations that prove it.

mod app_identity;
mod delegations;
mod flight;
mod names;
mod origin;

pub use app_identity::AppIdentity;
pub use delegations::{AccountKey, Delegations};
pub use flight::{Flights, Landing};
pub use names::{Accounts, choose};
pub use origin::{InvalidOrigin, TargetOrigin};
