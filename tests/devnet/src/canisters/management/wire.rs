//! Candid types of the management canister, as its clients and the doubles that make canisters see
//! them (IC interface specification, "The IC management canister").

use candid::{CandidType, Nat, Principal};
use serde::Deserialize;
use serde_bytes::ByteBuf;

/// Settings to be set; what is absent stays as it is.
#[derive(Clone, Default, CandidType, Deserialize)]
pub(crate) struct CanisterSettings {
    pub(crate) controllers: Option<Vec<Principal>>,
    pub(crate) compute_allocation: Option<Nat>,
    pub(crate) memory_allocation: Option<Nat>,
    pub(crate) freezing_threshold: Option<Nat>,
    pub(crate) reserved_cycles_limit: Option<Nat>,
    pub(crate) log_visibility: Option<LogVisibility>,
    pub(crate) wasm_memory_limit: Option<Nat>,
}

#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(crate) enum LogVisibility {
    #[serde(rename = "controllers")]
    Controllers,
    #[serde(rename = "public")]
    Public,
    #[serde(rename = "allowed_viewers")]
    AllowedViewers(Vec<Principal>),
}

/// Settings as they are.
#[derive(Clone, CandidType)]
pub(super) struct DefiniteSettings {
    pub(super) controllers: Vec<Principal>,
    pub(super) compute_allocation: Nat,
    pub(super) memory_allocation: Nat,
    pub(super) freezing_threshold: Nat,
    pub(super) reserved_cycles_limit: Nat,
    pub(super) log_visibility: LogVisibility,
    pub(super) wasm_memory_limit: Nat,
    pub(super) wasm_memory_threshold: Nat,
    pub(super) environment_variables: Vec<EnvironmentVariable>,
}

#[derive(Clone, CandidType)]
pub(super) struct EnvironmentVariable {
    pub(super) name: String,
    pub(super) value: String,
}

/// The canister that a call is about: every argument names it in one of these fields.
#[derive(CandidType, Deserialize)]
pub(super) struct About {
    pub(super) canister_id: Option<Principal>,
    pub(super) target_canister: Option<Principal>,
}

#[derive(CandidType, Deserialize)]
pub(super) struct UpdateSettings {
    pub(super) settings: CanisterSettings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum Persistence {
    #[serde(rename = "keep")]
    Keep,
    #[serde(rename = "replace")]
    Replace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) struct Upgrade {
    pub(super) skip_pre_upgrade: Option<bool>,
    pub(super) wasm_memory_persistence: Option<Persistence>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum InstallMode {
    #[serde(rename = "install")]
    Install,
    #[serde(rename = "reinstall")]
    Reinstall,
    #[serde(rename = "upgrade")]
    Upgrade(Option<Upgrade>),
}

#[derive(CandidType, Deserialize)]
pub(super) struct InstallCode {
    pub(super) mode: InstallMode,
    pub(super) wasm_module: ByteBuf,
    pub(super) arg: ByteBuf,
}

#[derive(CandidType, Deserialize)]
pub(super) struct InstallChunkedCode {
    pub(super) mode: InstallMode,
    pub(super) target_canister: Principal,
    pub(super) store_canister: Option<Principal>,
    pub(super) chunk_hashes_list: Vec<ChunkHash>,
    pub(super) wasm_module_hash: ByteBuf,
    pub(super) arg: ByteBuf,
}

#[derive(CandidType, Deserialize)]
pub(super) struct ChunkHash {
    pub(super) hash: ByteBuf,
}

#[derive(CandidType, Deserialize)]
pub(super) struct UploadChunk {
    pub(super) chunk: ByteBuf,
}

#[derive(CandidType, Deserialize)]
pub(super) struct TakeSnapshot {
    pub(super) replace_snapshot: Option<ByteBuf>,
}

#[derive(CandidType, Deserialize)]
pub(super) struct NamedSnapshot {
    pub(super) snapshot_id: ByteBuf,
}

#[derive(CandidType)]
pub(super) struct Snapshot {
    pub(super) id: ByteBuf,
    pub(super) taken_at_timestamp: u64,
    pub(super) total_size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum RunState {
    #[serde(rename = "running")]
    Running,
    #[serde(rename = "stopped")]
    Stopped,
}

#[derive(CandidType)]
pub(super) struct Status {
    pub(super) status: RunState,
    pub(super) ready_for_migration: bool,
    pub(super) version: u64,
    pub(super) settings: DefiniteSettings,
    pub(super) module_hash: Option<ByteBuf>,
    pub(super) memory_size: Nat,
    pub(super) memory_metrics: MemoryMetrics,
    pub(super) cycles: Nat,
    pub(super) reserved_cycles: Nat,
    pub(super) idle_cycles_burned_per_day: Nat,
    pub(super) query_stats: QueryStats,
}

#[derive(CandidType)]
pub(super) struct MemoryMetrics {
    pub(super) wasm_memory_size: Nat,
    pub(super) stable_memory_size: Nat,
    pub(super) global_memory_size: Nat,
    pub(super) wasm_binary_size: Nat,
    pub(super) custom_sections_size: Nat,
    pub(super) canister_history_size: Nat,
    pub(super) wasm_chunk_store_size: Nat,
    pub(super) snapshots_size: Nat,
}

#[derive(CandidType)]
pub(super) struct QueryStats {
    pub(super) num_calls_total: Nat,
    pub(super) num_instructions_total: Nat,
    pub(super) request_payload_bytes_total: Nat,
    pub(super) response_payload_bytes_total: Nat,
}

#[derive(CandidType)]
pub(super) struct Logs {
    pub(super) canister_log_records: Vec<LogRecord>,
}

#[derive(Clone, CandidType)]
pub(super) struct LogRecord {
    pub(super) idx: u64,
    pub(super) timestamp_nanos: u64,
    pub(super) content: ByteBuf,
}
