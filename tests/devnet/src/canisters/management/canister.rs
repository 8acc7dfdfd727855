//! One canister that was made on the devnet: what it is to its controllers, and the few methods
//! that any module installed in it has.

use std::collections::{BTreeMap, VecDeque};

use candid::{CandidType, IDLArgs, Principal};
use ic_transport_types::RejectResponse;
use serde_bytes::ByteBuf;

use super::{
    chunks::ChunkStore,
    history::{Details, History, Origin},
    module::Module,
    refused, settings,
    wire::{
        CanisterSettings, DefiniteSettings, InstallMode, LogRecord, LogVisibility, MemoryMetrics,
        Persistence, QueryStats, RunState, Snapshot, Status,
    },
};
use crate::{
    canisters::{Call, Mode, Reply, Stop, exported, reply},
    replica::{self, state_tree::StateTree, subnet::cbor},
};

const INTERFACE: &str = include_str!("installed.did");
const METHODS: &[(&str, Mode)] = &[
    ("whoami", Mode::Query),
    ("module", Mode::Query),
    ("init_arg", Mode::Query),
    ("count", Mode::Query),
    ("increment", Mode::Update),
    ("log", Mode::Update),
];

/// What one day costs, and one installation.
const IDLE_PER_DAY: u128 = 50_000_000;
const INSTALLATION: u128 = 1_000_000_000;
const DAY_SECONDS: u128 = 86_400;
/// Bytes a log keeps; the oldest records go first.
const LOG_BYTES: usize = 4096;
const MAX_SNAPSHOTS: usize = 10;

type Outcome<T> = Result<T, RejectResponse>;

pub(super) struct Managed {
    id: Principal,
    pub(super) settings: DefiniteSettings,
    pub(super) cycles: u128,
    pub(super) run_state: RunState,
    code: Option<Code>,
    pub(super) chunks: ChunkStore,
    snapshots: BTreeMap<Vec<u8>, Taken>,
    snapshots_taken: u64,
    log: VecDeque<LogRecord>,
    logged: u64,
    pub(super) history: History,
    /// The canister's branch of the certified state.
    branch: StateTree,
}

/// A module at work.
#[derive(Clone)]
struct Code {
    module: Module,
    arg: Vec<u8>,
    count: u64,
}

struct Taken {
    code: Code,
    at: u64,
}

impl Managed {
    pub(super) fn new(id: Principal, settings: DefiniteSettings, cycles: u128, now: u64) -> Self {
        let mut history = History::default();
        let created = Details::Creation {
            controllers: settings.controllers.clone(),
            environment_variables_hash: None,
        };
        history.add(Origin::cycles_minting_canister(), created, now);
        let mut managed = Self {
            id,
            settings,
            cycles,
            run_state: RunState::Running,
            code: None,
            chunks: ChunkStore::default(),
            snapshots: BTreeMap::new(),
            snapshots_taken: 0,
            log: VecDeque::new(),
            logged: 0,
            history,
            branch: StateTree::branch(Vec::<(&str, StateTree)>::new()),
        };
        managed.certify();
        managed
    }

    pub(super) fn branch(&self) -> StateTree {
        self.branch.clone()
    }

    pub(super) fn module_hash(&self) -> Option<[u8; 32]> {
        self.code.as_ref().map(|code| code.module.hash)
    }

    /// Makes the certified branch anew from what the canister is now.
    fn certify(&mut self) {
        let controllers = StateTree::leaf(cbor(&self.settings.controllers));
        let mut branch = vec![("controllers", controllers)];
        if let Some(code) = &self.code {
            let hash = code.module.hash.as_slice();
            let mut metadata = code.module.metadata.clone();
            metadata
                .entry("candid:service".to_owned())
                .or_insert_with(|| INTERFACE.into());
            let metadata = metadata
                .into_iter()
                .map(|(name, value)| (name, StateTree::leaf(value)));
            branch.push(("module_hash", StateTree::leaf(hash)));
            branch.push(("metadata", StateTree::branch(metadata)));
        }
        self.branch = StateTree::branch(branch);
    }

    pub(super) fn controls(&self, caller: &Principal) -> bool {
        self.settings.controllers.contains(caller)
    }

