//! `get_candid`: what a canister publishes about itself.

use std::time::SystemTime;

use futures_util::future::BoxFuture;
use rmcp::model::{Tool, ToolAnnotations};
use serde_json::json;

use super::{
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Group, Output, Tools, schema},
    failure::Failure,
};
use crate::{candid::foreign::shorten, ic::interfaces::Published, scope::Scope};

/// Longest interface shown, in characters.
const MAX_SHOWN: usize = 100_000;

pub(super) fn entries() -> Vec<Entry> {
    vec![Entry {
        tool: get_candid_tool(),
        group: Group::Core,
        scope: |_| Scope::Read,
        run: get_candid,
    }]
}

fn get_candid_tool() -> Tool {
    Tool::new(
        "get_candid",
        "The Candid interface of a canister: its methods with their argument and reply types, as the canister \
         publishes it (certified metadata). Read it before call_canister.",
        schema(json!({
            "type": "object",
            "properties": {
                "canister_id": { "type": "string", "description": "Like ryjl3-tyaaa-aaaaa-aaaba-cai" },
            },
            "required": ["canister_id"],
            "additionalProperties": false,
        })),
    )
    .with_title("Get a canister's interface")
    .with_raw_output_schema(schema(json!({
        "type": "object",
        "properties": {
            "canister_id": { "type": "string" },
            "candid": { "type": "string", "description": "The interface" },
            "certificate_age_seconds": { "type": "integer", "description": "Age of the proof" },
            "complete": { "type": "boolean", "description": "False when the interface was cut" },
        },
        "required": ["canister_id", "candid", "complete"],
    })))
    .with_annotations(
        ToolAnnotations::with_title("Get a canister's interface")
            .read_only(true)
            .destructive(false)
            .idempotent(true)
            .open_world(true),
    )
}

fn get_candid<'a>(
    tools: &'a Tools,
    _: &'a Caller,
    mut arguments: Arguments,
) -> BoxFuture<'a, Result<Output, Failure>> {
    Box::pin(async move {
        let canister = arguments.canister()?;
        arguments.finish()?;
        let known = tools
            .interfaces
            .get(canister)
            .await
            .map_err(|error| Failure::ic(&error))?;
        let (text, problem) = match &known.published {
            Published::Interface(interface) => (interface.text(), None),
            Published::Unusable(text, error) => (text, Some(error)),
            Published::Nothing => {
                return Err(Failure::new(
                    "NO_INTERFACE",
                    "This canister publishes no interface, or there is no such canister. If you know the interface, \
                     pass it to call_canister in the argument `candid`.",
                ));
            }
            Published::Withheld(refusal) => {
                return Err(Failure::new(
                    "NO_INTERFACE",
                    format!(
                        "This canister's interface cannot be read ({}). If you know it, pass it to call_canister in the \
                         argument `candid`.",
                        shorten(refusal, 200)
                    ),
                ));
            }
        };
        let shown = shorten(text, MAX_SHOWN);
        let complete = text.len() <= MAX_SHOWN || shown.len() >= text.len();
        let age = known.certified_at.map(|time| {
            SystemTime::now()
                .duration_since(time)
                .unwrap_or_default()
                .as_secs()
        });
        let mut output = Output::new(
            shown.clone(),
            json!({
                "canister_id": canister.to_string(),
                "candid": shown,
                "certificate_age_seconds": age.unwrap_or_default(),
                "complete": complete,
            }),
        );
        if let Some(error) = problem {
            output.note(format!(
                "This interface cannot be used for types: {}. call_canister will take the arguments' types from their \
                 notation, so annotate numbers, as in (42 : nat64).",
                shorten(&error.to_string(), 300)
            ));
        }
        if !complete {
            output.note(format!(
                "The interface is longer than {MAX_SHOWN} characters and was cut."
            ));
        }
        Ok(output)
    })
}
