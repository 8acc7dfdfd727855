//! Uploads: Wasm modules that come over HTTP beside MCP, since they should not travel through a model.
//!
//! An upload is announced with its size and hash and gets its room at once, so that what lies on the disk is bounded
//! by what was announced. Its bytes arrive in as many requests as it takes, also over a restart of this process, and
//! count only when they have the announced hash. It belongs to the connection that announced it.

mod disk;
mod http;
mod range;
mod ticket;

use std::{
    collections::HashSet,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{task::JoinHandle, time::MissedTickBehavior};

pub(crate) use self::http::parse_sha256;
use self::{disk::Disk, ticket::Ticket};
use crate::{
    connection::Authorized,
    instance::{InstanceName, PublicUrl},
    oauth::random_name,
    store::{Moment, Room, Store, StoreError, UploadRecord},
};

/// Largest upload, in bytes: the largest module that the Internet Computer takes.
pub const MAX_BYTES: u64 = 100 << 20;
/// Uploads of one connection at a time, and their bytes.
const MAX_PER_CONNECTION: u64 = 8;
const MAX_BYTES_PER_CONNECTION: u64 = 2 * MAX_BYTES;
/// Bytes of all uploads of one user's connections.
const MAX_BYTES_PER_USER: u64 = 4 * MAX_BYTES;
/// Bytes of all uploads together.
const MAX_BYTES_IN_ALL: u64 = 2 << 30;
/// How long an upload is kept that was only announced, in seconds: room costs whoever takes it nothing.
const LIFETIME_EMPTY: u64 = 3600;
/// How long it is kept from its first byte on, in seconds.
const LIFETIME: u64 = 24 * 3600;
const REAP_EVERY: Duration = Duration::from_secs(60);

/// Whether a path is an upload's or the place where uploads begin. Only there may a body be as large as
/// [`MAX_BYTES`].
pub fn is_upload(path: &str) -> bool {
    http::route(path).is_some()
}

/// Why an upload cannot begin or be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    /// There is none of this name, or it is another connection's.
    #[error("there is no such upload")]
    Unknown,
    /// Bytes are missing.
    #[error("{offset} of its {bytes} bytes have arrived")]
    Incomplete { offset: u64, bytes: u64 },
    /// Its size is nothing or too much.
    #[error("an upload has from 1 to {MAX_BYTES} bytes")]
    Size,
    /// The connection has as many uploads as it may have.
    #[error("this connection's uploads take all the room it has")]
    ConnectionFull,
    /// The user's connections have.
    #[error("the uploads of this user's connections take all the room they have")]
    UserFull,
    /// All connections together have.
    #[error("there is no room for more uploads right now")]
    Full,
    /// Another request writes or reads it.
    #[error("another request is writing or reading it")]
    InUse,
    /// The bytes are others than announced; they are gone.
    #[error("its bytes have the SHA-256 {0}, not the announced one")]
    OtherHash(String),
    /// The disk failed.
    #[error("the disk failed: {0}")]
    Disk(#[from] io::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An upload that was just announced.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) record: UploadRecord,
    /// Lets its bearer write this upload.
    pub(crate) ticket: Ticket,
    /// Where the bytes go.
    pub(crate) url: String,
}

/// All uploads. Cheap to clone; the cleaning up ends with the last clone.
#[derive(Clone)]
pub struct Uploads {
    store: Store,
    disk: Disk,
    public_url: PublicUrl,
    /// Names of uploads that a request has the turn at right now.
    in_use: Arc<Mutex<HashSet<String>>>,
    _reaper: Arc<Reaper>,
}

struct Reaper(JoinHandle<()>);

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The right to write or read one upload; given back when dropped.
struct Turn {
    in_use: Arc<Mutex<HashSet<String>>>,
    id: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.remove(&self.id);
    }
}

