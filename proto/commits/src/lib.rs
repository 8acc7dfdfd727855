//! SQLite transactions that share an fsync: the one connection of a database that writes.
//!
//! Waiting for the disk costs more than everything else in a transaction. So those that are asked for while the disk
//! is busy are made one after the other in one SQLite transaction, a *group*, each in a savepoint of its own; the
//! group is committed as soon as nobody else waits. Alone, a transaction waits for nothing but its own fsync; the
//! longer the disk takes, the more share the next one.
//!
//! - Order and isolation: one task owns the connection and lends it to one transaction at a time, first come, first
//!   served. Each sees all of those before it and nothing half done.
//! - A transaction that fails, or is dropped wherever it stood, goes back to its savepoint. Its neighbours do not
//!   notice.
//! - No commit returns before its group is on disk. That goes for a transaction that only read, too: what it read may
//!   be a neighbour's that is not on disk yet.
//! - A group that cannot be committed never happened, and everyone in it is told.
//! - Nobody has to be there: the task, not whoever waits, makes the group durable.
#![forbid(unsafe_code)]

mod writer;

pub use writer::{Failure, Loan, Writer};
