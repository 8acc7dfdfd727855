//! A canister's settings, and what may be set.

use candid::{Nat, Principal};

use super::wire::{CanisterSettings, DefiniteSettings, LogVisibility};

/// Controllers a canister may have.
const MAX_CONTROLLERS: usize = 10;
/// Principals that may read a log beside the controllers.
const MAX_VIEWERS: usize = 10;
/// Largest memory of a canister, in bytes.
const MAX_MEMORY: u64 = 500 << 30;

pub(super) fn initial(controllers: Vec<Principal>) -> DefiniteSettings {
    DefiniteSettings {
        controllers,
        compute_allocation: 0_u8.into(),
        memory_allocation: 0_u8.into(),
        // 30 days, in seconds.
        freezing_threshold: 2_592_000_u64.into(),
        reserved_cycles_limit: 5_000_000_000_000_u64.into(),
        log_visibility: LogVisibility::Controllers,
        wasm_memory_limit: (3_u64 << 30).into(),
        wasm_memory_threshold: 0_u8.into(),
        environment_variables: Vec::new(),
    }
}

/// Sets what is given, or nothing at all. The error is a sentence of the system's.
pub(super) fn change(now: &mut DefiniteSettings, to: &CanisterSettings) -> Result<(), String> {
    let mut next = now.clone();
    if let Some(controllers) = &to.controllers {
        if controllers.len() > MAX_CONTROLLERS {
            return Err(format!(
                "Invalid settings: 'controllers' length exceeds maximum size allowed of {MAX_CONTROLLERS}."
            ));
        }
        next.controllers = controllers.clone();
    }
    if let Some(visibility) = &to.log_visibility {
        if matches!(visibility, LogVisibility::AllowedViewers(viewers) if viewers.len() > MAX_VIEWERS)
        {
            return Err(format!("allowed_viewers exceeds {MAX_VIEWERS} principals."));
        }
        next.log_visibility = visibility.clone();
    }
    let bounded = [
        (
            &mut next.compute_allocation,
            &to.compute_allocation,
            "ComputeAllocation",
            100,
        ),
        (
            &mut next.memory_allocation,
            &to.memory_allocation,
            "MemoryAllocation",
            MAX_MEMORY,
        ),
        (
            &mut next.freezing_threshold,
            &to.freezing_threshold,
            "FreezingThreshold",
            u64::MAX,
        ),
        (
            &mut next.wasm_memory_limit,
            &to.wasm_memory_limit,
            "WasmMemoryLimit",
            MAX_MEMORY,
        ),
    ];
    for (setting, given, name, most) in bounded {
        let Some(given) = given else { continue };
        if *given > most {
            return Err(format!(
                "{name} expected to be in the range [0..{most}], got {}",
                given.0
            ));
        }
        *setting = given.clone();
    }
    if let Some(limit) = &to.reserved_cycles_limit {
        next.reserved_cycles_limit = limit.clone();
    }
    *now = next;
    Ok(())
}

/// A setting that was checked to fit.
pub(super) fn number(setting: &Nat) -> u64 {
    u64::try_from(setting.0.clone()).unwrap_or(u64::MAX)
}
