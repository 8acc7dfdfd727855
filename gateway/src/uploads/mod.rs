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
/// Bytes of all uploads together.
const MAX_BYTES_IN_ALL: u64 = 2 << 30;
/// How long an upload is kept, in seconds.
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
    /// All connections together have.
    #[error("there is no room for more uploads right now")]
    Full,
    /// Another request writes it.
    #[error("another request is writing it")]
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
    /// Names of uploads that a request writes right now.
    written: Arc<Mutex<HashSet<String>>>,
    _reaper: Arc<Reaper>,
}

struct Reaper(JoinHandle<()>);

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The right to write one upload; given back when dropped.
struct Turn {
    written: Arc<Mutex<HashSet<String>>>,
    id: String,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.remove(&self.id);
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
            written: Arc::default(),
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
            expires_at: Moment::now().plus(LIFETIME),
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

    /// The bytes of a connection's complete upload.
    pub(crate) async fn read(
        &self,
        authorized: &Authorized,
        id: &str,
    ) -> Result<Vec<u8>, UploadError> {
        let record = self.find(id).await?;
        if record.instance != authorized.instance || record.connection != authorized.connection {
            return Err(UploadError::Unknown);
        }
        self.finish(&record).await?;
        Ok(self.disk.read(&record.id).await?)
    }

    /// An upload whose time is not over.
    async fn find(&self, id: &str) -> Result<UploadRecord, UploadError> {
        let record = self.store.upload(id).await?;
        record
            .filter(|record| Moment::now() < record.expires_at)
            .ok_or(UploadError::Unknown)
    }

    /// Completes an upload whose bytes are all there. Bytes with another hash than the announced one go.
    async fn finish(&self, record: &UploadRecord) -> Result<(), UploadError> {
        if record.complete {
            return Ok(());
        }
        let offset = self.disk.length(&record.id).await?;
        if offset != record.bytes {
            return Err(UploadError::Incomplete {
                offset,
                bytes: record.bytes,
            });
        }
        let hash = self.disk.sha256(&record.id).await?;
        if hash != record.sha256 {
            self.disk.remove(&record.id).await?;
            return Err(UploadError::OtherHash(hex::encode(hash)));
        }
        Ok(self.store.complete_upload(&record.id).await?)
    }

    async fn remove(&self, id: &str) -> Result<(), UploadError> {
        self.store.remove_upload(id).await?;
        Ok(self.disk.remove(id).await?)
    }

    fn take_turn(&self, id: &str) -> Result<Turn, UploadError> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if !written.insert(id.to_owned()) {
            return Err(UploadError::InUse);
        }
        Ok(Turn {
            written: Arc::clone(&self.written),
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
    use super::*;

    #[test]
    fn room_is_bounded_by_upload_by_connection_and_in_all() {
        let room = |count, bytes, all_bytes| Room {
            count,
            bytes,
            all_bytes,
        };
        assert!(has_room(Room::default(), MAX_BYTES).is_ok());
        for size in [0, MAX_BYTES + 1] {
            let refused = has_room(Room::default(), size);
            assert!(matches!(refused, Err(UploadError::Size)), "{size}");
        }
        for taken in [
            room(MAX_PER_CONNECTION, 8, 8),
            room(2, MAX_BYTES_PER_CONNECTION, MAX_BYTES_PER_CONNECTION),
        ] {
            let refused = has_room(taken, 1);
            assert!(matches!(refused, Err(UploadError::ConnectionFull)));
        }
        let refused = has_room(room(0, 0, MAX_BYTES_IN_ALL), 1);
        assert!(matches!(refused, Err(UploadError::Full)));
    }
}
