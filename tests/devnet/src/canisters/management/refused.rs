//! The system's refusals, with its error codes and words.

use candid::Principal;
use ic_transport_types::{RejectCode, RejectResponse};

/// A refusal by its number; the hundreds are the reject code.
fn refusal(number: u16, message: String) -> RejectResponse {
    let reject_code = match number / 100 {
        1 => RejectCode::SysFatal,
        2 => RejectCode::SysTransient,
        3 => RejectCode::DestinationInvalid,
        4 => RejectCode::CanisterReject,
        _ => RejectCode::CanisterError,
    };
    RejectResponse {
        reject_code,
        reject_message: message,
        error_code: Some(format!("IC{number:04}")),
    }
}

pub(super) fn not_found(canister: Principal) -> RejectResponse {
    refusal(301, format!("Canister {canister} not found"))
}

pub(super) fn unknown_method(method: &str) -> RejectResponse {
    refusal(536, format!("Management canister has no method '{method}'"))
}

pub(super) fn only_canisters(method: &str) -> RejectResponse {
    let message = format!("Only canisters can call ic00 method {method}");
    refusal(406, message)
}

pub(super) fn not_replicated(method: &str) -> RejectResponse {
    let message = format!("{method} API is not accessible via ingress in replicated mode");
    refusal(406, message)
}

pub(super) fn not_a_viewer(caller: Principal) -> RejectResponse {
    let message = format!("Caller {caller} is not allowed to access canister logs");
    refusal(406, message)
}

pub(super) fn not_a_controller(canister: Principal, method: &str) -> RejectResponse {
    let message = format!("Only controllers of canister {canister} can call ic00 method {method}");
    refusal(512, message)
}

pub(super) fn payload(method: &str) -> RejectResponse {
    let message = format!("Failed to decode payload for ic00 method: {method}");
    refusal(408, message)
}

pub(super) fn settings(problem: &str) -> RejectResponse {
    refusal(504, format!("Could not validate the settings: {problem} "))
}

pub(super) fn chunk_store(problem: &str) -> RejectResponse {
    refusal(504, format!("Error from Wasm chunk store: {problem}."))
}

pub(super) fn invalid_wasm(canister: Principal, problem: &str) -> RejectResponse {
    let message =
        format!("Error from Canister {canister}: Canister's Wasm module is not valid: {problem}");
    refusal(505, message)
}

pub(super) fn not_empty(canister: Principal) -> RejectResponse {
    let message = format!(
        "Canister {canister} cannot be installed because the canister is not empty. Try installing with mode='reinstall' instead."
    );
    refusal(514, message)
}

pub(super) fn no_module(canister: Principal) -> RejectResponse {
    let message = format!(
        "Error from Canister {canister}: Attempted to execute a message, but the canister contains no Wasm module."
    );
    refusal(537, message)
}

pub(super) fn stopped(canister: Principal) -> RejectResponse {
    refusal(508, format!("Canister {canister} is stopped"))
}

pub(super) fn not_stopped(canister: Principal) -> RejectResponse {
    let message = format!("Canister {canister} must be stopped before it is deleted.");
    refusal(510, message)
}

pub(super) fn out_of_cycles(canister: Principal, missing: u128) -> RejectResponse {
    let message = format!(
        "Canister {canister} is out of cycles: please top up the canister with at least {missing} additional cycles"
    );
    refusal(207, message)
}

pub(super) fn install_out_of_cycles(canister: Principal, missing: u128) -> RejectResponse {
    let cause = out_of_cycles(canister, missing).reject_message;
    refusal(207, format!("Canister installation failed with `{cause}`."))
}

pub(super) fn no_snapshot(canister: Principal, snapshot: &[u8]) -> RejectResponse {
    let message = format!(
        "Could not find the snapshot ID {} for canister {canister}.",
        hex::encode(snapshot)
    );
    refusal(305, message)
}

pub(super) fn snapshot_of_nothing(canister: Principal) -> RejectResponse {
    let message = format!("Failed to create snapshot for empty canister {canister}:");
    refusal(406, message)
}

pub(super) fn too_many_snapshots(canister: Principal, limit: usize) -> RejectResponse {
    let message = format!(
        "Canister {canister} has reached the maximum number of snapshots allowed: {limit}."
    );
    refusal(406, message)
}
