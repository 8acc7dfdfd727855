//! The cycles minting canister: turns ICP that was sent to it into canisters and cycles, each block
//! once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

use super::{
    Call, Canister, Mode, Reply, exported,
    ledger::{Block, Ledger, identifier},
    management::{CanisterSettings, Management},
    reply,
};

const MEMO_CREATE: u64 = 0x4145_5243;
const MEMO_TOP_UP: u64 = 0x5055_5054;
/// Ten-thousandths of an XDR for one ICP, at first.
const RATE: u64 = 50_000;

const METHODS: &[(&str, Mode)] = &[
    ("get_icp_xdr_conversion_rate", Mode::Query),
    ("notify_create_canister", Mode::Update),
    ("notify_top_up", Mode::Update),
];

pub(crate) struct Cmc {
    id: Principal,
    ledger: Arc<Ledger>,
    management: Arc<Management>,
    state: Mutex<State>,
}

struct State {
    outcomes: HashMap<u64, Result<Made, NotifyError>>,
    conduct: Conduct,
    totals: Totals,
}

/// How it behaves, as tests order it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Conduct {
    /// Ten-thousandths of an XDR for one ICP.
    rate: u64,
    /// So many notifications are answered `Processing`.
    processing: u32,
    /// Payments are refunded for this reason.
    refund: Option<String>,
    /// Blocks before this one are too old to be notified.
    oldest: u64,
}

/// What was made of blocks.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Totals {
    minted: u128,
    notified: u64,
    refunded: u64,
}

#[derive(Clone, Copy)]
enum Made {
    Canister(Principal),
    Cycles(u128),
}

#[derive(CandidType, Clone)]
enum NotifyError {
    Refunded {
        reason: String,
        block_index: Option<u64>,
    },
    Processing,
    TransactionTooOld(u64),
    InvalidTransaction(String),
    Other {
        error_code: u64,
        error_message: String,
    },
}

/// There is no choice of subnets here.
#[derive(CandidType, Deserialize)]
struct CreateArgs {
    block_index: u64,
    controller: Principal,
    settings: Option<CanisterSettings>,
}

#[derive(CandidType, Deserialize)]
struct TopUpArgs {
    block_index: u64,
    canister_id: Principal,
}

#[derive(CandidType)]
struct Rate {
    data: RateData,
    hash_tree: Vec<u8>,
    certificate: Vec<u8>,
}

#[derive(CandidType)]
struct RateData {
    xdr_permyriad_per_icp: u64,
    timestamp_seconds: u64,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            rate: RATE,
            processing: 0,
            refund: None,
            oldest: 0,
        }
    }
}

impl Cmc {
    pub(crate) fn new(id: Principal, ledger: Arc<Ledger>, management: Arc<Management>) -> Self {
        Self {
            id,
            ledger,
            management,
            state: Mutex::new(State {
                outcomes: HashMap::new(),
                conduct: Conduct::default(),
                totals: Totals::default(),
            }),
        }
    }

    pub(crate) fn behave(&self, conduct: Conduct) {
        self.state().conduct = conduct;
    }

    pub(crate) fn totals(&self) -> Totals {
        self.state().totals
    }