    pub(super) fn may_read_log(&self, caller: &Principal) -> bool {
        self.controls(caller)
            || match &self.settings.log_visibility {
                LogVisibility::Controllers => false,
                LogVisibility::Public => true,
                LogVisibility::AllowedViewers(viewers) => viewers.contains(caller),
            }
    }

    pub(super) fn change_settings(
        &mut self,
        caller: Principal,
        to: &CanisterSettings,
        now: u64,
    ) -> Outcome<()> {
        settings::change(&mut self.settings, to).map_err(|problem| refused::settings(&problem))?;
        if let Some(controllers) = &to.controllers {
            let changed = Details::ControllersChange {
                controllers: controllers.clone(),
            };
            self.history.add(Origin::user(caller), changed, now);
        }
        self.certify();
        Ok(())
    }

    pub(super) fn install(
        &mut self,
        caller: Principal,
        mode: InstallMode,
        wasm: &[u8],
        arg: Vec<u8>,
        now: u64,
    ) -> Outcome<()> {
        let module =
            Module::parse(wasm).map_err(|problem| refused::invalid_wasm(self.id, &problem))?;
        let count = match (mode, &self.code) {
            (InstallMode::Install, Some(_)) => return Err(refused::not_empty(self.id)),
            (InstallMode::Upgrade(_), None) => return Err(refused::no_module(self.id)),
            (InstallMode::Upgrade(options), Some(code)) => {
                let persistence = options.and_then(|options| options.wasm_memory_persistence);
                match persistence {
                    None | Some(Persistence::Keep) => code.count,
                    Some(Persistence::Replace) => 0,
                }
            }
            (InstallMode::Install | InstallMode::Reinstall, _) => 0,
        };
        let needed = self.frozen_below() + INSTALLATION;
        if let Some(missing) = needed
            .checked_sub(self.cycles)
            .filter(|missing| *missing > 0)
        {
            return Err(refused::install_out_of_cycles(self.id, missing));
        }
        if let Err(error) = IDLArgs::from_bytes(&arg) {
            let problem = format!("failed to decode call arguments: {error:#}");
            return Err(replica::stopped(&self.id, Stop::Trap(problem)));
        }
        self.cycles -= INSTALLATION;
        let deployed = Details::code_deployment(mode, &module.hash);
        self.code = Some(Code { module, arg, count });
        self.history.add(Origin::user(caller), deployed, now);
        self.certify();
        Ok(())
    }

    pub(super) fn uninstall(&mut self, caller: Principal, now: u64) {
        self.code = None;
        self.chunks.clear();
        self.history
            .add(Origin::user(caller), Details::CodeUninstall, now);
        self.certify();
    }

