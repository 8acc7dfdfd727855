//! A double of the management canister, and the canisters that are made on the devnet
//! (IC interface specification, "The IC management canister").

mod canister;
mod chunks;
mod history;
mod module;
mod refused;
mod settings;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use candid::{CandidType, Principal, utils::ArgumentEncoder};
use ic_transport_types::RejectResponse;
use serde::Deserialize;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use self::{
    canister::Managed,
    history::Change,
    wire::{
        About, ChunkHash, InstallChunkedCode, InstallCode, Logs, NamedSnapshot, RunState,
        TakeSnapshot, UpdateSettings, UploadChunk,
    },
};
use super::{Call, Mode};
use crate::{
    clock::Clock,
    replica::{state_tree::StateTree, subnet::canister_id},
};

pub(crate) use self::wire::CanisterSettings;

/// Number of the first canister's id.
const FIRST: u64 = 0x100_1000;
/// What the making of a canister takes from its cycles.
pub(crate) const CREATION_FEE: u128 = 500_000_000_000;
/// What only the management canister's callers on the network may send.
const FOR_CANISTERS: &[&str] = &[
    "create_canister",
    "canister_info",
    "deposit_cycles",
    "raw_rand",
];
const LOGS: &str = "fetch_canister_logs";

type Outcome = Result<Vec<u8>, RejectResponse>;

/// The management canister, with every canister that was made through it.
#[derive(Default)]
pub(crate) struct Management {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    made: u64,
    canisters: BTreeMap<Principal, Managed>,
}

/// Why a canister is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCreated {
    #[error(
        "Creating a canister requires a fee of {CREATION_FEE} that is deducted from the canister's initial balance but only {0} cycles were received with the create_canister request."
    )]
    Cycles(u128),
    #[error("Could not validate the settings: {0}")]
    Settings(String),
}

/// No canister with this id was made here.
#[derive(Debug, thiserror::Error)]
#[error("Canister {0} not found.")]
pub(crate) struct NoCanister(Principal);

/// What the system reads of `canister_info` when a canister asks.
#[derive(CandidType)]
struct Info {
    total_num_changes: u64,
    recent_changes: Vec<Change>,
    module_hash: Option<ByteBuf>,
    controllers: Vec<Principal>,
}

#[derive(CandidType, Deserialize)]
struct InfoArgs {
    num_requested_changes: Option<u64>,
}

impl Management {
    /// Makes a canister with these cycles, of which the fee goes off. Controllers in `settings`
    /// take the place of `controllers`.
    pub(crate) fn create_canister(
        &self,
        controllers: Vec<Principal>,
        cycles: u128,
        settings: &CanisterSettings,
    ) -> Result<Principal, NotCreated> {
        let left = cycles
            .checked_sub(CREATION_FEE)
            .ok_or(NotCreated::Cycles(cycles))?;
        let mut initial = settings::initial(controllers);
        settings::change(&mut initial, settings).map_err(NotCreated::Settings)?;
        let mut state = self.state();
        let id = canister_id(FIRST + state.made);
        state.made += 1;
        let managed = Managed::new(id, initial, left, self.clock.wall());
        state.canisters.insert(id, managed);
        Ok(id)
    }

    /// Adds cycles to a canister. Returns its new balance.
    pub(crate) fn deposit(&self, canister: Principal, cycles: u128) -> Result<u128, NoCanister> {
        let mut state = self.state();
        let managed = state
            .canisters
            .get_mut(&canister)
            .ok_or(NoCanister(canister))?;
        managed.cycles = managed.cycles.saturating_add(cycles);
        Ok(managed.cycles)
    }

    /// Whether the canister was made here and still exists.
    pub(crate) fn exists(&self, canister: &Principal) -> bool {
        self.state().canisters.contains_key(canister)
    }

    /// Branches of the certified state below `/canister`.
    pub(crate) fn branches(&self) -> Vec<(Principal, StateTree)> {
        let state = self.state();
        let branch = |(id, managed): (&Principal, &Managed)| (*id, managed.branch());
        state.canisters.iter().map(branch).collect()
    }

