//! The cycles ledger: balances of cycles, withdrawals to canisters and new canisters. Cycles come
//! into being only by the devnet's control interface.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use candid::{CandidType, Int, Nat, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{
    Call, Canister, Mode, Reply, exported,
    ledger::subaccount,
    management::{CanisterSettings, Management},
    reply,
};
use crate::{
    clock::{MINUTE, SECOND},
    replica::public_key::sha256,
};

/// Fee of every block, in cycles.
const FEE: u128 = 100_000_000;
const TRANSACTION_WINDOW: u64 = 24 * 60 * MINUTE;
const PERMITTED_DRIFT: u64 = 60 * SECOND;
/// Blocks that are given at once.
const MOST_BLOCKS: usize = 2;

const METHODS: &[(&str, Mode)] = &[
    ("icrc1_balance_of", Mode::Query),
    ("icrc1_fee", Mode::Query),
    ("icrc1_decimals", Mode::Query),
    ("icrc1_symbol", Mode::Query),
    ("icrc3_get_blocks", Mode::Query),
    ("create_canister", Mode::Update),
    ("withdraw", Mode::Update),
];

type Account = (Principal, [u8; 32]);

pub(crate) struct CyclesLedger {
    management: Arc<Management>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    balances: BTreeMap<Account, u128>,
    blocks: Vec<Value>,
    recent: HashMap<[u8; 32], Recent>,
    totals: Totals,
}

/// A payment that took cycles from a balance, and the canister it made.
#[derive(Clone, Copy)]
struct Recent {
    block: u64,
    made: Option<Principal>,
}

/// What came and went, in cycles: `credited` is `held`, `delivered` and `fees` together.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Totals {
    credited: u128,
    delivered: u128,
    fees: u128,
    held: u128,
    payments: u64,
}

#[derive(CandidType, Deserialize)]
struct WireAccount {
    owner: Principal,
    subaccount: Option<ByteBuf>,
}

#[derive(CandidType, Deserialize)]
struct CreateArgs {
    from_subaccount: Option<ByteBuf>,
    created_at_time: Option<u64>,
    amount: Nat,
    creation_args: Option<CreationArgs>,
}

/// There is no choice of subnets here.
#[derive(CandidType, Deserialize)]
struct CreationArgs {
    settings: Option<CanisterSettings>,
}

#[derive(CandidType)]
struct Created {
    block_id: Nat,
    canister_id: Principal,
}

#[derive(CandidType)]
enum CreateError {
    InsufficientFunds {
        balance: Nat,
    },
    TooOld,
    CreatedInFuture {
        ledger_time: u64,
    },
    Duplicate {
        duplicate_of: Nat,
        canister_id: Option<Principal>,
    },
    FailedToCreate {
        fee_block: Option<Nat>,
        refund_block: Option<Nat>,
        error: String,
    },
}

#[derive(CandidType, Deserialize)]
struct WithdrawArgs {
    amount: Nat,
    from_subaccount: Option<ByteBuf>,
    to: Principal,
    created_at_time: Option<u64>,
}

#[derive(CandidType)]
#[expect(dead_code, reason = "the type has to carry every case")]
enum RejectionCode {
    NoError,
    SysFatal,
    SysTransient,
    DestinationInvalid,
    CanisterReject,
    CanisterError,
    Unknown,
}

#[derive(CandidType)]
enum WithdrawError {
    FailedToWithdraw {
        fee_block: Option<Nat>,
        rejection_code: RejectionCode,
        rejection_reason: String,
    },
    Duplicate {
        duplicate_of: Nat,
    },
    InvalidReceiver {
        receiver: Principal,
    },
    CreatedInFuture {
        ledger_time: u64,
    },
    TooOld,
    InsufficientFunds {
        balance: Nat,
    },
}

/// ICRC-3's form of a block.
#[derive(Clone, CandidType)]
#[expect(dead_code, reason = "the type has to carry every case")]
enum Value {
    Int(Int),
    Map(Vec<(String, Value)>),
    Nat(Nat),
    Nat64(u64),
    Blob(ByteBuf),
    Text(String),
    Array(Vec<Value>),
}

#[derive(CandidType, Deserialize)]
struct BlockRange {
    start: Nat,
    length: Nat,
}

#[derive(CandidType)]
struct NumberedBlock {
    id: Nat,
    block: Value,
}

#[derive(CandidType)]
struct Blocks {
    log_length: Nat,
    blocks: Vec<NumberedBlock>,
    archived_blocks: Vec<Archived>,
}

/// Never there: this ledger has no archive.
#[derive(CandidType)]
struct Archived {
    args: Vec<BlockRange>,
}

