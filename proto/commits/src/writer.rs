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
use tokio_util::sync::CancellationToken;

/// Transactions in one group, so that the first never waits long for the last.
const GROUP: usize = 64;

/// How long a transaction waits for its turn: far more than those before it take.
const PATIENCE: Duration = Duration::from_secs(30);

const FIRST: &str = "BEGIN IMMEDIATE; SAVEPOINT one";
const AFTER_ONE_THAT_STAYS: &str = "RELEASE one; SAVEPOINT one";
const AFTER_ONE_THAT_DOES_NOT: &str = "ROLLBACK TO one";
const COMMIT: &str = "COMMIT";
const COMMIT_WITHOUT_THE_LAST: &str = "ROLLBACK TO one; COMMIT";

/// Why SQLite failed. A whole group is told the same one.
pub type Failure = Arc<sqlx::Error>;
type Outcome = Result<(), Failure>;
/// Who waits for the connection.
type Asker = oneshot::Sender<Result<Loan, Failure>>;

/// The way to the connection. Cheap to clone; the connection is closed after the last clone's last transaction, or by
/// [`close`](Self::close).
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::Sender<Asker>,
    end: CancellationToken,
}

impl Writer {
    /// Hands the connection over to its task.
    pub fn new(connection: SqliteConnection) -> Self {
        let (queue, asking) = mpsc::channel(GROUP);
        let end = CancellationToken::new();
        let groups = Groups {
            connection: Arc::new(Mutex::new(connection)),
            asking,
        };
        tokio::spawn(groups.serve(end.clone()));
        Self { queue, end }
    }

    /// Waits for the connection.
    ///
    /// # Errors
    /// When no transaction can be begun: another process holds the write lock for too long, the disk fails, or the
    /// connection is closed.
    pub async fn begin(&self) -> Result<Loan, Failure> {
        let (asker, lent) = oneshot::channel();
        let lent = async {
            self.queue.send(asker).await.map_err(|_| gone())?;
            lent.await.map_err(|_| gone())
        };
        let lent = timeout(PATIENCE, lent).await;
        lent.map_err(|_| Arc::new(sqlx::Error::PoolTimedOut))??
    }

    /// Closes the connection when those who wait for it have had it.
    pub async fn close(&self) {
        self.end.cancel();
        self.queue.closed().await;
    }
}

/// The connection inside a transaction of its holder's. Dropped without [`commit`](Self::commit), nothing of it
/// happened.
#[derive(Debug)]
pub struct Loan {
    connection: OwnedMutexGuard<SqliteConnection>,
    stays: oneshot::Sender<oneshot::Sender<Outcome>>,
}

