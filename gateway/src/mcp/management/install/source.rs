//! Where a module comes from.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use crate::{
    fetch::{Bounds, FetchError, Fetcher},
    mcp::{arguments::Arguments, caller::Caller, catalog::Tools, failure::Failure},
    store::funding::Owner,
    uploads::{MAX_BYTES, UploadError, Uploads},
};

/// Installations at once in this process: each holds a module in memory.
const AT_ONCE: usize = 4;
/// Modules on their way from addresses at once in this process: each is held in memory too, and as slow as its site.
const FETCHED_AT_ONCE: usize = 4;
/// For a whole module from its address.
const FETCH_TIME: Duration = Duration::from_secs(120);
const SOURCES: [&str; 4] = ["upload_id", "wasm_url", "wasm_base64", "wasm_hex"];

/// What modules are taken from.
pub(in crate::mcp) struct Wasm {
    pub(in crate::mcp) uploads: Uploads,
    fetcher: Fetcher,
    fetching: Semaphore,
    turns: Semaphore,
    /// Users with an installation under way.
    busy: Mutex<HashSet<Owner>>,
}

/// A user's only installation under way; the next may begin when this is dropped.
pub(super) struct UserTurn<'a> {
    wasm: &'a Wasm,
    user: Owner,
}

impl Drop for UserTurn<'_> {
    fn drop(&mut self) {
        self.wasm.busy().remove(&self.user);
    }
}

/// A module that was named or given.
pub(super) enum Source {
    Given(Vec<u8>),
    Url(Url),
    Upload(String),
}

impl Wasm {
    pub(in crate::mcp) fn new(uploads: Uploads, fetcher: Fetcher) -> Self {
        Self {
            uploads,
            fetcher,
            fetching: Semaphore::new(FETCHED_AT_ONCE),
            turns: Semaphore::new(AT_ONCE),
            busy: Mutex::default(),
        }
    }

    /// The right of a user to install something.
    pub(super) fn user_turn(&self, user: Owner) -> Result<UserTurn<'_>, Failure> {
        if !self.busy().insert(user.clone()) {
            return Err(Failure::new(
                "BUSY",
                "Another installation of this user is under way, and they go one after the other. Nothing was done; \
                 try again when it is over.",
            ));
        }
        Ok(UserTurn { wasm: self, user })
    }

    /// The right to hold a module in memory that is here.
    pub(super) fn turn(&self) -> Result<SemaphorePermit<'_>, Failure> {
        self.turns.try_acquire().map_err(|_| busy("installs"))
    }

    fn fetching(&self) -> Result<SemaphorePermit<'_>, Failure> {
        self.fetching.try_acquire().map_err(|_| busy("fetches"))
    }

    fn busy(&self) -> MutexGuard<'_, HashSet<Owner>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(does: &str) -> Failure {
    Failure::new(
        "BUSY",
        format!(
            "This server {does} as many modules as it can at once. Nothing was done; try again in a minute."
        ),
    )
}

impl Source {
    /// The one source among the arguments.
    pub(super) fn read(arguments: &mut Arguments) -> Result<Self, Failure> {
        let mut given = Vec::new();
        for name in SOURCES {
            if let Some(text) = arguments.optional_text(name)? {
                given.push((name, text));
            }
        }
        let (Some((name, text)), None) = (given.pop(), given.pop()) else {
            return Err(Failure::new(
                "NO_WASM",
                "Give the module in exactly one way: `upload_id` (begin_upload says how to send a file), `wasm_url` \
                 with `sha256`, `wasm_base64` or `wasm_hex`.",
            ));
        };
        let text = text.trim();
        let wrong = |problem: &str| Failure::argument(name, problem);
        let source = match name {
            "upload_id" => Self::Upload(text.to_owned()),
            "wasm_url" => Self::Url(text.parse().map_err(|_| wrong("is not a URL"))?),
            "wasm_base64" => {
                let compact: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
                let decoded = STANDARD.decode(compact);
                Self::Given(decoded.map_err(|_| wrong("is not standard Base64"))?)
            }
            _ => {
                let digits = text.strip_prefix("0x").unwrap_or(text);
                Self::Given(hex::decode(digits).map_err(|_| wrong("is not hexadecimal"))?)
            }
        };
        match &source {
            Self::Given(bytes) if bytes.is_empty() => Err(wrong("is empty")),
            _ => Ok(source),
        }
    }

    /// The module's bytes, with the right to hold them. That is asked for when nothing has to be waited for any more
    /// but the disk: a slow site keeps nobody else from installing.
    pub(super) async fn fetch<'a>(
        self,
        tools: &'a Tools,
        caller: &Caller,
    ) -> Result<(Vec<u8>, SemaphorePermit<'a>), Failure> {
        let wasm = &tools.wasm;
        match self {
            Self::Given(bytes) => Ok((bytes, wasm.turn()?)),
            Self::Url(url) => {
                let _fetching = wasm.fetching()?;
                caller.progress("Fetching the module").await;
                let bounds = Bounds {
                    bytes: MAX_BYTES as usize,
                    time: FETCH_TIME,
                };
                let fetched = wasm.fetcher.file(&url, bounds).await;
                let bytes = fetched.map_err(|error| not_fetched(&error))?;
                Ok((bytes, wasm.turn()?))
            }
            Self::Upload(id) => {
                let turn = wasm.turn()?;
                let read = wasm.uploads.read(&caller.authorized, &id).await;
                Ok((read.map_err(|error| not_uploaded(&error))?, turn))
            }
        }
    }
}

