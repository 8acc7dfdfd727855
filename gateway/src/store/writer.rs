//! The one connection that writes, and how its transactions share an fsync.
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

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use sqlx::{Connection, SqliteConnection};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, mpsc, oneshot},
    time::timeout,
};

use super::StoreError;

/// Transactions in one group, so that the first never waits long for the last.
const GROUP: usize = 64;

/// How long a transaction waits for its turn: far more than those before it take.
const PATIENCE: Duration = Duration::from_secs(30);

const FIRST: &str = "BEGIN IMMEDIATE; SAVEPOINT one";
const AFTER_ONE_THAT_STAYS: &str = "RELEASE one; SAVEPOINT one";
const AFTER_ONE_THAT_DOES_NOT: &str = "ROLLBACK TO one";
const COMMIT: &str = "COMMIT";
const COMMIT_WITHOUT_THE_LAST: &str = "ROLLBACK TO one; COMMIT";

/// What a whole group is told: it cannot be given away more than once, but shared.
type Outcome = Result<(), Arc<sqlx::Error>>;
/// Who waits for the connection.
type Asker = oneshot::Sender<Result<Loan, Arc<sqlx::Error>>>;

/// The way to the connection. Cheap to clone; the connection is closed after the last clone's last transaction.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Asker>,
}

impl Writer {
    /// Hands the connection over to its task.
    pub(super) fn new(connection: SqliteConnection) -> Self {
        let (queue, asking) = mpsc::channel(GROUP);
        let groups = Groups {
            connection: Arc::new(Mutex::new(connection)),
            asking,
        };
        tokio::spawn(groups.serve());
        Self { queue }
    }

    /// Waits for the connection.
    ///
    /// # Errors
    /// When no transaction can be begun: another process holds the write lock for too long, or the disk fails.
    pub(super) async fn begin(&self) -> Result<Loan, StoreError> {
        let (asker, lent) = oneshot::channel();
        let lent = async {
            self.queue.send(asker).await.map_err(|_| gone())?;
            lent.await.map_err(|_| gone())
        };
        let lent = timeout(PATIENCE, lent).await;
        Ok(lent.map_err(|_| StoreError::Sqlite(sqlx::Error::PoolTimedOut))???)
    }
}

/// The connection inside a transaction of its holder's. Dropped without [`commit`](Self::commit), nothing of it
/// happened.
pub(super) struct Loan {
    connection: OwnedMutexGuard<SqliteConnection>,
    stays: oneshot::Sender<oneshot::Sender<Outcome>>,
}

impl Loan {
    /// Gives the connection back and waits until what was done with it is on disk.
    ///
    /// # Errors
    /// When the group could not be made durable; nothing of it happened then.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let (told, outcome) = oneshot::channel();
        let Self { connection, stays } = self;
        drop(connection);
        stays.send(told).map_err(|_| gone())?;
        Ok(outcome.await.map_err(|_| gone())??)
    }
}

impl Deref for Loan {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

/// The task behind a [`Writer`].
struct Groups {
    connection: Arc<Mutex<SqliteConnection>>,
    asking: mpsc::Receiver<Asker>,
}

impl Groups {
    async fn serve(mut self) {
        while let Some(first) = self.asking.recv().await {
            let mut told = Vec::new();
            let outcome = self.group(first, &mut told).await;
            if outcome.is_err() {
                // After some failures SQLite has rolled back by itself, and there is nothing left to roll back.
                let _ = self.execute("ROLLBACK").await;
            }
            for told in told {
                // Who went away does not want to know.
                let _ = told.send(outcome.clone());
            }
        }
        if let Some(connection) = Arc::into_inner(self.connection) {
            let _ = connection.into_inner().close().await;
        }
    }

    /// Makes one group; `told` becomes those who want to know how it ended.
    async fn group(&mut self, first: Asker, told: &mut Vec<oneshot::Sender<Outcome>>) -> Outcome {
        let (mut asker, mut step) = (first, FIRST);
        let mut room = GROUP;
        loop {
            if let Err(error) = self.execute(step).await {
                let _ = asker.send(Err(Arc::clone(&error)));
                return Err(error);
            }
            let stays = self.lend(asker).await;
            room -= 1;
            let next = if room > 0 { self.waiting().await } else { None };
            let (between, end) = match stays {
                Some(teller) => {
                    told.push(teller);
                    (AFTER_ONE_THAT_STAYS, COMMIT)
                }
                None => (AFTER_ONE_THAT_DOES_NOT, COMMIT_WITHOUT_THE_LAST),
            };
            match next {
                Some(next) => (asker, step) = (next, between),
                None => return self.execute(end).await,
            }
        }
    }

    /// Lends the connection until it comes back; gives who wants to be told of the group's end, unless nothing of the
    /// transaction is to stay.
    async fn lend(&self, asker: Asker) -> Option<oneshot::Sender<Outcome>> {
        let connection = Arc::clone(&self.connection).lock_owned().await;
        let (stays, returned) = oneshot::channel();
        // An asker that went away drops the loan at once.
        let _ = asker.send(Ok(Loan { connection, stays }));
        returned.await.ok()
    }

    /// The next one who waits, if any does. Requests that are about to ask get the time to do so.
    async fn waiting(&mut self) -> Option<Asker> {
        if let Ok(asker) = self.asking.try_recv() {
            return Some(asker);
        }
        tokio::task::yield_now().await;
        self.asking.try_recv().ok()
    }

    async fn execute(&self, statements: &'static str) -> Outcome {
        sqlx::query(statements)
            .execute(&mut *self.connection.lock().await)
            .await?;
        Ok(())
    }
}

fn gone() -> StoreError {
    StoreError::Sqlite(sqlx::Error::WorkerCrashed)
}
