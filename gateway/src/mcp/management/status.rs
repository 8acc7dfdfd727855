//! `canister_status`: what a canister's controllers may know of it.

use candid::Nat;
use serde_json::{Value, json};

use super::{
    About, Effect, RAW,
    number::{self, number_schema},
    operator::{Operator, known, unknown},
    raw_schema,
    wire::{CurrentSettings, LogVisibility, RunState, Status},
};
use crate::mcp::{
    arguments::Arguments,
    caller::Caller,
    catalog::{Entry, Output, Tools},
    failure::Failure,
};

const DAY_SECONDS: u32 = 86_400;

pub(super) fn entry() -> Entry {
    About {
        name: "canister_status",
        title: "Canister status",
        description: "A canister's run state, cycles and how long they last, module hash, memory, controllers and \
                      settings. For its controllers; anybody can use canister_history.",
        arguments: json!({}),
        required: &[],
        result: json!({
            "status": { "type": "string", "description": "running, stopping or stopped" },
            "cycles": number_schema(),
            "module_hash": { "type": ["string", "null"] },
            "settings": { "type": "object" },
            RAW: raw_schema(),
        }),
        effect: Effect::Reads,
    }
    .entry(|tools, caller, arguments| Box::pin(run(tools, caller, arguments)))
}

async fn run(tools: &Tools, caller: &Caller, arguments: Arguments) -> Result<Output, Failure> {
    let operator = Operator::of_arguments(tools, caller, arguments)?;
    let (reply, _) = operator.call("canister_status", operator.this()).await?;
    Ok(match known::<Status>(&reply) {
        Some(status) => present(&operator.canister.to_string(), &status),
        None => unknown(reply, "the status").await,
    })
}

fn present(canister: &str, status: &Status) -> Output {
    let state = match status.status {
        RunState::Running => "running",
        RunState::Stopping => "stopping",
        RunState::Stopped => "stopped",
    };
    let module = status.module_hash.as_ref().map(hex::encode);
    let idle = &status.idle_cycles_burned_per_day;
    let settings = &status.settings;
    let frozen_below = Nat(&idle.0 * &settings.freezing_threshold.0 / DAY_SECONDS);
    let days_left = days_left(&status.cycles, &frozen_below, idle);
    let lasts = match &days_left {
        None => "nothing is used while idle".to_owned(),
        Some(days) if *days == 0_u8 => {
            "frozen: it answers no calls until it is topped up".to_owned()
        }
        Some(days) => format!("about {} days idle until it freezes", days.0),
    };
    let controllers: Vec<String> = settings
        .controllers
        .iter()
        .map(ToString::to_string)
        .collect();
    let text = format!(
        "Canister {canister} is {state}.\n\
         Cycles: {} ({}), idle use {} a day, {lasts}\n\
         Module: {}\n\
         Memory: {}\n\
         Controllers: {}\n\
         {}",
        number::short(&status.cycles),
        status.cycles.0,
        number::short(idle),
        module.as_deref().map_or_else(
            || "none, no code is installed".to_owned(),
            |hash| format!("SHA-256 {hash}")
        ),
        number::bytes(&status.memory_size),
        controllers.join(", "),
        settings_text(settings),
    );
    let structured = json!({
        "canister_id": canister,
        "status": state,
        "cycles": number::json(&status.cycles),
        "idle_cycles_burned_per_day": number::json(idle),
        "freezes_below_cycles": number::json(&frozen_below),
        "idle_days_left": days_left.as_ref().map(number::json),
        "reserved_cycles": status.reserved_cycles.as_ref().map(number::json),
        "module_hash": module,
        "memory_bytes": number::json(&status.memory_size),
        "changes": status.version,
        "settings": settings_json(settings, &controllers),
    });
    Output::new(text, structured)
}