    /// What a test wants to know of a canister without asking through what it tests.
    pub(crate) fn report(&self, canister: Principal) -> Result<Value, NoCanister> {
        let state = self.state();
        let managed = state.canisters.get(&canister).ok_or(NoCanister(canister))?;
        Ok(json!({
            "cycles": managed.cycles.to_string(),
            "running": managed.run_state == RunState::Running,
            "module_hash": managed.module_hash().map(hex::encode),
            "controllers": managed.settings.controllers.iter().map(Principal::to_text).collect::<Vec<_>>(),
            "chunks": managed.chunks.hashes().count(),
            "snapshots": managed.snapshots().len(),
            "changes": managed.history.version(),
        }))
    }

    /// Runs a method of a canister that was made here; none when it was not.
    pub(crate) fn execute(
        &self,
        mode: Mode,
        canister: &Principal,
        call: &Call<'_>,
    ) -> Option<Outcome> {
        let mut state = self.state();
        let managed = state.canisters.get_mut(canister)?;
        Some(managed.execute(mode, call))
    }

    /// Whether an update call to the management canister is taken in at all.
    pub(crate) fn accepts(
        &self,
        caller: &Principal,
        method: &str,
        arg: &[u8],
    ) -> Result<(), RejectResponse> {
        if FOR_CANISTERS.contains(&method) {
            return Err(refused::only_canisters(method));
        }
        if method == LOGS {
            return Err(refused::not_replicated(method));
        }
        let id = effective_canister(arg).ok_or_else(|| refused::payload(method))?;
        let state = self.state();
        let managed = state
            .canisters
            .get(&id)
            .ok_or_else(|| refused::not_found(id))?;
        if managed.controls(caller) {
            Ok(())
        } else {
            Err(refused::not_a_controller(id, method))
        }
    }

    /// Runs an update call that [`Management::accepts`] took in.
    pub(crate) fn update(&self, call: &Call<'_>) -> Outcome {
        let id = effective_canister(call.arg).ok_or_else(|| refused::payload(call.method))?;
        let mut state = self.state();
        if call.method == "install_chunked_code" {
            return state.install_chunked(call);
        }
        let Some(managed) = state.canisters.get_mut(&id) else {
            return Err(refused::not_found(id));
        };
        let (caller, now) = (call.caller, call.now);
        match call.method {
            "canister_status" => reply((managed.status(),)),
            "update_settings" => {
                let args: UpdateSettings = decode(call)?;
                managed.change_settings(caller, &args.settings, now)?;
                reply(())
            }
            "start_canister" => {
                managed.run_state = RunState::Running;
                reply(())
            }
            "stop_canister" => {
                managed.run_state = RunState::Stopped;
                reply(())
            }
            "uninstall_code" => {
                managed.uninstall(caller, now);
                reply(())
            }
            "delete_canister" if managed.run_state == RunState::Stopped => {
                state.canisters.remove(&id);
                reply(())
            }
            "delete_canister" => Err(refused::not_stopped(id)),
            "install_code" => {
                let InstallCode {
                    mode,
                    wasm_module,
                    arg,
                } = decode(call)?;
                managed.install(caller, mode, &wasm_module, arg.into_vec(), now)?;
                reply(())
            }
            "upload_chunk" => {
                let args: UploadChunk = decode(call)?;
                let stored = managed.chunks.insert(args.chunk.into_vec());
                let hash = stored.map_err(|problem| refused::chunk_store(&problem))?;
                reply((ChunkHash::from(hash),))
            }
            "clear_chunk_store" => {
                managed.chunks.clear();
                reply(())
            }
            "stored_chunks" => {
                let hashes = managed.chunks.hashes().map(ChunkHash::from);
                reply((hashes.collect::<Vec<_>>(),))
            }
            "take_canister_snapshot" => {
                let args: TakeSnapshot = decode(call)?;
                let replaced = args.replace_snapshot.as_ref().map(|id| id.as_slice());
                reply((managed.take_snapshot(replaced, now)?,))
            }
            "list_canister_snapshots" => reply((managed.snapshots(),)),
            "load_canister_snapshot" => {
                let args: NamedSnapshot = decode(call)?;
                managed.load_snapshot(caller, &args.snapshot_id, now)?;
                reply(())
            }
            "delete_canister_snapshot" => {
                let args: NamedSnapshot = decode(call)?;
                managed.delete_snapshot(&args.snapshot_id)?;
                reply(())
            }
            _ => Err(refused::unknown_method(call.method)),
        }
    }