fn not_fetched(error: &FetchError) -> Failure {
    tracing::info!(%error, "a module could not be fetched");
    let advice = match error {
        FetchError::Status(status) if status.is_redirection() => {
            "Redirects are not followed: give the address that it leads to."
        }
        error if error.is_about_the_url() => {
            "Check the address, or send the file with begin_upload."
        }
        _ => "Try again later, or send the file with begin_upload.",
    };
    // What the network said of an address inside is nobody's business outside.
    let cause = match error {
        FetchError::Unreachable(_) => "its site could not be reached".to_owned(),
        FetchError::Unresolved(_) => "its host's name could not be resolved".to_owned(),
        error => error.to_string(),
    };
    Failure::new(
        "WASM_NOT_FETCHED",
        format!("The module could not be fetched: {cause}. {advice}"),
    )
}

fn not_uploaded(error: &UploadError) -> Failure {
    match error {
        UploadError::Unknown => Failure::new(
            "UPLOAD_UNKNOWN",
            "This connection has no upload of this id: it expired, was deleted, or is another connection's. Call \
             begin_upload with the file's size and SHA-256; it answers with a new id and the command that sends the \
             file: curl -sS -T FILE.wasm -H 'Authorization: Bearer TICKET' URL",
        ),
        UploadError::Incomplete { offset, bytes } => Failure::new(
            "UPLOAD_INCOMPLETE",
            format!(
                "Only {offset} of the upload's {bytes} bytes have arrived. Send the rest: the command of begin_upload \
                 with `-C {offset}`."
            ),
        ),
        UploadError::OtherHash(actual) => Failure::new(
            "WRONG_HASH",
            format!(
                "The uploaded bytes have the SHA-256 {actual}, not the announced one, and were thrown away. Send the \
                 right file, or call begin_upload with the right hash."
            ),
        ),
        UploadError::InUse => Failure::new(
            "UPLOAD_IN_USE",
            "Another request is sending or installing this upload right now, so nothing was done. Try again in a few \
             seconds.",
        ),
        error => {
            tracing::error!(%error, "an upload could not be read");
            Failure::internal()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        fetch::Reach,
        instance::{InstanceName, PublicUrl},
        store::{Limits, Store},
    };

    fn read(value: Value) -> Result<Source, Failure> {
        Source::read(&mut Arguments::new(value.as_object().cloned()))
    }

    async fn wasm() -> (Wasm, tempfile::TempDir) {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path(), Limits::default()).await.unwrap();
        let url = PublicUrl::parse("http://127.0.0.1:8000").unwrap();
        let uploads = Uploads::open(state.path(), url, store).unwrap();
        (Wasm::new(uploads, Fetcher::new(Reach::new(true))), state)
    }

    fn user(id: &str) -> Owner {
        Owner {
            instance: InstanceName::Beta,
            user_id: id.to_owned(),
        }
    }

    #[tokio::test]
    async fn one_user_holds_one_turn_and_a_slow_site_none() {
        let (wasm, _state) = wasm().await;
        let first = wasm.user_turn(user("a")).unwrap();
        assert_eq!(wasm.user_turn(user("a")).err().unwrap().code, "BUSY");
        wasm.user_turn(user("b")).unwrap();
        drop(first);
        wasm.user_turn(user("a")).unwrap();

        let slow: Vec<_> = (0..FETCHED_AT_ONCE)
            .map(|_| wasm.fetching().unwrap())
            .collect();
        assert_eq!(wasm.fetching().err().unwrap().code, "BUSY");
        let held: Vec<_> = (0..AT_ONCE).map(|_| wasm.turn().unwrap()).collect();
        assert_eq!(wasm.turn().err().unwrap().code, "BUSY");
        drop((slow, held));
        drop(wasm.turn().unwrap());
    }

    #[test]
    fn a_module_comes_from_exactly_one_source() {
        let bytes = |value| match read(value) {
            Ok(Source::Given(bytes)) => bytes,
            _ => panic!("no bytes"),
        };
        assert_eq!(bytes(json!({ "wasm_base64": " AGFz\nbQ== " })), b"\0asm");
        assert_eq!(bytes(json!({ "wasm_hex": "0x0061736d" })), b"\0asm");
        assert!(matches!(
            read(json!({ "upload_id": "x" })),
            Ok(Source::Upload(_))
        ));
        for (value, code) in [
            (json!({}), "NO_WASM"),
            (json!({ "wasm_hex": "00", "upload_id": "x" }), "NO_WASM"),
            (json!({ "wasm_hex": "0" }), "BAD_ARGUMENT"),
            (json!({ "wasm_hex": "" }), "BAD_ARGUMENT"),
            (json!({ "wasm_base64": "_-" }), "BAD_ARGUMENT"),
            (json!({ "wasm_url": "not a url" }), "BAD_ARGUMENT"),
            (json!({ "wasm_url": 5 }), "BAD_ARGUMENT"),
        ] {
            let failure = read(value.clone()).err().unwrap();
            assert_eq!(failure.code, code, "{value}");
        }
    }
}
