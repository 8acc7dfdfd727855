//! What the gateway keeps on disk: one SQLite database in WAL mode.
//!
//! Every change is made inside a [`Transaction`], of which there is one at a time, and is on disk before
//! [`Transaction::commit`] returns; those that wait at the same time share the wait for the disk. Reads go beside it.

mod approvals;
mod chores;
mod credentials;
mod device;
mod digest;
mod encoding;
pub mod funding;
mod imported;
mod key_request;
mod limits;
mod managed;
mod moment;
mod read;
mod reaper;
pub mod records;
mod share;
mod siblings;
mod transaction;
mod uploads;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    Connection, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub use approvals::Approval;
pub use chores::DueChore;
pub use digest::Digest;
pub use limits::Limits;
pub use managed::Managed;
pub use moment::Moment;
pub use siblings::Listed;
pub use transaction::{Committed, Registered, Transaction};
pub use uploads::{Room, UploadRecord};

use self::writer::Writer;

const FILE: &str = "gateway.db";
const READERS: u32 = 4;
/// How long to wait for another process (a successor, a command) that holds the write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the database could not do what was asked.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state directory or the database file cannot be made.
    #[error("{path}: {cause}")]
    Directory {
        /// The path.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The schema is newer than this program or was changed by hand.
    #[error("the database's schema does not fit this version: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// SQLite failed.
    #[error("the database failed: {0}")]
    Sqlite(#[from] sqlx::Error),
    /// SQLite failed for all transactions that were to become durable together.
    #[error("the database failed: {0}")]
    Group(#[from] Arc<sqlx::Error>),
    /// A record is not what this program writes.
    #[error("the database holds a record that cannot be read: {0}")]
    Corrupt(&'static str),
}

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    writer: Writer,
    readers: SqlitePool,
    limits: Limits,
}

impl Store {
    /// Opens `gateway.db` in the directory, makes both if they are not there (0700 and 0600), and brings the
    /// schema to this version.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn open(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        let file = directory.join(FILE);
        private_file(directory, &file)?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged change survives kill -9 and power loss.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let mut writer = SqliteConnection::connect_with(&options).await?;
        sqlx::migrate!("./migrations").run(&mut writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            // A connection to a file does not go away while nobody looks.
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self {
            writer: Writer::new(writer),
            readers,
            limits,
        })
    }

    /// Begins the one transaction that may write; waits for the one before it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(Transaction::new(self.writer.begin().await?, self.limits))
    }
}

fn private_file(directory: &Path, file: &Path) -> Result<(), StoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| StoreError::Directory { path, cause }
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed(directory))?;
    // SQLite gives its -wal and -shm files the mode of the database.
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)
        .map(drop)
        .map_err(failed(file))
}
