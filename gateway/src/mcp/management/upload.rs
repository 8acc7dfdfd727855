//! `begin_upload`: room for a Wasm module that is sent over HTTP, and the command that sends it.

use serde_json::json;

use super::{About, Effect, number, operator::may_update};
use crate::{
    mcp::{
        arguments::Arguments,
        caller::Caller,
        catalog::{Entry, Output, Tools},
        failure::Failure,
    },
    uploads::{MAX_BYTES, UploadError, parse_sha256},
};

pub(super) fn entry() -> Entry {
    About {
        name: "begin_upload",
        title: "Begin a Wasm upload",
        description: "Get an `upload_id` for install_code and the curl command that sends the file from a shell, so \
                      that Wasm need not pass through you. The file has to begin to arrive within an hour and is \
                      kept for a day; it goes on where it broke off.",
        arguments: json!({
            "bytes": { "type": "integer", "minimum": 1, "description": "Size of the file (wc -c)" },
            "sha256": { "type": "string", "description": "Of the file, in hexadecimal (sha256sum)" },
        }),
        required: &["bytes", "sha256"],
        result: json!({
            "upload_id": { "type": "string" },
            "url": { "type": "string" },
            "command": { "type": "string" },
            "expires_at": { "type": "string" },
        }),
        effect: Effect::Adds,
    }
    .build(false, |tools, caller, arguments| Box::pin(run(tools, caller, arguments)))
}

async fn run(tools: &Tools, caller: &Caller, mut arguments: Arguments) -> Result<Output, Failure> {
    may_update(caller)?;
    let bytes = number::take(&mut arguments, "bytes")?
        .ok_or_else(|| Failure::argument("bytes", "is missing"))?;
    let sha256 = sha256(&arguments.text("sha256")?)?;
    arguments.finish()?;
    let bytes = u64::try_from(bytes.0).unwrap_or(u64::MAX);
    let begun = tools
        .wasm
        .uploads
        .begin(&caller.authorized, bytes, sha256)
        .await
        .map_err(|error| not_begun(&error))?;
    let (id, url) = (&begun.record.id, &begun.url);
    let expires_at = number::time(begun.record.expires_at.nanos());
    let command = format!(
        "curl -sS -T FILE.wasm -H 'Authorization: Bearer {}' {url}",
        begun.ticket.text()
    );
    let text = format!(
        "Run this in a shell, with the file's name in place of FILE.wasm:\n{command}\n\
         Then call install_code with upload_id \"{id}\". If it breaks off, the same address says with GET how many \
         bytes arrived (`offset`); add `-C OFFSET` to go on there. Begin before {expires_at}; from its first byte on \
         it is kept for a day."
    );
    let structured = json!({
        "upload_id": id, "url": url, "command": command, "expires_at": expires_at,
    });
    Ok(Output::new(text, structured))
}

/// A SHA-256 as an argument.
pub(super) fn sha256(text: &str) -> Result<[u8; 32], Failure> {
    parse_sha256(text)
        .ok_or_else(|| Failure::argument("sha256", "must be a SHA-256 in 64 hexadecimal digits"))
}

fn not_begun(error: &UploadError) -> Failure {
    match error {
        UploadError::Size => Failure::argument("bytes", format!("must be from 1 to {MAX_BYTES}")),
        UploadError::ConnectionFull => Failure::new(
            "TOO_MANY_UPLOADS",
            "This connection's uploads take all the room it has. Send DELETE to the address of one that is no longer \
             needed, or wait until one expires.",
        ),
        UploadError::UserFull => Failure::new(
            "TOO_MANY_UPLOADS",
            "The uploads of all the user's connections take all the room a user has. Send DELETE to the address of one \
             that is no longer needed, or wait until one expires: an hour if nothing of it was sent, else a day.",
        ),
        UploadError::Full => Failure::new(
            "NO_ROOM",
            "This server has no room for more uploads right now. Try again later, or use `wasm_url` with `sha256`.",
        ),
        error => {
            tracing::error!(%error, "an upload could not begin");
            Failure::internal()
        }
    }
}
