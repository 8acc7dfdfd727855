//! `canister_history`: who controls a canister and which code it runs, with proof. The list of earlier changes is kept
//! by the management canister for other canisters only: it refuses `canister_info` to people.

use serde_json::json;

use super::{About, Effect, number};
use crate::{
    ic::IcError,
    mcp::{
        arguments::Arguments,
        catalog::{Entry, Output, Tools},
        failure::Failure,
    },
};

pub(super) fn entry() -> Entry {
    About {
        name: "canister_history",
        title: "Canister code and controllers",
        description: "Of any canister: the hash of the code it runs and who controls it, from the network's \
                      certified state. The network keeps earlier changes for canisters only; compare the hash with \
                      a release to see what is deployed.",
        arguments: json!({}),
        required: &[],
        result: json!({
            "module_hash": { "type": ["string", "null"] },
            "controllers": { "type": "array", "items": { "type": "string" } },
            "certified_at": { "type": "string" },
        }),
        effect: Effect::Reads,
    }
    .entry(|tools, _, arguments| Box::pin(run(tools, arguments)))
}

async fn run(tools: &Tools, mut arguments: Arguments) -> Result<Output, Failure> {
    let canister = arguments.canister()?;
    arguments.finish()?;
    let state = tools
        .ic
        .canister_state(canister)
        .await
        .map_err(|error: IcError| Failure::ic(&error))?;
    let certified_at = number::time(state.certified_at_ns);
    let module = state.module_hash.map(hex::encode);
    let Some(controllers) = state.controllers else {
        return Err(Failure::new(
            "CANISTER_UNKNOWN",
            format!("There is no canister {canister}. Check the id; it may have been deleted."),
        ));
    };
    let controllers: Vec<String> = controllers.iter().map(ToString::to_string).collect();
    let text = format!(
        "Canister {canister}, as the network certified at {certified_at}:\n\
         Code: {}\n\
         Controllers: {}",
        module.as_deref().map_or_else(
            || "none is installed".to_owned(),
            |hash| format!("module with SHA-256 {hash}")
        ),
        if controllers.is_empty() {
            "nobody, so it cannot be changed".to_owned()
        } else {
            controllers.join(", ")
        },
    );
    Ok(Output::new(
        text,
        json!({
            "canister_id": canister.to_string(),
            "module_hash": module,
            "controllers": controllers,
            "certified_at": certified_at,
        }),
    ))
}