impl Uploads {
    /// Makes the folder for the bytes below the state directory (0700) and starts to clean it up.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(state_dir: &Path, public_url: PublicUrl, store: Store) -> io::Result<Self> {
        let disk = Disk::open(state_dir)?;
        let reaper = tokio::spawn(reap(store.clone(), disk.clone()));
        Ok(Self {
            store,
            disk,
            public_url,
            in_use: Arc::default(),
            _reaper: Arc::new(Reaper(reaper)),
        })
    }

    /// Announces an upload of so many bytes with this SHA-256.
    pub(crate) async fn begin(
        &self,
        authorized: &Authorized,
        bytes: u64,
        sha256: [u8; 32],
    ) -> Result<Begun, UploadError> {
        let ticket = Ticket::mint();
        let record = UploadRecord {
            id: random_name(),
            instance: authorized.instance,
            connection: authorized.connection.clone(),
            ticket: ticket.digest(),
            bytes,
            sha256,
            complete: false,
            expires_at: Moment::now().plus(LIFETIME_EMPTY),
        };
        let mut transaction = self.store.begin().await?;
        has_room(
            transaction.upload_room(&authorized.connection).await?,
            bytes,
        )?;
        transaction.add_upload(&record).await?;
        transaction.commit().await?;
        Ok(Begun {
            url: self.url(record.instance, &record.id),
            record,
            ticket,
        })
    }

    /// The bytes of a connection's complete upload: those that have the announced hash, and no others.
    pub(crate) async fn read(
        &self,
        authorized: &Authorized,
        id: &str,
    ) -> Result<Vec<u8>, UploadError> {
        let record = self.find(id).await?;
        if record.instance != authorized.instance || record.connection != authorized.connection {
            return Err(UploadError::Unknown);
        }
        let _turn = self.take_turn(&record.id)?;
        self.all_there(&record).await?;
        let (bytes, hash) = self.disk.read(&record.id).await?;
        self.judge(&record, hash).await?;
        Ok(bytes)
    }

    /// An upload whose time is not over.
    async fn find(&self, id: &str) -> Result<UploadRecord, UploadError> {
        let record = self.store.upload(id).await?;
        record
            .filter(|record| Moment::now() < record.expires_at)
            .ok_or(UploadError::Unknown)
    }

    /// Completes an upload whose bytes are all there.
    async fn finish(&self, record: &UploadRecord) -> Result<(), UploadError> {
        self.all_there(record).await?;
        let hash = self.disk.sha256(&record.id).await?;
        self.judge(record, hash).await
    }

    async fn all_there(&self, record: &UploadRecord) -> Result<(), UploadError> {
        let offset = self.disk.length(&record.id).await?;
        if offset != record.bytes {
            return Err(UploadError::Incomplete {
                offset,
                bytes: record.bytes,
            });
        }
        Ok(())
    }

    /// Notes that the bytes are those announced. With another hash they go, and the upload waits for the right ones.
    async fn judge(&self, record: &UploadRecord, hash: [u8; 32]) -> Result<(), UploadError> {
        let complete = hash == record.sha256;
        if !complete {
            self.disk.remove(&record.id).await?;
        }
        if complete != record.complete {
            self.store.complete_upload(&record.id, complete).await?;
        }
        if !complete {
            return Err(UploadError::OtherHash(hex::encode(hash)));
        }
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<(), UploadError> {
        self.store.remove_upload(id).await?;
        Ok(self.disk.remove(id).await?)
    }

    fn take_turn(&self, id: &str) -> Result<Turn, UploadError> {
        let mut in_use = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        if !in_use.insert(id.to_owned()) {
            return Err(UploadError::InUse);
        }
        Ok(Turn {
            in_use: Arc::clone(&self.in_use),
            id: id.to_owned(),
        })
    }

    /// The address of an upload.
    pub(crate) fn url(&self, instance: InstanceName, id: &str) -> String {
        let (origin, prefix) = (self.public_url.as_str(), instance.prefix());
        format!("{origin}{prefix}/uploads/{id}")
    }
}

fn has_room(taken: Room, bytes: u64) -> Result<(), UploadError> {
    if bytes == 0 || bytes > MAX_BYTES {
        return Err(UploadError::Size);
    }
    if taken.count >= MAX_PER_CONNECTION || taken.bytes + bytes > MAX_BYTES_PER_CONNECTION {
        return Err(UploadError::ConnectionFull);
    }
    if taken.user_bytes + bytes > MAX_BYTES_PER_USER {
        return Err(UploadError::UserFull);
    }
    if taken.all_bytes + bytes > MAX_BYTES_IN_ALL {
        return Err(UploadError::Full);
    }
    Ok(())
}

/// Takes away what nobody can use any more, also what an earlier process left.
async fn reap(store: Store, disk: Disk) {
    let mut ticks = tokio::time::interval(REAP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = reap_once(&store, &disk).await {
            tracing::error!(%error, "uploads could not be cleaned up");
        }
    }
}

