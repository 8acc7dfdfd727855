//! `start_canister`, `stop_canister`, `uninstall_code`, `delete_canister`: one canister, no further arguments.

use serde_json::json;

use super::{About, Effect, operator::Operator};
use crate::mcp::{
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Output, Tools},
    failure::Failure,
};

pub(super) fn entries() -> Vec<Entry> {
    vec![
        about(
            "start_canister",
            "Start a canister",
            "Start a stopped canister, so that it answers calls again.",
            Effect::Sets,
        )
        .entry(|tools, caller, arguments| {
            Box::pin(run(tools, caller, arguments, "start_canister", "It runs and answers calls."))
        }),
        about(
            "stop_canister",
            "Stop a canister",
            "Stop a canister: it answers no calls until it is started again. Needed before deleting it, and good \
             before taking or loading a snapshot.",
            Effect::Sets,
        )
        .entry(|tools, caller, arguments| {
            let done = "It is stopped and answers no calls until start_canister.";
            Box::pin(run(tools, caller, arguments, "stop_canister", done))
        }),
        about(
            "uninstall_code",
            "Remove a canister's code",
            "Remove a canister's code and everything it stores. Its id, cycles, settings and snapshots stay. Cannot \
             be undone without a snapshot.",
            Effect::Destroys,
        )
        .entry(|tools, caller, arguments| {
            let done = "Its code and state are gone; install_code puts new code in.";
            Box::pin(run(tools, caller, arguments, "uninstall_code", done))
        }),
        about(
            "delete_canister",
            "Delete a canister",
            "Delete a stopped canister for good: code, state, snapshots, its id, and the cycles it holds. Cannot be \
             undone; ask the user first.",
            Effect::Destroys,
        )
        .entry(|tools, caller, arguments| {
            let done = "It is deleted, with the cycles it held.";
            Box::pin(run(tools, caller, arguments, "delete_canister", done))
        }),
    ]
}

fn about(
    name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
) -> About {
    About {
        name,
        title,
        description,
        arguments: json!({}),
        required: &[],
        result: json!({ "canister_id": { "type": "string" }, "done": { "type": "boolean" } }),
        effect,
    }
}

async fn run(
    tools: &Tools,
    caller: &Caller,
    arguments: Arguments,
    method: &str,
    done: &str,
) -> Result<Output, Failure> {
    let operator = Operator::of_arguments(tools, caller, arguments)?;
    operator.call(method, operator.this()).await?;
    if matches!(method, "uninstall_code" | "delete_canister") {
        tools.interfaces.forget(operator.canister).await;
    }
    let canister = operator.canister.to_string();
    Ok(Output::new(
        format!("Canister {canister}: {done}"),
        json!({ "canister_id": canister, "done": true }),
    ))
}
