//! `update_canister_settings`.

use candid::Principal;
use serde_json::{Value, json};

use super::{
    About, Effect, number,
    operator::{Operator, may_update},
    wire::{LogVisibility, Settings, UpdateSettings},
};
use crate::mcp::{
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Output, Tools},
    failure::Failure,
};

/// Principals that a list may have; the network takes no more.
const MAX_PRINCIPALS: usize = 10;
/// A principal as people have them, for errors.
const EXAMPLE: &str = "k2t6j-2nvnp-4zjm3-25dtz-6xhaa-c7boj-5gayf-oj3xs-i43lp-teztq-6ae";
/// The argument that says that the user wants to lose control.
const HAND_OVER: &str = "hand_over";
/// The settings that are whole numbers.
const NUMBERS: [&str; 5] = [
    "compute_allocation",
    "memory_allocation",
    "freezing_threshold",
    "reserved_cycles_limit",
    "wasm_memory_limit",
];

pub(super) fn entry() -> Entry {
    let number =
        |description: &str| json!({ "type": ["integer", "string"], "description": description });
    About {
        name: "update_canister_settings",
        title: "Change canister settings",
        description: "Change settings of a canister; what is left out stays. `controllers` replaces the whole set. \
                      Without the user's management principal in it, this server can never manage the canister \
                      again: that needs `hand_over`, after the user said so.",
        arguments: json!({
            "controllers": {
                "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": MAX_PRINCIPALS,
                "description": "All controllers from now on, as principals",
            },
            HAND_OVER: {
                "type": "boolean", "default": false,
                "description": "The user wants `controllers` to be without their management principal",
            },
            "compute_allocation": number("Percent of a core, 0 to 100"),
            "memory_allocation": number("Bytes set aside; 0: as needed"),
            "freezing_threshold": number("Seconds that cycles are kept for"),
            "reserved_cycles_limit": number("Cycles"),
            "wasm_memory_limit": number("Bytes"),
            "log_visibility": {
                "description": "controllers, public, or a list of principals that may read the logs too",
                "anyOf": [
                    { "enum": ["controllers", "public"] },
                    { "type": "array", "items": { "type": "string" }, "maxItems": MAX_PRINCIPALS },
                ],
            },
        }),
        required: &[],
        result: json!({
            "canister_id": { "type": "string" },
            "changed": { "type": "array", "items": { "type": "string" } },
        }),
        effect: Effect::Destroys,
    }
    .entry(|tools, caller, arguments| Box::pin(run(tools, caller, arguments)))
}

async fn run(tools: &Tools, caller: &Caller, mut arguments: Arguments) -> Result<Output, Failure> {
    may_update(caller)?;
    let canister = arguments.canister()?;
    let (settings, changed) = read(&mut arguments)?;
    let hand_over = arguments.flag(HAND_OVER, false)?;
    arguments.finish()?;
    let operator = Operator::new(tools, caller, canister);
    let mut handed_over = None;
    if let Some(controllers) = &settings.controllers {
        let own = operator.principal().await?;
        if !controllers.contains(&own) {
            if !hand_over {
                return Err(locks_out(&own));
            }
            handed_over = Some(own);
        }
    }
    let argument = UpdateSettings {
        canister_id: canister.principal(),
        settings,
    };
    operator.call("update_settings", argument).await?;
    let mut output = Output::new(
        format!("Canister {canister}: changed {}.", changed.join(", ")),
        json!({ "canister_id": canister.to_string(), "changed": changed }),
    );
    if let Some(own) = handed_over {
        output.note(format!(
            "WARNING: the user's management identity {own} is no longer a controller, so this server can neither \
             manage canister {canister} nor undo this. Tell the user. Only its present controllers can add it again."
        ));
    }
    Ok(output)
}

fn locks_out(own: &Principal) -> Failure {
    Failure::new(
        "WOULD_LOCK_OUT",
        format!(
            "The user's management principal {own} is not among these controllers. Without it, this server could \
             neither manage the canister nor undo that, so nothing was changed. Add {own} to `controllers`; or, if the \
             user said that the canister is to be handed over, pass {HAND_OVER}=true."
        ),
    )
}

