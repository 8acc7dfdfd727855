//! Candid types of the management canister (IC interface specification, "The IC management canister"), as far as they
//! are used here. What a newer version adds is ignored; what an older one lacks is optional.

use candid::{CandidType, Nat, Principal};
use serde::Deserialize;
use serde_bytes::{ByteBuf, Bytes};

#[derive(Debug, Clone, Copy, CandidType)]
pub(super) struct OfCanister {
    pub(super) canister_id: Principal,
}

#[derive(Debug, CandidType)]
pub(super) struct UpdateSettings {
    pub(super) canister_id: Principal,
    pub(super) settings: Settings,
}

#[derive(Debug, Default, CandidType)]
pub(super) struct Settings {
    pub(super) controllers: Option<Vec<Principal>>,
    pub(super) compute_allocation: Option<Nat>,
    pub(super) memory_allocation: Option<Nat>,
    pub(super) freezing_threshold: Option<Nat>,
    pub(super) reserved_cycles_limit: Option<Nat>,
    pub(super) wasm_memory_limit: Option<Nat>,
    pub(super) log_visibility: Option<LogVisibility>,
}

#[derive(Debug, Clone, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum LogVisibility {
    #[serde(rename = "controllers")]
    Controllers,
    #[serde(rename = "public")]
    Public,
    #[serde(rename = "allowed_viewers")]
    AllowedViewers(Vec<Principal>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum RunState {
    #[serde(rename = "running")]
    Running,
    #[serde(rename = "stopping")]
    Stopping,
    #[serde(rename = "stopped")]
    Stopped,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) struct Status {
    pub(super) status: RunState,
    pub(super) settings: CurrentSettings,
    pub(super) module_hash: Option<ByteBuf>,
    pub(super) memory_size: Nat,
    pub(super) cycles: Nat,
    pub(super) idle_cycles_burned_per_day: Nat,
    pub(super) reserved_cycles: Option<Nat>,
    pub(super) version: Option<u64>,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) struct CurrentSettings {
    pub(super) controllers: Vec<Principal>,
    pub(super) compute_allocation: Nat,
    pub(super) memory_allocation: Nat,
    pub(super) freezing_threshold: Nat,
    pub(super) reserved_cycles_limit: Option<Nat>,
    pub(super) wasm_memory_limit: Option<Nat>,
    pub(super) log_visibility: Option<LogVisibility>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum InstallMode {
    #[serde(rename = "install")]
    Install,
    #[serde(rename = "reinstall")]
    Reinstall,
    #[serde(rename = "upgrade")]
    Upgrade(Option<UpgradeOptions>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, CandidType, Deserialize)]
pub(super) struct UpgradeOptions {
    pub(super) skip_pre_upgrade: Option<bool>,
    pub(super) wasm_memory_persistence: Option<Persistence>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum Persistence {
    #[serde(rename = "keep")]
    Keep,
    #[serde(rename = "replace")]
    Replace,
}

#[derive(Debug, CandidType)]
pub(super) struct InstallCode<'a> {
    pub(super) mode: InstallMode,
    pub(super) canister_id: Principal,
    pub(super) wasm_module: &'a Bytes,
    pub(super) arg: &'a Bytes,
}

#[derive(Debug, CandidType)]
pub(super) struct InstallChunkedCode<'a> {
    pub(super) mode: InstallMode,
    pub(super) target_canister: Principal,
    pub(super) chunk_hashes_list: Vec<ChunkHash>,
    pub(super) wasm_module_hash: &'a Bytes,
    pub(super) arg: &'a Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, CandidType, Deserialize)]
pub(super) struct ChunkHash {
    pub(super) hash: ByteBuf,
}

#[derive(Debug, CandidType)]
pub(super) struct UploadChunk<'a> {
    pub(super) canister_id: Principal,
    pub(super) chunk: &'a Bytes,
}

#[derive(Debug, CandidType)]
pub(super) struct TakeSnapshot {
    pub(super) canister_id: Principal,
    pub(super) replace_snapshot: Option<ByteBuf>,
}

#[derive(Debug, CandidType)]
pub(super) struct OfSnapshot {
    pub(super) canister_id: Principal,
    pub(super) snapshot_id: ByteBuf,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) struct Snapshot {
    pub(super) id: ByteBuf,
    pub(super) taken_at_timestamp: u64,
    pub(super) total_size: u64,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) struct Logs {
    pub(super) canister_log_records: Vec<LogRecord>,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) struct LogRecord {
    pub(super) idx: u64,
    pub(super) timestamp_nanos: u64,
    pub(super) content: ByteBuf,
}
