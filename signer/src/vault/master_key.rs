use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use zeroize::Zeroizing;

/// A named generation of the master key: 32 bytes under which the outer layer of every record lies.
pub struct MasterKey {
    generation: String,
    key: Zeroizing<[u8; 32]>,
}

impl MasterKey {
    /// Longest name of a generation, in bytes.
    pub const MAX_NAME: usize = 64;

    /// A generation of the master key.
    ///
    /// # Errors
    /// When the name is empty, too long or not printable ASCII.
    pub fn new(
        generation: impl Into<String>,
        key: Zeroizing<[u8; 32]>,
    ) -> Result<Self, MasterKeyError> {
        let generation = generation.into();
        let printable = generation.bytes().all(|byte| byte.is_ascii_graphic());
        if generation.is_empty() || generation.len() > Self::MAX_NAME || !printable {
            return Err(MasterKeyError::Name(generation));
        }
        Ok(Self { generation, key })
    }

    /// The generation's name.
    pub fn generation(&self) -> &str {
        &self.generation
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.key
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({}, ..)", self.generation)
    }
}

/// Where a generation of the master key comes from. `systemd:` and `pkcs11:` stand beside `file:` when they come.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKeySource {
    /// `file:PATH`: 64 hexadecimal digits, readable by nobody but the signer's user.
    File(PathBuf),
}

impl FromStr for MasterKeySource {
    type Err = MasterKeyError;

    fn from_str(text: &str) -> Result<Self, MasterKeyError> {
        match text.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err(MasterKeyError::Source(text.to_owned())),
        }
    }
}

impl MasterKeySource {
    /// The same source with a relative path taken from `base`.
    #[must_use]
    pub fn relative_to(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(base.join(path)),
        }
    }

    /// Reads the key and gives it its generation's name.
    ///
    /// # Errors
    /// When the source cannot be read, others may read it too, or it does not hold 32 bytes in hexadecimal.
    pub fn load(&self, generation: &str) -> Result<MasterKey, MasterKeyError> {
        match self {
            Self::File(path) => MasterKey::new(generation, read_file(path)?),
        }
    }
}

fn read_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, MasterKeyError> {
    let unreadable = |cause: io::Error| MasterKeyError::Unreadable {
        path: path.to_owned(),
        cause,
    };
    let open_to_others = is_open_to_others(&fs::metadata(path).map_err(unreadable)?);
    if open_to_others {
        return Err(MasterKeyError::OpenToOthers(path.to_owned()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(unreadable)?);
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), key.as_mut_slice())
        .map_err(|_| MasterKeyError::Malformed(path.to_owned()))?;
    Ok(key)
}

#[cfg(unix)]
fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &fs::Metadata) -> bool {
    false
}

/// Why a master key cannot be used. Never says anything about the key itself.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The provider is not one this signer knows.
    #[error("the master key provider `{0}` is not known; use file:PATH")]
    Source(String),
    /// The generation's name is not usable.
    #[error("`{0}` cannot name a master key generation: 1 to {max} printable ASCII characters without spaces", max = MasterKey::MAX_NAME)]
    Name(String),
    /// The file cannot be read.
    #[error("the master key file {path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Group or others may read the file.
    #[error("the master key file {0} is open to other users; make it mode 0600")]
    OpenToOthers(PathBuf),
    /// The file holds something else.
    #[error("the master key file {0} must hold 64 hexadecimal digits")]
    Malformed(PathBuf),
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, MasterKeySource) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, MasterKeySource::File(path))
    }

    #[test]
    fn reads_64_digits_of_a_private_file() {
        let (_dir, source) = file(&format!("{}\n", "ab".repeat(32)), 0o600);
        let key = source.load("1").unwrap();
        assert_eq!((key.generation(), key.expose()), ("1", &[0xab; 32]));
        assert!(!format!("{key:?}").contains("ab"), "{key:?}");
    }

    #[test]
    fn refuses_files_open_to_others_and_other_contents() {
        let (_dir, open) = file(&"ab".repeat(32), 0o640);
        assert!(matches!(
            open.load("1"),
            Err(MasterKeyError::OpenToOthers(_))
        ));
        let (_dir, short) = file(&"ab".repeat(31), 0o600);
        assert!(matches!(short.load("1"), Err(MasterKeyError::Malformed(_))));
        let (_dir, good) = file(&"ab".repeat(32), 0o600);
        for name in ["", "two words", &"n".repeat(65)] {
            assert!(
                matches!(good.load(name), Err(MasterKeyError::Name(_))),
                "{name:?}"
            );
        }
        assert!("env:KEY".parse::<MasterKeySource>().is_err());
        assert!("file:".parse::<MasterKeySource>().is_err());
    }
}
