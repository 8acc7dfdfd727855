//! `take_snapshot`, `list_snapshots`, `load_snapshot`, `delete_snapshot`.

use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use super::{
    About, Effect, RAW, number,
    operator::{Operator, known, may_update, unknown},
    raw_schema,
    wire::{OfSnapshot, Snapshot, TakeSnapshot},
};
use crate::mcp::{
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Output, Tools},
    failure::Failure,
};

/// Longest snapshot id, in bytes.
const MAX_ID: usize = 64;

pub(super) fn entries() -> Vec<Entry> {
    let id = || json!({ "type": "string", "description": "Hexadecimal, from list_snapshots" });
    let done = || json!({ "canister_id": { "type": "string" }, "done": { "type": "boolean" } });
    let snapshot = json!({
        "id": { "type": "string" }, "taken_at": { "type": "string" }, "bytes": { "type": "integer" },
    });
    let mut taken = snapshot.clone();
    taken[RAW] = raw_schema();
    vec![
        About {
            name: "take_snapshot",
            title: "Take a snapshot",
            description: "Save a canister's code and state, to go back to with load_snapshot. Costs cycles. Stop the \
                          canister first for a consistent one. `replace_snapshot` is deleted for good.",
            arguments: json!({ "replace_snapshot": id() }),
            required: &[],
            result: taken,
            effect: Effect::Destroys,
        }
        .entry(|tools, caller, arguments| Box::pin(take(tools, caller, arguments))),
        About {
            name: "list_snapshots",
            title: "List snapshots",
            description: "A canister's snapshots: ids, dates, sizes.",
            arguments: json!({}),
            required: &[],
            result: json!({
                "snapshots": { "type": "array", "items": { "type": "object", "properties": snapshot } },
                RAW: raw_schema(),
            }),
            effect: Effect::Reads,
        }
        .entry(|tools, caller, arguments| Box::pin(list(tools, caller, arguments))),
        About {
            name: "load_snapshot",
            title: "Go back to a snapshot",
            description: "Put a canister's code and state back to a snapshot. What it stored since is lost unless a \
                          snapshot of now is taken first. Stop the canister first.",
            arguments: json!({ "snapshot_id": id() }),
            required: &["snapshot_id"],
            result: done(),
            effect: Effect::Destroys,
        }
        .entry(|tools, caller, arguments| Box::pin(load(tools, caller, arguments))),
        About {
            name: "delete_snapshot",
            title: "Delete a snapshot",
            description: "Delete a snapshot for good. The canister itself stays as it is.",
            arguments: json!({ "snapshot_id": id() }),
            required: &["snapshot_id"],
            result: done(),
            effect: Effect::Destroys,
        }
        .entry(|tools, caller, arguments| Box::pin(delete(tools, caller, arguments))),
    ]
}

async fn take(tools: &Tools, caller: &Caller, mut arguments: Arguments) -> Result<Output, Failure> {
    may_update(caller)?;
    let canister = arguments.canister()?;
    let replaced = match arguments.optional_text("replace_snapshot")? {
        Some(text) => Some(parse("replace_snapshot", &text)?),
        None => None,
    };
    arguments.finish()?;
    let operator = Operator::new(tools, caller, canister);
    let argument = TakeSnapshot {
        canister_id: canister.principal(),
        replace_snapshot: replaced,
    };
    let (reply, _) = operator.call("take_canister_snapshot", argument).await?;
    Ok(match known::<Snapshot>(&reply) {
        Some(snapshot) => Output::new(
            format!("Canister {canister}: took snapshot {}", line(&snapshot)),
            shown(&snapshot),
        ),
        None => unknown(reply, "the snapshot").await,
    })
}

async fn list(tools: &Tools, caller: &Caller, arguments: Arguments) -> Result<Output, Failure> {
    let operator = Operator::of_arguments(tools, caller, arguments)?;
    let reply = operator.call("list_canister_snapshots", operator.this());
    let (reply, _) = reply.await?;
    let Some(snapshots) = known::<Vec<Snapshot>>(&reply) else {
        return Ok(unknown(reply, "the list").await);
    };
    let canister = operator.canister;
    let mut text = match snapshots.len() {
        0 => format!("Canister {canister} has no snapshots."),
        count => format!("Canister {canister} has {count} snapshots:"),
    };
    for snapshot in &snapshots {
        text.push_str("\n- ");
        text.push_str(&line(snapshot));
    }
    let list: Vec<Value> = snapshots.iter().map(shown).collect();
    Ok(Output::new(text, json!({ "snapshots": list })))
}

async fn load(tools: &Tools, caller: &Caller, arguments: Arguments) -> Result<Output, Failure> {
    let said = "its code and state are those of the snapshot.";
    let output = with_snapshot(tools, caller, arguments, "load_canister_snapshot", said);
    output.await
}

async fn delete(tools: &Tools, caller: &Caller, arguments: Arguments) -> Result<Output, Failure> {
    let said = "the snapshot is deleted.";
    let output = with_snapshot(tools, caller, arguments, "delete_canister_snapshot", said);
    output.await
}

async fn with_snapshot(
    tools: &Tools,
    caller: &Caller,
    mut arguments: Arguments,
    method: &str,
    said: &str,
) -> Result<Output, Failure> {
    may_update(caller)?;
    let canister = arguments.canister()?;
    let id = parse("snapshot_id", &arguments.text("snapshot_id")?)?;
    arguments.finish()?;
    let operator = Operator::new(tools, caller, canister);
    let argument = OfSnapshot {
        canister_id: canister.principal(),
        snapshot_id: id,
    };
    operator.call(method, argument).await?;
    tools.interfaces.forget(canister).await;
    Ok(Output::new(
        format!("Canister {canister}: {said}"),
        json!({ "canister_id": canister.to_string(), "done": true }),
    ))
}

fn parse(name: &str, text: &str) -> Result<ByteBuf, Failure> {
    hex::decode(text.trim())
        .ok()
        .filter(|id| !id.is_empty() && id.len() <= MAX_ID)
        .map(ByteBuf::from)
        .ok_or_else(|| {
            Failure::argument(
                name,
                "must be a snapshot's id in hexadecimal, as list_snapshots shows it",
            )
        })
}

fn line(snapshot: &Snapshot) -> String {
    format!(
        "{} of {}, {}",
        hex::encode(&snapshot.id),
        number::time(snapshot.taken_at_timestamp),
        number::bytes(&snapshot.total_size.into()),
    )
}

fn shown(snapshot: &Snapshot) -> Value {
    json!({
        "id": hex::encode(&snapshot.id),
        "taken_at": number::time(snapshot.taken_at_timestamp),
        "bytes": number::json(&snapshot.total_size.into()),
    })
}