/// The settings that are given, and their names.
fn read(arguments: &mut Arguments) -> Result<(Settings, Vec<&'static str>), Failure> {
    let mut settings = Settings::default();
    let mut changed = Vec::new();
    if let Some(value) = given(arguments, "controllers") {
        settings.controllers = Some(controllers(&value)?);
        changed.push("controllers");
    }
    for name in NUMBERS {
        let value = number::take(arguments, name)?;
        if value.is_none() {
            continue;
        }
        changed.push(name);
        match name {
            "compute_allocation" => settings.compute_allocation = value,
            "memory_allocation" => settings.memory_allocation = value,
            "freezing_threshold" => settings.freezing_threshold = value,
            "reserved_cycles_limit" => settings.reserved_cycles_limit = value,
            _ => settings.wasm_memory_limit = value,
        }
    }
    if settings
        .compute_allocation
        .as_ref()
        .is_some_and(|percent| *percent > 100_u8)
    {
        return Err(Failure::argument(
            "compute_allocation",
            "is a percentage from 0 to 100",
        ));
    }
    if let Some(value) = given(arguments, "log_visibility") {
        settings.log_visibility = Some(match value.as_str() {
            Some("controllers") => LogVisibility::Controllers,
            Some("public") => LogVisibility::Public,
            _ => LogVisibility::AllowedViewers(principals("log_visibility", &value)?),
        });
        changed.push("log_visibility");
    }
    if changed.is_empty() {
        return Err(Failure::new(
            "BAD_ARGUMENT",
            "No setting was given, so there is nothing to change. canister_status shows the present ones.",
        ));
    }
    Ok((settings, changed))
}

fn given(arguments: &mut Arguments, name: &str) -> Option<Value> {
    arguments.take(name).filter(|value| !value.is_null())
}

/// A canister without a controller can never be changed again, nor can one that only the network itself controls, and
/// one that anybody controls belongs to whoever comes first: nothing of it is what somebody asks an agent for.
fn controllers(value: &Value) -> Result<Vec<Principal>, Failure> {
    let controllers = principals("controllers", value)?;
    if controllers.is_empty() {
        return Err(Failure::new(
            "NO_CONTROLLERS",
            "Without a controller nobody could ever manage the canister again, so this is refused. Name at least one.",
        ));
    }
    if controllers.contains(&Principal::anonymous()) {
        return Err(Failure::argument(
            "controllers",
            "holds the anonymous principal, which would let anybody take the canister over",
        ));
    }
    if controllers.contains(&Principal::management_canister()) {
        return Err(Failure::argument(
            "controllers",
            format!(
                "holds the management canister aaaaa-aa, which is nobody and can control nothing; name people's and \
                 canisters' principals, like \"{EXAMPLE}\""
            ),
        ));
    }
    Ok(controllers)
}

fn principals(name: &str, value: &Value) -> Result<Vec<Principal>, Failure> {
    let wrong = || {
        let problem = format!("must be a list of principals, like [\"{EXAMPLE}\"]");
        Failure::argument(name, problem)
    };
    let list = value.as_array().ok_or_else(wrong)?;
    if list.len() > MAX_PRINCIPALS {
        return Err(Failure::argument(
            name,
            format!("takes {MAX_PRINCIPALS} principals at most"),
        ));
    }
    list.iter()
        .map(|item| {
            Principal::from_text(item.as_str().unwrap_or_default().trim()).map_err(|_| wrong())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: Value) -> Result<(Settings, Vec<&'static str>), Failure> {
        read(&mut Arguments::new(value.as_object().cloned()))
    }

    #[test]
    fn only_what_is_given_is_set() {
        let (settings, changed) = parse(json!({
            "freezing_threshold": "1_000", "log_visibility": ["2vxsx-fae"], "memory_allocation": null,
        }))
        .unwrap();
        assert_eq!(changed, ["freezing_threshold", "log_visibility"]);
        assert_eq!(settings.freezing_threshold, Some(1_000_u32.into()));
        assert_eq!(settings.memory_allocation, None);
        assert!(settings.controllers.is_none());
        assert_eq!(
            settings.log_visibility,
            Some(LogVisibility::AllowedViewers(vec![Principal::anonymous()]))
        );
    }

    #[test]
    fn nobody_is_locked_out_by_a_slip() {
        for (value, code) in [
            (json!({ "controllers": [] }), "NO_CONTROLLERS"),
            (json!({ "controllers": ["2vxsx-fae"] }), "BAD_ARGUMENT"),
            (json!({ "controllers": EXAMPLE }), "BAD_ARGUMENT"),
            (
                json!({ "controllers": [EXAMPLE, "aaaaa-aa"] }),
                "BAD_ARGUMENT",
            ),
            (json!({ "controllers": ["nobody"] }), "BAD_ARGUMENT"),
            (json!({ "controllers": vec![EXAMPLE; 11] }), "BAD_ARGUMENT"),
            (json!({ "compute_allocation": 101 }), "BAD_ARGUMENT"),
            (json!({ "log_visibility": "everybody" }), "BAD_ARGUMENT"),
            (json!({}), "BAD_ARGUMENT"),
        ] {
            assert_eq!(parse(value.clone()).unwrap_err().code, code, "{value}");
        }
    }

    #[test]
    fn the_example_is_a_person_and_may_be_used() {
        let (settings, _) = parse(json!({ "controllers": [EXAMPLE] })).unwrap();
        let controllers = settings.controllers.unwrap();
        assert_eq!(
            controllers[0].as_slice().last(),
            Some(&2),
            "self-authenticating"
        );
        let wrong = parse(json!({ "controllers": ["nobody"] })).unwrap_err();
        assert!(wrong.message.contains(EXAMPLE), "{}", wrong.message);
    }
}
