//! The files that uploads' bytes lie in. How much of an upload has arrived is its file's length: nothing else has to
//! be kept in step with it.

use std::{
    collections::HashSet,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use tokio::{
    fs::{self, File, OpenOptions},
    io::{AsyncReadExt, AsyncSeekExt},
};

const FOLDER: &str = "uploads";
const READ_BYTES: usize = 64 << 10;

/// The folder. Names of files come from the database, never from a request.
#[derive(Debug, Clone)]
pub(super) struct Disk(Arc<Path>);

impl Disk {
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        let folder = state_dir.join(FOLDER);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        Ok(Self(folder.into()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Bytes that have arrived.
    pub(super) async fn length(&self, name: &str) -> io::Result<u64> {
        match fs::metadata(self.path(name)).await {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The file, to be written from `start` on; what it has from there goes.
    pub(super) async fn write_from(&self, name: &str, start: u64) -> io::Result<File> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path(name))
            .await?;
        file.set_len(start).await?;
        file.seek(io::SeekFrom::Start(start)).await?;
        Ok(file)
    }

    /// The bytes and the hash of just these bytes.
    pub(super) async fn read(&self, name: &str) -> io::Result<(Vec<u8>, [u8; 32])> {
        let mut bytes = Vec::new();
        let hash = self
            .each(name, |part| bytes.extend_from_slice(part))
            .await?;
        Ok((bytes, hash))
    }

    pub(super) async fn sha256(&self, name: &str) -> io::Result<[u8; 32]> {
        self.each(name, |_| ()).await
    }

    /// Goes through a file once. Gives its hash.
    async fn each(&self, name: &str, mut take: impl FnMut(&[u8])) -> io::Result<[u8; 32]> {
        let mut file = File::open(self.path(name)).await?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match file.read(&mut buffer).await? {
                0 => return Ok(hasher.finalize().into()),
                read => {
                    hasher.update(&buffer[..read]);
                    take(&buffer[..read]);
                }
            }
        }
    }

    pub(super) async fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The names of all files.
    pub(super) async fn names(&self) -> io::Result<HashSet<String>> {
        let mut names = HashSet::new();
        let mut entries = fs::read_dir(&self.0).await?;
        while let Some(entry) = entries.next_entry().await? {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_file_is_the_owners_only_and_its_length_is_what_has_arrived() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        assert_eq!(disk.length("a").await.unwrap(), 0);
        for (start, bytes, all) in [
            (0, "hello", "hello"),
            (5, " you", "hello you"),
            (5, "!", "hello!"),
        ] {
            let mut file = disk.write_from("a", start).await.unwrap();
            file.write_all(bytes.as_bytes()).await.unwrap();
            file.flush().await.unwrap();
            let (bytes, hash) = disk.read("a").await.unwrap();
            assert_eq!(bytes, all.as_bytes());
            assert_eq!(hash, *Sha256::digest(all));
            assert_eq!(disk.length("a").await.unwrap(), all.len() as u64);
        }
        assert_eq!(disk.sha256("a").await.unwrap(), *Sha256::digest("hello!"));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path().join("uploads")), 0o700);
        assert_eq!(mode(&folder.path().join("uploads/a")), 0o600);
        assert!(disk.names().await.unwrap().contains("a"));
        disk.remove("a").await.unwrap();
        disk.remove("a").await.unwrap();
        assert!(disk.names().await.unwrap().is_empty());
    }
}