async fn reap_once(store: &Store, disk: &Disk) -> Result<(), UploadError> {
    store.reap_uploads(Moment::now()).await?;
    // A file is only made for an upload that is on record, so the files have to be listed first.
    let files = disk.names().await?;
    let known = store.upload_names().await?;
    for name in files.difference(&known) {
        disk.remove(name).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, SystemTime},
    };

    use ::http::HeaderMap;
    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::{
        body,
        connection::{AccessLevel, ConnectionId},
        oauth::{Credential, Prefix},
        scope::{Scope, Scopes},
        store::Limits,
    };

    const BYTES: &[u8] = b"\0asm and so on";

    struct Bench {
        uploads: Uploads,
        store: Store,
        state: tempfile::TempDir,
    }

    impl Bench {
        async fn new() -> Self {
            let state = tempfile::tempdir().unwrap();
            let store = Store::open(state.path(), Limits::default()).await.unwrap();
            let url = PublicUrl::parse("http://127.0.0.1:8000").unwrap();
            let uploads = Uploads::open(state.path(), url, store.clone()).unwrap();
            // It would take away what belongs to no signed-in connection.
            uploads._reaper.0.abort();
            Self {
                uploads,
                store,
                state,
            }
        }

        /// An upload of [`BYTES`] as it was announced.
        async fn announced(&self) -> UploadRecord {
            let hash = Sha256::digest(BYTES).into();
            let size = BYTES.len() as u64;
            let begun = self.uploads.begin(&connection("1"), size, hash).await;
            begun.unwrap().record
        }

        async fn sent(&self, record: &UploadRecord) -> ::http::StatusCode {
            let body = body::full(BYTES);
            let sent = self.uploads.put(&record.id, &HeaderMap::new(), body).await;
            sent.unwrap_or_else(super::http::Refused::into_response)
                .status()
        }

        async fn record(&self, id: &str) -> UploadRecord {
            self.store.upload(id).await.unwrap().unwrap()
        }
    }

    fn connection(id: &str) -> Authorized {
        Authorized {
            instance: InstanceName::Beta,
            connection: ConnectionId::new(id),
            bearer: Credential::mint(Prefix::Access),
            scopes: Scopes::from_iter([Scope::Manage]),
            access_level: AccessLevel::All,
            connection_expires_at: SystemTime::now() + Duration::from_secs(3600),
            client_name: None,
        }
    }

    #[tokio::test]
    async fn bytes_that_changed_after_they_were_checked_are_not_given() {
        let bench = Bench::new().await;
        let record = bench.announced().await;
        assert_eq!(bench.sent(&record).await, 200);
        let read = async || bench.uploads.read(&connection("1"), &record.id).await;
        assert_eq!(read().await.unwrap(), BYTES);
        let other: Vec<u8> = BYTES.iter().map(|byte| byte ^ 1).collect();
        fs::write(bench.state.path().join("uploads").join(&record.id), other).unwrap();
        assert!(matches!(read().await, Err(UploadError::OtherHash(_))));
        // The right ones may be sent again.
        assert!(!bench.record(&record.id).await.complete);
        assert_eq!(bench.sent(&record).await, 200);
        assert_eq!(read().await.unwrap(), BYTES);
    }

    #[tokio::test]
    async fn an_upload_that_was_completed_meanwhile_is_not_written() {
        let bench = Bench::new().await;
        let record = bench.announced().await;
        assert_eq!(bench.sent(&record).await, 200);
        assert_eq!(bench.sent(&record).await, 409, "complete is complete");
    }

    #[tokio::test]
    async fn an_upload_is_read_by_one_at_a_time_and_not_while_it_is_written() {
        let bench = Bench::new().await;
        let record = bench.announced().await;
        assert_eq!(bench.sent(&record).await, 200);
        let turn = bench.uploads.take_turn(&record.id).unwrap();
        let read = bench.uploads.read(&connection("1"), &record.id).await;
        assert!(matches!(read, Err(UploadError::InUse)), "{read:?}");
        drop(turn);
        bench
            .uploads
            .read(&connection("1"), &record.id)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn room_that_is_only_announced_is_free_again_after_an_hour() {
        let bench = Bench::new().await;
        let (idle, used) = (bench.announced().await, bench.announced().await);
        let part = body::full(&BYTES[..4]);
        let mut range = HeaderMap::new();
        let value = format!("bytes 0-3/{}", BYTES.len());
        range.insert(::http::header::CONTENT_RANGE, value.parse().unwrap());
        bench.uploads.put(&used.id, &range, part).await.unwrap();
        let left = |record: &UploadRecord| record.expires_at.seconds() - Moment::now().seconds();
        assert!(left(&bench.record(&idle.id).await) <= LIFETIME_EMPTY);
        assert!(left(&bench.record(&used.id).await) > LIFETIME - 60);
    }

    #[test]
    fn room_is_bounded_by_upload_by_connection_by_user_and_in_all() {
        let room = |count, bytes, user_bytes, all_bytes| Room {
            count,
            bytes,
            user_bytes,
            all_bytes,
        };
        assert!(has_room(Room::default(), MAX_BYTES).is_ok());
        for size in [0, MAX_BYTES + 1] {
            let refused = has_room(Room::default(), size);
            assert!(matches!(refused, Err(UploadError::Size)), "{size}");
        }
        for taken in [
            room(MAX_PER_CONNECTION, 8, 8, 8),
            room(2, MAX_BYTES_PER_CONNECTION, 8, 8),
        ] {
            let refused = has_room(taken, 1);
            assert!(matches!(refused, Err(UploadError::ConnectionFull)));
        }
        let refused = has_room(room(0, 0, MAX_BYTES_PER_USER, MAX_BYTES_PER_USER), 1);
        assert!(matches!(refused, Err(UploadError::UserFull)));
        let refused = has_room(room(0, 0, 0, MAX_BYTES_IN_ALL), 1);
        assert!(matches!(refused, Err(UploadError::Full)));
    }
}