    pub(super) fn take_snapshot(&mut self, replace: Option<&[u8]>, now: u64) -> Outcome<Snapshot> {
        let code = self
            .code
            .clone()
            .ok_or_else(|| refused::snapshot_of_nothing(self.id))?;
        match replace {
            Some(replaced) if self.snapshots.remove(replaced).is_none() => {
                return Err(refused::no_snapshot(self.id, replaced));
            }
            None if self.snapshots.len() == MAX_SNAPSHOTS => {
                return Err(refused::too_many_snapshots(self.id, MAX_SNAPSHOTS));
            }
            _ => {}
        }
        let number = self.snapshots_taken.to_be_bytes();
        self.snapshots_taken += 1;
        let id = [self.id.as_slice(), &number].concat();
        let taken = Taken { code, at: now };
        let shown = taken.shown(&id);
        self.snapshots.insert(id, taken);
        Ok(shown)
    }

    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        let shown = |(id, taken): (&Vec<u8>, &Taken)| taken.shown(id);
        self.snapshots.iter().map(shown).collect()
    }

    pub(super) fn load_snapshot(
        &mut self,
        caller: Principal,
        snapshot: &[u8],
        now: u64,
    ) -> Outcome<()> {
        let Some(taken) = self.snapshots.get(snapshot) else {
            return Err(refused::no_snapshot(self.id, snapshot));
        };
        let loaded = Details::load_snapshot(self.history.version(), snapshot, taken.at);
        self.code = Some(taken.code.clone());
        self.history.add(Origin::user(caller), loaded, now);
        self.certify();
        Ok(())
    }

    pub(super) fn delete_snapshot(&mut self, snapshot: &[u8]) -> Outcome<()> {
        match self.snapshots.remove(snapshot) {
            Some(_) => Ok(()),
            None => Err(refused::no_snapshot(self.id, snapshot)),
        }
    }

    pub(super) fn log(&self) -> Vec<LogRecord> {
        self.log.iter().cloned().collect()
    }

    pub(super) fn status(&self) -> Status {
        let module = self.code.as_ref().map(|code| &code.module);
        let binary = module.map_or(0, |module| module.size);
        let memory = if module.is_some() { 1 << 16 } else { 0 };
        let snapshots: u64 = self.snapshots.values().map(Taken::size).sum();
        let history = self.history.size();
        let total = binary + memory + snapshots + history + self.chunks.size();
        Status {
            status: self.run_state,
            ready_for_migration: false,
            version: self.history.version(),
            settings: self.settings.clone(),
            module_hash: module.map(|module| ByteBuf::from(module.hash)),
            memory_size: total.into(),
            memory_metrics: MemoryMetrics {
                wasm_memory_size: memory.into(),
                stable_memory_size: 0_u8.into(),
                global_memory_size: 0_u8.into(),
                wasm_binary_size: binary.into(),
                custom_sections_size: 0_u8.into(),
                canister_history_size: history.into(),
                wasm_chunk_store_size: self.chunks.size().into(),
                snapshots_size: snapshots.into(),
            },
            cycles: self.cycles.into(),
            reserved_cycles: 0_u8.into(),
            idle_cycles_burned_per_day: IDLE_PER_DAY.into(),
            query_stats: QueryStats {
                num_calls_total: 0_u8.into(),
                num_instructions_total: 0_u8.into(),
                request_payload_bytes_total: 0_u8.into(),
                response_payload_bytes_total: 0_u8.into(),
            },
        }
    }

    /// Cycles below which the canister does nothing.
    fn frozen_below(&self) -> u128 {
        let seconds = settings::number(&self.settings.freezing_threshold);
        IDLE_PER_DAY.saturating_mul(seconds.into()) / DAY_SECONDS
    }

    /// Runs a method of the installed module.
    pub(super) fn execute(&mut self, mode: Mode, call: &Call<'_>) -> Outcome<Vec<u8>> {
        if self.run_state == RunState::Stopped {
            return Err(refused::stopped(self.id));
        }
        let missing = self.frozen_below().saturating_sub(self.cycles);
        if missing > 0 {
            return Err(refused::out_of_cycles(self.id, missing));
        }
        let Some(code) = &mut self.code else {
            return Err(refused::no_module(self.id));
        };
        replica::check_exported(&self.id, exported(METHODS, call.method), mode, call.method)?;
        let ran = match call.method {
            "log" => call.args().and_then(|(line,): (String,)| {
                self.write_log(line, call.now);
                reply(())
            }),
            _ => code.run(call),
        };
        ran.map_err(|stop| replica::stopped(&self.id, stop))
    }

    fn write_log(&mut self, line: String, now: u64) {
        self.log.push_back(LogRecord {
            idx: self.logged,
            timestamp_nanos: now,
            content: ByteBuf::from(line),
        });
        self.logged += 1;
        while self
            .log
            .iter()
            .map(|record| record.content.len())
            .sum::<usize>()
            > LOG_BYTES
        {
            self.log.pop_front();
        }
    }
}

impl Code {
    fn run(&mut self, call: &Call<'_>) -> Reply {
        #[derive(CandidType)]
        struct Shown {
            hash: String,
            bytes: u64,
        }
        match call.method {
            "whoami" => reply((call.caller,)),
            "module" => reply((Shown {
                hash: hex::encode(self.module.hash),
                bytes: self.module.size,
            },)),
            "init_arg" => reply((ByteBuf::from(self.arg.clone()),)),
            "count" => reply((self.count,)),
            "increment" => {
                self.count += 1;
                reply((self.count,))
            }
            _ => call.unknown(),
        }
    }
}

impl Taken {
    fn size(&self) -> u64 {
        self.code.module.size + (1 << 16)
    }

    fn shown(&self, id: &[u8]) -> Snapshot {
        Snapshot {
            id: ByteBuf::from(id),
            taken_at_timestamp: self.at,
            total_size: self.size(),
        }
    }
}
