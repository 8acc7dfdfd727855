//! What happened to a canister, as other canisters may read it.

use std::collections::VecDeque;

use candid::{CandidType, Principal, Reserved};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::wire::InstallMode;
use crate::replica::subnet::canister_id;

/// Changes kept; the oldest goes first.
const CAPACITY: usize = 20;
/// Memory a change is said to take, in bytes.
const CHANGE_BYTES: u64 = 200;
/// Number of the id of the canister that makes canisters for people.
const CYCLES_MINTING_CANISTER: u64 = 4;

#[derive(Default)]
pub(super) struct History {
    changes: VecDeque<Change>,
    total: u64,
}

#[derive(Clone, CandidType)]
pub(super) struct Change {
    timestamp_nanos: u64,
    canister_version: u64,
    origin: Origin,
    details: Details,
}

#[derive(Clone, CandidType, Deserialize)]
pub(super) enum Origin {
    #[serde(rename = "from_user")]
    FromUser { user_id: Principal },
    #[serde(rename = "from_canister")]
    FromCanister {
        canister_id: Principal,
        canister_version: Option<u64>,
    },
}

#[derive(Clone, CandidType, Deserialize)]
pub(super) enum Details {
    #[serde(rename = "creation")]
    Creation {
        controllers: Vec<Principal>,
        environment_variables_hash: Option<ByteBuf>,
    },
    #[serde(rename = "code_uninstall")]
    CodeUninstall,
    #[serde(rename = "code_deployment")]
    CodeDeployment {
        mode: DeploymentMode,
        module_hash: ByteBuf,
    },
    #[serde(rename = "load_snapshot")]
    LoadSnapshot {
        canister_version: u64,
        snapshot_id: ByteBuf,
        taken_at_timestamp: u64,
        source: SnapshotSource,
    },
    #[serde(rename = "controllers_change")]
    ControllersChange { controllers: Vec<Principal> },
}

#[derive(Clone, Copy, CandidType, Deserialize)]
pub(super) enum DeploymentMode {
    #[serde(rename = "install")]
    Install,
    #[serde(rename = "reinstall")]
    Reinstall,
    #[serde(rename = "upgrade")]
    Upgrade,
}

#[derive(Clone, CandidType, Deserialize)]
pub(super) enum SnapshotSource {
    #[serde(rename = "taken_from_canister")]
    TakenFromCanister(Reserved),
}

impl History {
    pub(super) fn add(&mut self, origin: Origin, details: Details, now: u64) {
        let change = Change {
            timestamp_nanos: now,
            canister_version: self.total,
            origin,
            details,
        };
        self.total += 1;
        if self.changes.len() == CAPACITY {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }

    /// How often the canister changed.
    pub(super) fn version(&self) -> u64 {
        self.total
    }

    /// In bytes.
    pub(super) fn size(&self) -> u64 {
        self.changes.len() as u64 * CHANGE_BYTES
    }

    /// The last `count` changes, oldest first.
    pub(super) fn recent(&self, count: u64) -> Vec<Change> {
        let skipped = (self.changes.len() as u64).saturating_sub(count);
        self.changes
            .iter()
            .skip(skipped as usize)
            .cloned()
            .collect()
    }
}

impl Origin {
    pub(super) fn user(user_id: Principal) -> Self {
        Self::FromUser { user_id }
    }

    pub(super) fn cycles_minting_canister() -> Self {
        Self::FromCanister {
            canister_id: canister_id(CYCLES_MINTING_CANISTER),
            canister_version: None,
        }
    }
}

impl Details {
    pub(super) fn code_deployment(mode: InstallMode, hash: &[u8; 32]) -> Self {
        let mode = match mode {
            InstallMode::Install => DeploymentMode::Install,
            InstallMode::Reinstall => DeploymentMode::Reinstall,
            InstallMode::Upgrade(_) => DeploymentMode::Upgrade,
        };
        Self::CodeDeployment {
            mode,
            module_hash: ByteBuf::from(*hash),
        }
    }

    pub(super) fn load_snapshot(canister_version: u64, id: &[u8], taken_at: u64) -> Self {
        Self::LoadSnapshot {
            canister_version,
            snapshot_id: ByteBuf::from(id),
            taken_at_timestamp: taken_at,
            source: SnapshotSource::TakenFromCanister(Reserved),
        }
    }
}