/// Why cycles stay where they are.
enum Refused {
    Insufficient(u128),
    TooOld,
    InFuture,
    Duplicate(Recent),
}

impl Books {
    /// Writes a block and returns its number.
    fn append(
        &mut self,
        operation: &str,
        account: &Account,
        amount: u128,
        created_at: Option<u64>,
        memo: &[u8],
    ) -> u64 {
        let (owner, subaccount) = account;
        let side = if operation == "mint" { "to" } else { "from" };
        let mut whose = vec![Value::Blob(ByteBuf::from(owner.as_slice()))];
        if *subaccount != [0; 32] {
            whose.push(Value::Blob(ByteBuf::from(subaccount)));
        }
        let mut transaction = vec![
            ("op", Value::Text(operation.to_owned())),
            (side, Value::Array(whose)),
            ("amt", Value::Nat(amount.into())),
            ("memo", Value::Blob(ByteBuf::from(memo))),
        ];
        if let Some(created_at) = created_at {
            transaction.push(("ts", Value::Nat(created_at.into())));
        }
        let named = transaction
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let block = vec![("tx".to_owned(), Value::Map(named.collect()))];
        self.blocks.push(Value::Map(block));
        self.blocks.len() as u64 - 1
    }
}

impl CyclesLedger {
    pub(crate) fn new(management: Arc<Management>) -> Self {
        Self {
            management,
            books: Mutex::default(),
        }
    }

    /// Puts cycles on the owner's default account. Returns its new balance.
    pub(crate) fn credit(&self, owner: Principal, cycles: u128) -> u128 {
        let mut books = self.books();
        books.append("mint", &(owner, [0; 32]), cycles, None, &[]);
        books.totals.credited += cycles;
        let balance = books.balances.entry((owner, [0; 32])).or_default();
        *balance += cycles;
        *balance
    }