/// Days until the canister freezes when nobody calls it; none when idling costs nothing.
fn days_left(cycles: &Nat, frozen_below: &Nat, per_day: &Nat) -> Option<Nat> {
    if *per_day == 0_u8 {
        return None;
    }
    if cycles <= frozen_below {
        return Some(0_u8.into());
    }
    Some(Nat((&cycles.0 - &frozen_below.0) / &per_day.0))
}

fn settings_text(settings: &CurrentSettings) -> String {
    let memory = if settings.memory_allocation == 0_u8 {
        "as needed".to_owned()
    } else {
        number::bytes(&settings.memory_allocation)
    };
    let mut parts = vec![
        format!("compute {} %", settings.compute_allocation.0),
        format!("memory {memory}"),
        format!(
            "freezing threshold {} days",
            &settings.freezing_threshold.0 / DAY_SECONDS
        ),
    ];
    if let Some(limit) = &settings.reserved_cycles_limit {
        parts.push(format!("reserved cycles at most {}", number::short(limit)));
    }
    if let Some(limit) = &settings.wasm_memory_limit {
        parts.push(format!("Wasm memory at most {}", number::bytes(limit)));
    }
    if let Some(visibility) = &settings.log_visibility {
        parts.push(match visibility {
            LogVisibility::Controllers => "logs for controllers".to_owned(),
            LogVisibility::Public => "logs for everybody".to_owned(),
            LogVisibility::AllowedViewers(viewers) => {
                format!("logs for controllers and {} others", viewers.len())
            }
        });
    }
    format!("Settings: {}", parts.join(", "))
}

fn settings_json(settings: &CurrentSettings, controllers: &[String]) -> Value {
    json!({
        "controllers": controllers,
        "compute_allocation": number::json(&settings.compute_allocation),
        "memory_allocation": number::json(&settings.memory_allocation),
        "freezing_threshold": number::json(&settings.freezing_threshold),
        "reserved_cycles_limit": settings.reserved_cycles_limit.as_ref().map(number::json),
        "wasm_memory_limit": settings.wasm_memory_limit.as_ref().map(number::json),
        "log_visibility": settings.log_visibility.as_ref().map(|visibility| match visibility {
            LogVisibility::Controllers => json!("controllers"),
            LogVisibility::Public => json!("public"),
            LogVisibility::AllowedViewers(viewers) => {
                viewers.iter().map(ToString::to_string).collect()
            }
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nat(number: u64) -> Nat {
        number.into()
    }

    #[test]
    fn the_days_that_cycles_last_end_at_the_freezing_threshold() {
        assert_eq!(days_left(&nat(1_000), &nat(300), &nat(10)), Some(nat(70)));
        assert_eq!(days_left(&nat(300), &nat(300), &nat(10)), Some(nat(0)));
        assert_eq!(days_left(&nat(1_000), &nat(0), &nat(0)), None);
    }

    #[test]
    fn an_older_status_without_newer_fields_is_still_known() {
        #[derive(candid::CandidType)]
        struct Old {
            status: RunState,
            settings: OldSettings,
            module_hash: Option<Vec<u8>>,
            memory_size: Nat,
            cycles: Nat,
            idle_cycles_burned_per_day: Nat,
        }
        #[derive(candid::CandidType)]
        struct OldSettings {
            controllers: Vec<candid::Principal>,
            compute_allocation: Nat,
            memory_allocation: Nat,
            freezing_threshold: Nat,
        }
        let old = Old {
            status: RunState::Stopping,
            settings: OldSettings {
                controllers: Vec::new(),
                compute_allocation: nat(0),
                memory_allocation: nat(0),
                freezing_threshold: nat(2_592_000),
            },
            module_hash: None,
            memory_size: nat(0),
            cycles: nat(5),
            idle_cycles_burned_per_day: nat(1),
        };
        let bytes = candid::encode_one(old).unwrap();
        let status = known::<Status>(&bytes).unwrap();
        assert_eq!(status.status, RunState::Stopping);
        assert!(known::<Status>(&candid::encode_one("other").unwrap()).is_none());
        assert!(known::<Status>(b"DIDL\x00").is_none());
    }
}