    fn state(&self) -> MutexGuard<'_, State> {
        crate::lock(&self.state)
    }

    /// Makes something of a block, or says again what was made of it.
    fn notified(
        &self,
        index: u64,
        beneficiary: Principal,
        memo: u64,
        make: impl FnOnce(u128) -> Result<Made, String>,
    ) -> Result<Made, NotifyError> {
        let mut state = self.state();
        if state.conduct.processing > 0 {
            state.conduct.processing -= 1;
            return Err(NotifyError::Processing);
        }
        if index < state.conduct.oldest {
            return Err(NotifyError::TransactionTooOld(state.conduct.oldest));
        }
        let block = self.payment(index, beneficiary, memo)?;
        if let Some(outcome) = state.outcomes.get(&index) {
            return outcome.clone();
        }
        let cycles = u128::from(block.e8s) * u128::from(state.conduct.rate);
        let outcome = match state.conduct.refund.clone() {
            Some(reason) => Err(reason),
            None => make(cycles),
        };
        let outcome = match outcome {
            Ok(made) => {
                self.ledger.burn(&block.to, block.e8s);
                state.totals.minted += cycles;
                state.totals.notified += 1;
                Ok(made)
            }
            Err(reason) => {
                state.totals.refunded += 1;
                Err(NotifyError::Refunded {
                    reason,
                    block_index: Some(self.ledger.give_back(&block)),
                })
            }
        };
        state.outcomes.insert(index, outcome.clone());
        outcome
    }

    /// The block, if it pays this canister for that purpose and beneficiary.
    fn payment(&self, index: u64, beneficiary: Principal, memo: u64) -> Result<Block, NotifyError> {
        let invalid = |why: &str| NotifyError::InvalidTransaction(format!("block {index}: {why}"));
        let block = self.ledger.block(index).ok_or_else(|| NotifyError::Other {
            error_code: 1,
            error_message: format!("block {index} is not there or is no transfer"),
        })?;
        if block.to != identifier(self.id, &of_principal(beneficiary)) {
            return Err(invalid("the transfer went to another account"));
        }
        if block.memo != memo {
            return Err(invalid("the transfer has another memo"));
        }
        Ok(block)
    }

    fn notify_create_canister(&self, call: &Call<'_>) -> Reply {
        let (args,): (CreateArgs,) = call.args()?;
        let outcome = if args.controller == call.caller {
            self.notified(args.block_index, args.controller, MEMO_CREATE, |cycles| {
                let settings = args.settings.clone().unwrap_or_default();
                self.management
                    .create_canister(vec![args.controller], cycles, &settings)
                    .map(Made::Canister)
                    .map_err(|error| error.to_string())
            })
        } else {
            Err(NotifyError::InvalidTransaction(
                "only the controller may notify".to_owned(),
            ))
        };
        reply((outcome.and_then(|made| match made {
            Made::Canister(id) => Ok(id),
            Made::Cycles(_) => Err(NotifyError::InvalidTransaction("a top-up".to_owned())),
        }),))
    }

    fn notify_top_up(&self, call: &Call<'_>) -> Reply {
        let (args,): (TopUpArgs,) = call.args()?;
        let canister = args.canister_id;
        let outcome = self.notified(args.block_index, canister, MEMO_TOP_UP, |cycles| {
            let deposited = self.management.deposit(canister, cycles);
            deposited
                .map(|_| Made::Cycles(cycles))
                .map_err(|error| error.to_string())
        });
        reply((outcome.and_then(|made| match made {
            Made::Cycles(cycles) => Ok(candid::Nat::from(cycles)),
            Made::Canister(_) => Err(NotifyError::InvalidTransaction("a canister".to_owned())),
        }),))
    }
}

impl Canister for Cmc {
    fn interface(&self) -> Option<String> {
        Some(include_str!("cmc.did").to_owned())
    }

    fn mode(&self, method: &str) -> Option<Mode> {
        exported(METHODS, method)
    }

    fn execute(&self, call: &Call<'_>) -> Reply {
        match call.method {
            "get_icp_xdr_conversion_rate" => reply((Rate {
                data: RateData {
                    xdr_permyriad_per_icp: self.state().conduct.rate,
                    timestamp_seconds: call.now / crate::clock::SECOND,
                },
                hash_tree: Vec::new(),
                certificate: Vec::new(),
            },)),
            "notify_create_canister" => self.notify_create_canister(call),
            "notify_top_up" => self.notify_top_up(call),
            _ => call.unknown(),
        }
    }
}

/// The subaccount that belongs to a principal: its length, its bytes, zeros.
fn of_principal(principal: Principal) -> [u8; 32] {
    let bytes = principal.as_slice();
    let mut subaccount = [0; 32];
    subaccount[0] = bytes.len() as u8;
    subaccount[1..=bytes.len()].copy_from_slice(bytes);
    subaccount
}
