//! Connections: one client's authorized link to one user at one instance. Begun before the user signs in, completed
//! with Internet Identity's delegation chain, opened by the secrets of its credentials, and ended once.

mod begin;
mod branch;
mod ceiling;
mod complete;
mod continuation;
mod doubt;
mod end;
mod handshake;
mod id;
mod open;
mod prove;
mod renewal;
mod sign;
mod slots;

pub use begin::{Begun, NewSlot};
pub use branch::Branched;
pub use ceiling::{AccessLevel, Ceiling, Scopes};
pub use complete::Completed;
pub(crate) use complete::Completing;
pub(crate) use doubt::Doubts;
pub use end::Described;
pub use handshake::Handshake;
pub use id::ConnectionId;
pub(crate) use open::{OpenConnection, OpenConnections};
pub use sign::{AccountChoice, AccountName, SignRequest, Signed, Warm};