impl Loan {
    /// Gives the connection back and waits until what was done with it is on disk.
    ///
    /// # Errors
    /// When the group could not be made durable; nothing of it happened then.
    pub async fn commit(self) -> Result<(), Failure> {
        let (told, outcome) = oneshot::channel();
        let Self { connection, stays } = self;
        drop(connection);
        stays.send(told).map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
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
    async fn serve(mut self, end: CancellationToken) {
        while let Some(first) = self.first(&end).await {
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

    async fn first(&mut self, end: &CancellationToken) -> Option<Asker> {
        tokio::select! {
            biased;
            asker = self.asking.recv() => asker,
            () = end.cancelled() => None,
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

fn gone() -> Failure {
    Arc::new(sqlx::Error::WorkerCrashed)
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use tempfile::TempDir;

    use super::*;

    struct House {
        writer: Writer,
        reader: SqliteConnection,
        _directory: TempDir,
    }

    impl House {
        async fn open() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let options = SqliteConnectOptions::new()
                .filename(directory.path().join("db"))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal);
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            // A child without parent is noticed by the COMMIT and not before.
            let schema = "CREATE TABLE names (name TEXT PRIMARY KEY);
                CREATE TABLE children (
                    parent TEXT REFERENCES names (name) DEFERRABLE INITIALLY DEFERRED)";
            sqlx::query(schema).execute(&mut connection).await.unwrap();
            Self {
                writer: Writer::new(connection),
                reader: SqliteConnection::connect_with(&options).await.unwrap(),
                _directory: directory,
            }
        }

        /// What is on disk.
        async fn names(&mut self) -> Vec<String> {
            let names = sqlx::query_scalar("SELECT name FROM names ORDER BY rowid");
            names.fetch_all(&mut self.reader).await.unwrap()
        }

        /// A transaction that asks now, while another holds the connection: it will be in the same group.
        async fn asks(&self) -> tokio::task::JoinHandle<Loan> {
            let before = self.writer.queue.capacity();
            let writer = self.writer.clone();
            let asking = tokio::spawn(async move { writer.begin().await.unwrap() });
            while self.writer.queue.capacity() == before {
                tokio::task::yield_now().await;
            }
            asking
        }
    }

    async fn add(loan: &mut Loan, name: &str) -> Result<(), sqlx::Error> {
        let insert = sqlx::query("INSERT INTO names (name) VALUES (?)").bind(name);
        insert.execute(&mut **loan).await.map(drop)
    }

    async fn seen(loan: &mut Loan) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM names");
        count.fetch_one(&mut **loan).await.unwrap()
    }

    #[tokio::test]
    async fn who_waits_at_the_same_time_is_on_disk_together_and_told_then() {
        let mut house = House::open().await;
        let mut first = house.writer.begin().await.unwrap();
        let second = house.asks().await;
        add(&mut first, "first").await.unwrap();
        let first = tokio::spawn(first.commit());
        let mut second = second.await.unwrap();
        // The second sees the first, nobody else does, and the first waits for the disk.
        assert_eq!(seen(&mut second).await, 1);
        assert!(house.names().await.is_empty());
        assert!(!first.is_finished());
        add(&mut second, "second").await.unwrap();
        second.commit().await.unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(house.names().await, ["first", "second"]);
    }

    #[tokio::test]
    async fn alone_nobody_is_waited_for() {
        let mut house = House::open().await;
        for name in ["a", "b"] {
            let mut loan = house.writer.begin().await.unwrap();
            add(&mut loan, name).await.unwrap();
            loan.commit().await.unwrap();
        }
        assert_eq!(house.names().await, ["a", "b"]);
    }

    #[tokio::test]
    async fn one_that_fails_or_is_dropped_takes_only_itself_back() {
        let mut house = House::open().await;
        let mut first = house.writer.begin().await.unwrap();
        let (failing, third) = (house.asks().await, house.asks().await);
        add(&mut first, "first").await.unwrap();
        let first = tokio::spawn(first.commit());
        let mut failing = failing.await.unwrap();
        add(&mut failing, "gone").await.unwrap();
        assert!(
            add(&mut failing, "first").await.is_err(),
            "the name is taken"
        );
        let last = house.asks().await;
        drop(failing);
        let mut third = third.await.unwrap();
        assert_eq!(seen(&mut third).await, 1);
        add(&mut third, "third").await.unwrap();
        let third = tokio::spawn(third.commit());
        // The last of a group may be the one that is dropped.
        let mut last = last.await.unwrap();
        add(&mut last, "gone as well").await.unwrap();
        drop(last);
        first.await.unwrap().unwrap();
        third.await.unwrap().unwrap();
        assert_eq!(house.names().await, ["first", "third"]);
    }

    #[tokio::test]
    async fn whoever_goes_away_neither_stops_the_others_nor_loses_what_was_given_back() {
        let mut house = House::open().await;
        let mut first = house.writer.begin().await.unwrap();
        let (gone, last) = (house.asks().await, house.asks().await);
        gone.abort();
        add(&mut first, "first").await.unwrap();
        let committing = tokio::spawn(first.commit());
        let mut last = last.await.unwrap();
        committing.abort();
        assert!(committing.await.unwrap_err().is_cancelled());
        add(&mut last, "last").await.unwrap();
        last.commit().await.unwrap();
        assert_eq!(house.names().await, ["first", "last"]);
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_committed_never_happened_and_all_are_told() {
        let mut house = House::open().await;
        let mut first = house.writer.begin().await.unwrap();
        let second = house.asks().await;
        add(&mut first, "first").await.unwrap();
        let first = tokio::spawn(first.commit());
        let mut second = second.await.unwrap();
        let orphan = sqlx::query("INSERT INTO children (parent) VALUES ('nobody')");
        orphan.execute(&mut *second).await.unwrap();
        let both = (second.commit().await, first.await.unwrap());
        assert!(matches!(&both, (Err(one), Err(other)) if Arc::ptr_eq(one, other)));
        assert!(house.names().await.is_empty());
        // The next one finds everything in order.
        let mut next = house.writer.begin().await.unwrap();
        add(&mut next, "next").await.unwrap();
        next.commit().await.unwrap();
        assert_eq!(house.names().await, ["next"]);
    }

    #[tokio::test]
    async fn a_group_has_an_end_also_when_somebody_always_waits() {
        let mut house = House::open().await;
        let mut loan = house.writer.begin().await.unwrap();
        let mut committing = Vec::new();
        for count in 0..GROUP {
            let next = house.asks().await;
            add(&mut loan, &count.to_string()).await.unwrap();
            committing.push(tokio::spawn(loan.commit()));
            loan = next.await.unwrap();
        }
        // The next one holds the connection, and yet all of the full group are told.
        for committed in committing {
            committed.await.unwrap().unwrap();
        }
        assert_eq!(house.names().await.len(), GROUP);
        drop(loan);
    }

    #[tokio::test]
    async fn closing_waits_for_what_is_under_way_and_lets_nobody_in_afterwards() {
        let mut house = House::open().await;
        let mut loan = house.writer.begin().await.unwrap();
        let writer = house.writer.clone();
        let closing = tokio::spawn(async move { writer.close().await });
        add(&mut loan, "last").await.unwrap();
        loan.commit().await.unwrap();
        closing.await.unwrap();
        assert!(house.writer.begin().await.is_err());
        assert_eq!(house.names().await, ["last"]);
    }
}