    pub(crate) fn totals(&self) -> Totals {
        let books = self.books();
        Totals {
            held: books.balances.values().sum(),
            ..books.totals
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        crate::lock(&self.books)
    }

    /// Takes amount and fee from an account. What distinguishes one payment from another is the
    /// account, the amount, the time and `purpose`, as in the real ledger: not the settings of a
    /// canister to be made. As there, the balance is looked at first: a repetition of what emptied
    /// it is not recognised.
    fn take(
        &self,
        now: u64,
        from: Account,
        amount: u128,
        created_at: Option<u64>,
        purpose: &[u8],
    ) -> Result<(u64, [u8; 32]), Refused> {
        let mut books = self.books();
        let balance = books.balances.get(&from).copied().unwrap_or(0);
        let left = amount
            .checked_add(FEE)
            .and_then(|total| balance.checked_sub(total))
            .ok_or(Refused::Insufficient(balance))?;
        if let Some(created) = created_at {
            if created.saturating_add(TRANSACTION_WINDOW + PERMITTED_DRIFT) < now {
                return Err(Refused::TooOld);
            }
            if created > now + PERMITTED_DRIFT {
                return Err(Refused::InFuture);
            }
        }
        let fingerprint = sha256(
            &[
                from.0.as_slice(),
                &from.1,
                &amount.to_be_bytes(),
                &created_at.unwrap_or(now).to_be_bytes(),
                purpose,
            ]
            .concat(),
        );
        if let Some(recent) = books.recent.get(&fingerprint) {
            return Err(Refused::Duplicate(*recent));
        }
        books.balances.insert(from, left);
        books.totals.fees += FEE;
        books.totals.delivered += amount;
        books.totals.payments += 1;
        let block = books.append("burn", &from, amount, created_at, purpose);
        books
            .recent
            .insert(fingerprint, Recent { block, made: None });
        Ok((block, fingerprint))
    }

    /// Puts back what could not be delivered, less another fee. Returns the block.
    fn put_back(&self, to: Account, amount: u128) -> Option<u64> {
        let mut books = self.books();
        let returned = amount.checked_sub(FEE)?;
        *books.balances.entry(to).or_default() += returned;
        books.totals.delivered -= amount;
        books.totals.fees += FEE;
        Some(books.append("mint", &to, returned, None, &[]))
    }

    fn get_blocks(&self, call: &Call<'_>) -> Reply {
        let (ranges,): (Vec<BlockRange>,) = call.args()?;
        let books = self.books();
        let count = books.blocks.len();
        let index = |n: &Nat| usize::try_from(&n.0).unwrap_or(usize::MAX).min(count);
        let asked = ranges.iter().flat_map(|range| {
            let start = index(&range.start);
            start..start.saturating_add(index(&range.length)).min(count)
        });
        let blocks = asked.take(MOST_BLOCKS).map(|id| NumberedBlock {
            id: id.into(),
            block: books.blocks[id].clone(),
        });
        reply((Blocks {
            log_length: count.into(),
            blocks: blocks.collect(),
            archived_blocks: Vec::new(),
        },))
    }

    fn create_canister(&self, call: &Call<'_>) -> Reply {
        let (args,): (CreateArgs,) = call.args()?;
        let from = (call.caller, subaccount(args.from_subaccount.as_ref())?);
        let amount = cycles(&args.amount);
        let taken = self.take(call.now, from, amount, args.created_at_time, b"create");
        let (block, fingerprint) = match taken {
            Ok(taken) => taken,
            Err(refused) => {
                return reply((Err::<Created, _>(match refused {
                    Refused::Insufficient(balance) => CreateError::InsufficientFunds {
                        balance: balance.into(),
                    },
                    Refused::TooOld => CreateError::TooOld,
                    Refused::InFuture => CreateError::CreatedInFuture {
                        ledger_time: call.now,
                    },
                    Refused::Duplicate(recent) => CreateError::Duplicate {
                        duplicate_of: recent.block.into(),
                        canister_id: recent.made,
                    },
                }),));
            }
        };
        let settings = args.creation_args.and_then(|args| args.settings);
        let owners = vec![call.caller];
        let made = self
            .management
            .create_canister(owners, amount, &settings.unwrap_or_default());
        match made {
            Ok(canister_id) => {
                if let Some(recent) = self.books().recent.get_mut(&fingerprint) {
                    recent.made = Some(canister_id);
                }
                reply((Ok::<_, CreateError>(Created {
                    block_id: block.into(),
                    canister_id,
                }),))
            }
            Err(error) => reply((Err::<Created, _>(CreateError::FailedToCreate {
                fee_block: Some(block.into()),
                refund_block: self.put_back(from, amount).map(Nat::from),
                error: error.to_string(),
            }),)),
        }
    }

    fn withdraw(&self, call: &Call<'_>) -> Reply {
        let (args,): (WithdrawArgs,) = call.args()?;
        if args.to == Principal::management_canister() {
            return reply((Err::<Nat, _>(WithdrawError::InvalidReceiver {
                receiver: args.to,
            }),));
        }
        let from = (call.caller, subaccount(args.from_subaccount.as_ref())?);
        let amount = cycles(&args.amount);
        let purpose = args.to.as_slice();
        let taken = self.take(call.now, from, amount, args.created_at_time, purpose);
        let (block, _) = match taken {
            Ok(taken) => taken,
            Err(refused) => {
                return reply((Err::<Nat, _>(match refused {
                    Refused::Insufficient(balance) => WithdrawError::InsufficientFunds {
                        balance: balance.into(),
                    },
                    Refused::TooOld => WithdrawError::TooOld,
                    Refused::InFuture => WithdrawError::CreatedInFuture {
                        ledger_time: call.now,
                    },
                    Refused::Duplicate(recent) => WithdrawError::Duplicate {
                        duplicate_of: recent.block.into(),
                    },
                }),));
            }
        };
        match self.management.deposit(args.to, amount) {
            Ok(_) => reply((Ok::<_, WithdrawError>(Nat::from(block)),)),
            Err(error) => {
                self.put_back(from, amount);
                reply((Err::<Nat, _>(WithdrawError::FailedToWithdraw {
                    fee_block: Some(block.into()),
                    rejection_code: RejectionCode::DestinationInvalid,
                    rejection_reason: error.to_string(),
                }),))
            }
        }
    }
}

impl Canister for CyclesLedger {
    fn interface(&self) -> Option<String> {
        Some(include_str!("cycles_ledger.did").to_owned())
    }

    fn mode(&self, method: &str) -> Option<Mode> {
        exported(METHODS, method)
    }

    fn execute(&self, call: &Call<'_>) -> Reply {
        match call.method {
            "icrc1_balance_of" => {
                let (account,): (WireAccount,) = call.args()?;
                let account = (account.owner, subaccount(account.subaccount.as_ref())?);
                let balance = self.books().balances.get(&account).copied().unwrap_or(0);
                reply((Nat::from(balance),))
            }
            "icrc1_fee" => reply((Nat::from(FEE),)),
            "icrc1_decimals" => reply((12_u8,)),
            "icrc1_symbol" => reply(("TCYCLES",)),
            "icrc3_get_blocks" => self.get_blocks(call),
            "create_canister" => self.create_canister(call),
            "withdraw" => self.withdraw(call),
            _ => call.unknown(),
        }
    }
}

/// More than can exist is more than anyone has.
fn cycles(amount: &Nat) -> u128 {
    u128::try_from(amount.0.clone()).unwrap_or(u128::MAX)
}
