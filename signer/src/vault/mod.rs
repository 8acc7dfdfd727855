//! What keeps keys safe at rest: the outer layer under the master key, the inner seals to a connection, and the
//! database they lie in. Every step is an existing construction from a reviewed crate.

mod entropy;
mod key;
mod master_key;
mod outer;
mod sealed;
mod slot;
mod store;

pub use entropy::random;
pub use key::PrivateKey;
pub use master_key::{MasterKey, MasterKeyError, MasterKeySource};
pub use outer::{Outer, Place, RecordError};
pub use sealed::{ConnectionKeyPair, ConnectionPublicKey, SealError, SealPurpose, Sealed};
pub use slot::{SlotKey, slot_id};
pub use store::{
    Branch, Completed, Completion, ConnectionRecord, Continuation, Continued, Evicted,
    GrantKeyRecord, GrantRecord, GrantState, KeyRequest, NewConnection, NewSlotRow, Opened,
    SessionKey, SlotChange, SlotRecord, Store, StoreError, Tables, User,
};
