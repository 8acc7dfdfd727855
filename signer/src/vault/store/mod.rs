//! The database: SQLite in WAL mode with full synchronisation, so that nothing acknowledged is lost by a crash.
//! Every method is one transaction; those that wait at the same time share the wait for the disk.

mod branch;
mod connections;
mod continuation;
mod grants;
mod records;
mod upkeep;
mod writer;

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub use branch::Branch;
pub use connections::{Evicted, NewConnection, NewSlotRow, Opened, SlotChange};
pub use continuation::{Continuation, Continued};
pub use grants::Completion;
pub use records::{
    Completed, ConnectionRecord, GrantKeyRecord, GrantRecord, GrantState, KeyRequest, SessionKey,
    SlotRecord, User,
};

use self::writer::{Loan, Writer};
use super::{
    outer::{Outer, Place, RecordError},
    sealed::SealError,
};

const READERS: u32 = 4;
const BUSY: Duration = Duration::from_secs(10);

/// Names of the tables, as the outer layer authenticates them.
pub struct Tables;

#[allow(missing_docs, reason = "each is the table of its name")]
impl Tables {
    pub const CONNECTIONS: &'static str = "connections";
    pub const SLOTS: &'static str = "slots";
    pub const GRANTS: &'static str = "grants";
    pub const GRANT_KEYS: &'static str = "grant_keys";
}

/// The signer's records at rest.
#[derive(Debug)]
pub struct Store {
    writer: Writer,
    readers: SqlitePool,
    outer: Outer,
}

/// Why the database could not do what was asked.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made.
    #[error("the database file cannot be made: {0}")]
    File(#[from] io::Error),
    /// SQLite failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// SQLite failed for all changes that were to become durable together.
    #[error("the database failed: {0}")]
    Group(#[from] Arc<sqlx::Error>),
    /// The schema could not be brought up to date.
    #[error("the database could not be brought to this version's schema: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A record does not open.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A sealed key does not open although its slot did.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The connection was closed, or never was.
    #[error("there is no such connection")]
    NoConnection,
    /// The user has as many connections as one may have.
    #[error("the user has too many connections")]
    TooManyConnections,
}

impl Store {
    /// Opens the database, makes it (0600) when absent, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file cannot be opened or migrated.
    pub async fn open(file: &Path, outer: Outer) -> Result<Self, StoreError> {
        // SQLite gives its -wal and -shm files the mode of the database.
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(file)?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            // A deleted key is overwritten, not only unlinked.
            .pragma("secure_delete", "ON");
        let mut writer = SqliteConnection::connect_with(&options).await?;
        sqlx::migrate!("./migrations").run(&mut writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            // A connection to a file does not go away while nobody looks.
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self {
            writer: Writer::new(writer),
            readers,
            outer,
        })
    }

    /// Closes the database after everything under way is done.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A transaction that holds the write lock from the start, so that it never fails half way for want of it.
    async fn write(&self) -> Result<Loan, StoreError> {
        self.writer.begin().await
    }
}

fn place<'a>(table: &'static str, row: &'a [&'a str]) -> Place<'a> {
    Place { table, row }
}

/// SQLite's integers are signed; times after the year 2262 do not occur.
fn time(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::vault::MasterKey;

    #[tokio::test]
    async fn a_commit_waits_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let key = MasterKey::new("1", Zeroizing::new([7; 32])).unwrap();
        let outer = Outer::new(key, Vec::new());
        let store = Store::open(&directory.path().join("db"), outer).await;
        let mut tx = store.unwrap().write().await.unwrap();
        let synchronous = sqlx::query_scalar::<_, i64>("PRAGMA synchronous")
            .fetch_one(&mut *tx)
            .await;
        assert_eq!(synchronous.unwrap(), 2, "FULL");
    }
}
