//! `install_code`: a module from one of four sources into a canister.

mod argument;
mod deploy;
mod module;
mod source;

use serde_json::json;
use sha2::{Digest, Sha256};

use self::{
    deploy::Deployment,
    module::{Module, NotWasm},
    source::Source,
};
use super::{
    About, Effect,
    operator::{Operator, may_update},
    upload,
    wire::{InstallMode, Persistence, UpgradeOptions},
};
use crate::mcp::{
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Output, Tools},
    failure::Failure,
};

pub(in crate::mcp) use self::source::Wasm;

pub(super) fn entry() -> Entry {
    About {
        name: "install_code",
        title: "Install code in a canister",
        description: "Install a Wasm module (plain or gzipped) in a canister. Give the module in one way: `upload_id` \
                      (from begin_upload; best for files), `wasm_url` with `sha256`, or, when tiny, `wasm_base64` or \
                      `wasm_hex`. Mode install is for an empty canister, upgrade keeps stable memory, reinstall \
                      erases everything the canister stores: ask the user first.",
        arguments: json!({
            "upload_id": { "type": "string" },
            "wasm_url": { "type": "string", "description": "https address that answers with the module itself" },
            "wasm_base64": { "type": "string" },
            "wasm_hex": { "type": "string" },
            "sha256": { "type": "string", "description": "Of the module, in hexadecimal; checked before it is installed" },
            "mode": { "enum": ["install", "reinstall", "upgrade"], "default": "install" },
            "arg": { "type": "string", "description": "Init or upgrade argument, textual Candid", "default": "()" },
        }),
        required: &[],
        result: json!({
            "canister_id": { "type": "string" },
            "mode": { "type": "string" },
            "module_hash": { "type": "string" },
            "bytes": { "type": "integer" },
            "chunks": { "type": "integer", "description": "0: sent in one message" },
        }),
        effect: Effect::Destroys,
    }
    .entry(|tools, caller, arguments| Box::pin(run(tools, caller, arguments)))
}

async fn run(tools: &Tools, caller: &Caller, mut arguments: Arguments) -> Result<Output, Failure> {
    may_update(caller)?;
    let canister = arguments.canister()?;
    let source = Source::read(&mut arguments)?;
    let expected = match arguments.optional_text("sha256")? {
        Some(text) => Some(upload::sha256(&text)?),
        None => None,
    };
    if expected.is_none() && matches!(source, Source::Url(_)) {
        return Err(Failure::argument(
            "sha256",
            "is missing: what an address answers is installed only when its hash is known beforehand",
        ));
    }
    let mode = mode(arguments.optional_text("mode")?.as_deref())?;
    let text = arguments
        .optional_text("arg")?
        .filter(|text| !text.trim().is_empty())
        .unwrap_or_else(|| "()".to_owned());
    arguments.finish()?;

    let _user_turn = tools.wasm.user_turn(caller.user(&tools.store).await?)?;
    let (wasm, _turn) = source.fetch(tools, caller).await?;
    let hash: [u8; 32] = Sha256::digest(&wasm).into();
    if let Some(expected) = expected
        && expected != hash
    {
        return Err(other_hash(&hash, &expected));
    }
    let (wasm, module) = Module::read(wasm).await.map_err(not_wasm)?;
    let arg = argument::encode(&text, module.init_args.as_deref()).await?;
    let deployment = Deployment {
        operator: Operator::new(tools, caller, canister),
        mode: with_options(mode, &module),
        wasm: &wasm,
        hash,
        arg: &arg.bytes,
    };
    let chunks = deployment.run().await?;
    tools.interfaces.forget(canister).await;

    let (name, bytes) = (mode_name(mode), wasm.len());
    let hash = hex::encode(hash);
    let way = match chunks {
        0 => String::new(),
        chunks => format!(", sent in {chunks} chunks"),
    };
    let mut output = Output::new(
        format!(
            "Canister {canister}: {name} done. It runs the module with SHA-256 {hash} ({bytes} bytes{way})."
        ),
        json!({
            "canister_id": canister.to_string(),
            "mode": name,
            "module_hash": hash,
            "bytes": bytes,
            "chunks": chunks,
        }),
    );
    if let Some(note) = arg.note {
        output.note(note);
    }
    Ok(output)
}

fn mode(text: Option<&str>) -> Result<InstallMode, Failure> {
    match text {
        None | Some("install") => Ok(InstallMode::Install),
        Some("reinstall") => Ok(InstallMode::Reinstall),
        Some("upgrade") => Ok(InstallMode::Upgrade(None)),
        Some(_) => Err(Failure::argument(
            "mode",
            "must be \"install\", \"reinstall\" or \"upgrade\"",
        )),
    }
}

fn mode_name(mode: InstallMode) -> &'static str {
    match mode {
        InstallMode::Install => "install",
        InstallMode::Reinstall => "reinstall",
        InstallMode::Upgrade(_) => "upgrade",
    }
}

/// A module that keeps its state in its main memory says so, and the network refuses to upgrade it without the choice
/// to keep that memory.
fn with_options(mode: InstallMode, module: &Module) -> InstallMode {
    match mode {
        InstallMode::Upgrade(_) if module.keeps_memory => {
            InstallMode::Upgrade(Some(UpgradeOptions {
                skip_pre_upgrade: None,
                wasm_memory_persistence: Some(Persistence::Keep),
            }))
        }
        mode => mode,
    }
}

fn other_hash(actual: &[u8; 32], expected: &[u8; 32]) -> Failure {
    Failure::new(
        "WRONG_HASH",
        format!(
            "The module has the SHA-256 {} and not {}, so it was not installed. Check the file and the hash.",
            hex::encode(actual),
            hex::encode(expected)
        ),
    )
}

fn not_wasm(error: NotWasm) -> Failure {
    Failure::new(
        "NOT_WASM",
        format!(
            "This is no Wasm module ({error}), so nothing was sent. Give a compiled .wasm or .wasm.gz file, whole and \
             unchanged."
        ),
    )
}
