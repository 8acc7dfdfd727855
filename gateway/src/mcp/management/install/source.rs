//! Where a module comes from.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::{
    fetch::{Bounds, FetchError, Fetcher},
    mcp::{arguments::Arguments, caller::Caller, catalog::Tools, failure::Failure},
    uploads::{MAX_BYTES, UploadError, Uploads},
};

/// Installations at once in this process: each holds a module in memory.
const AT_ONCE: usize = 4;
/// For a whole module from its address.
const FETCH_TIME: Duration = Duration::from_secs(120);
const SOURCES: [&str; 4] = ["upload_id", "wasm_url", "wasm_base64", "wasm_hex"];

/// What modules are taken from.
pub(in crate::mcp) struct Wasm {
    pub(in crate::mcp) uploads: Uploads,
    fetcher: Fetcher,
    turns: Arc<Semaphore>,
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
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The right to hold a module in memory.
    pub(super) fn turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.turns).try_acquire_owned().map_err(|_| {
            Failure::new(
                "BUSY",
                "This server installs as many modules as it can at once. Nothing was done; try again in a minute.",
            )
        })
    }
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

    /// The module's bytes.
    pub(super) async fn fetch(self, tools: &Tools, caller: &Caller) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Given(bytes) => Ok(bytes),
            Self::Url(url) => {
                caller.progress("Fetching the module").await;
                let bounds = Bounds {
                    bytes: MAX_BYTES as usize,
                    time: FETCH_TIME,
                };
                let fetched = tools.wasm.fetcher.file(&url, bounds).await;
                fetched.map_err(|error| not_fetched(&error))
            }
            Self::Upload(id) => {
                let read = tools.wasm.uploads.read(&caller.authorized, &id).await;
                read.map_err(|error| not_uploaded(&error))
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

    fn read(value: Value) -> Result<Source, Failure> {
        Source::read(&mut Arguments::new(value.as_object().cloned()))
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