    /// Answers a query to the management canister.
    pub(crate) fn query(&self, call: &Call<'_>) -> Outcome {
        if call.method != LOGS {
            return Err(refused::unknown_method(call.method));
        }
        let id = effective_canister(call.arg).ok_or_else(|| refused::payload(call.method))?;
        let state = self.state();
        let managed = state
            .canisters
            .get(&id)
            .ok_or_else(|| refused::not_found(id))?;
        if !managed.may_read_log(&call.caller) {
            return Err(refused::not_a_viewer(call.caller));
        }
        reply((Logs {
            canister_log_records: managed.log(),
        },))
    }

    /// `canister_info`, as a canister of the network would be answered.
    pub(crate) fn canister_info(&self, arg: &[u8]) -> Outcome {
        let id = effective_canister(arg).ok_or_else(|| refused::payload("canister_info"))?;
        let args = candid::decode_one(arg).map_err(|_| refused::payload("canister_info"))?;
        let InfoArgs {
            num_requested_changes,
        } = args;
        let state = self.state();
        let managed = state
            .canisters
            .get(&id)
            .ok_or_else(|| refused::not_found(id))?;
        reply((Info {
            total_num_changes: managed.history.version(),
            recent_changes: managed.history.recent(num_requested_changes.unwrap_or(0)),
            module_hash: managed.module_hash().map(ByteBuf::from),
            controllers: managed.settings.controllers.clone(),
        },))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        crate::lock(&self.state)
    }
}

impl State {
    fn install_chunked(&mut self, call: &Call<'_>) -> Outcome {
        let args: InstallChunkedCode = decode(call)?;
        let target = args.target_canister;
        let store = args.store_canister.unwrap_or(target);
        let holder = self
            .canisters
            .get(&store)
            .ok_or_else(|| refused::not_found(store))?;
        if !holder.controls(&call.caller) {
            return Err(refused::not_a_controller(store, call.method));
        }
        let hashes = args.chunk_hashes_list.iter();
        let assembled = holder.chunks.assemble(
            hashes.map(|chunk| chunk.hash.as_slice()),
            &args.wasm_module_hash,
        );
        let wasm = assembled.map_err(|problem| refused::chunk_store(&problem))?;
        let managed = self
            .canisters
            .get_mut(&target)
            .ok_or_else(|| refused::not_found(target))?;
        managed.install(call.caller, args.mode, &wasm, args.arg.into_vec(), call.now)?;
        reply(())
    }
}

/// The canister that an argument of the management canister is about, by which its request must be
/// routed (IC interface specification, "Effective canister id").
pub(crate) fn effective_canister(arg: &[u8]) -> Option<Principal> {
    let about: About = candid::decode_one(arg).ok()?;
    about.canister_id.or(about.target_canister)
}

fn decode<T: CandidType + for<'d> Deserialize<'d>>(call: &Call<'_>) -> Result<T, RejectResponse> {
    candid::decode_one(call.arg).map_err(|_| refused::payload(call.method))
}

fn reply(results: impl ArgumentEncoder) -> Outcome {
    let encoded = candid::encode_args(results);
    Ok(encoded.expect("the types of the management canister can be encoded"))
}

impl From<[u8; 32]> for ChunkHash {
    fn from(hash: [u8; 32]) -> Self {
        Self {
            hash: ByteBuf::from(hash),
        }
    }
}
