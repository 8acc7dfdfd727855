//! The ICP ledger: ICRC-1 and the account methods that came before it, over one set of balances.
//! Tokens come into being only by the devnet's control interface, and end at the cycles minting
//! canister.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard},
};

use candid::{CandidType, Nat, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha224};

use super::{Call, Canister, Mode, Reply, Stop, exported, reply};
use crate::{
    clock::{MINUTE, SECOND},
    replica::public_key::sha256,
};

/// Fee of a transfer, in e8s.
const FEE: u64 = 10_000;
const TRANSACTION_WINDOW: u64 = 24 * 60 * MINUTE;
const PERMITTED_DRIFT: u64 = 60 * SECOND;

const METHODS: &[(&str, Mode)] = &[
    ("account_balance", Mode::Query),
    ("account_identifier", Mode::Query),
    ("transfer", Mode::Update),
    ("transfer_fee", Mode::Query),
    ("query_blocks", Mode::Query),
    ("symbol", Mode::Query),
    ("name", Mode::Query),
    ("decimals", Mode::Query),
    ("icrc1_name", Mode::Query),
    ("icrc1_symbol", Mode::Query),
    ("icrc1_decimals", Mode::Query),
    ("icrc1_fee", Mode::Query),
    ("icrc1_metadata", Mode::Query),
    ("icrc1_total_supply", Mode::Query),
    ("icrc1_minting_account", Mode::Query),
    ("icrc1_balance_of", Mode::Query),
    ("icrc1_transfer", Mode::Update),
    ("icrc1_supported_standards", Mode::Query),
];

/// CRC-32 of the hash, then SHA-224 of owner and subaccount.
pub(crate) type AccountIdentifier = [u8; 32];

#[derive(Default)]
pub(crate) struct Ledger {
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    balances: BTreeMap<AccountIdentifier, u64>,
    /// The blocks; what is no transfer has none.
    blocks: Vec<Option<Block>>,
    /// Block of each deduplicated transaction, by the hash of caller, method and argument.
    recent: HashMap<[u8; 32], u64>,
    totals: Totals,
}

/// A transfer that happened.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) from: AccountIdentifier,
    pub(crate) to: AccountIdentifier,
    pub(crate) e8s: u64,
    pub(crate) memo: u64,
    /// Nanoseconds since the Unix epoch; 0 when the sender gave none.
    pub(crate) created_at: u64,
}

/// What came and went, in e8s: `minted` is `held`, `burned` and `fees` together.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Totals {
    minted: u64,
    burned: u64,
    fees: u64,
    held: u64,
    transfers: u64,
}

#[derive(CandidType, Deserialize)]
struct Account {
    owner: Principal,
    subaccount: Option<ByteBuf>,
}

#[derive(CandidType, Deserialize)]
struct Tokens {
    e8s: u64,
}

#[derive(CandidType, Deserialize)]
struct BalanceArgs {
    account: ByteBuf,
}

#[derive(CandidType, Deserialize)]
struct TimeStamp {
    timestamp_nanos: u64,
}

#[derive(CandidType, Deserialize)]
struct TransferArgs {
    memo: u64,
    amount: Tokens,
    fee: Tokens,
    from_subaccount: Option<ByteBuf>,
    to: ByteBuf,
    created_at_time: Option<TimeStamp>,
}

#[derive(CandidType)]
enum TransferError {
    BadFee { expected_fee: Tokens },
    InsufficientFunds { balance: Tokens },
    TxTooOld { allowed_window_nanos: u64 },
    TxCreatedInFuture,
    TxDuplicate { duplicate_of: u64 },
}

#[derive(CandidType, Deserialize)]
struct Icrc1TransferArgs {
    to: Account,
    fee: Option<Nat>,
    memo: Option<ByteBuf>,
    from_subaccount: Option<ByteBuf>,
    created_at_time: Option<u64>,
    amount: Nat,
}

#[derive(CandidType)]
enum Icrc1TransferError {
    Duplicate { duplicate_of: Nat },
    BadFee { expected_fee: Nat },
    CreatedInFuture { ledger_time: u64 },
    TooOld,
    InsufficientFunds { balance: Nat },
}

#[derive(CandidType)]
enum MetadataValue {
    Nat(Nat),
    Text(String),
}

#[derive(CandidType, Deserialize)]
struct BlockRange {
    start: u64,
    length: u64,
}

#[derive(CandidType)]
struct BlockAnswer {
    chain_length: u64,
    certificate: Option<ByteBuf>,
    blocks: Vec<WireBlock>,
    first_block_index: u64,
    archived_blocks: Vec<Archived>,
}

#[derive(CandidType)]
struct Archived {
    start: u64,
    length: u64,
    callback: Archive,
}

#[derive(CandidType)]
struct ArchivedBlocks {
    blocks: Vec<WireBlock>,
}

#[derive(CandidType)]
struct Unarchived {
    error: String,
}

candid::define_function!(Archive : (BlockRange) -> (Result<ArchivedBlocks, Unarchived>) query);

#[derive(CandidType)]
struct WireBlock {
    transaction: WireTransaction,
    timestamp: TimeStamp,
    parent_hash: Option<ByteBuf>,
}

#[derive(CandidType)]
struct WireTransaction {
    memo: u64,
    operation: Option<WireOperation>,
    created_at_time: TimeStamp,
}

#[derive(CandidType)]
enum WireOperation {
    Transfer {
        from: ByteBuf,
        to: ByteBuf,
        amount: Tokens,
        fee: Tokens,
    },
}

/// Why a transfer does not happen, before either interface words it.
enum Refused {
    BadFee,
    Insufficient { balance: u64 },
    TooOld,
    InFuture,
    Duplicate { of: u64 },
}

struct Transfer {
    from: AccountIdentifier,
    to: AccountIdentifier,
    amount: u64,
    fee: Option<u64>,
    memo: u64,
    created_at: Option<u64>,
}

impl Ledger {
    /// Creates tokens on the owner's default account. Returns its new balance in e8s.
    pub(crate) fn mint(&self, owner: Principal, e8s: u64) -> u64 {
        let account = identifier(owner, &[0; 32]);
        let mut books = self.books();
        books.blocks.push(None);
        books.totals.minted += e8s;
        let balance = books.balances.entry(account).or_default();
        *balance = balance.saturating_add(e8s);
        *balance
    }

    /// What stands in a block, if it is a transfer.
    pub(crate) fn block(&self, index: u64) -> Option<Block> {
        let index = usize::try_from(index).ok()?;
        self.books().blocks.get(index).copied().flatten()
    }

    /// Takes tokens out of the world.
    pub(crate) fn burn(&self, from: &AccountIdentifier, e8s: u64) {
        let mut books = self.books();
        let balance = books.balances.entry(*from).or_default();
        let burned = e8s.min(*balance);
        *balance -= burned;
        books.totals.burned += burned;
        books.blocks.push(None);
    }

    /// Gives tokens back without a fee for whoever gets them; the giver pays it. Returns the block.
    pub(crate) fn give_back(&self, block: &Block) -> u64 {
        let mut books = self.books();
        let fee = FEE.min(block.e8s);
        let balance = books.balances.entry(block.to).or_default();
        *balance = balance.saturating_sub(block.e8s);
        *books.balances.entry(block.from).or_default() += block.e8s - fee;
        books.totals.fees += fee;
        books.blocks.push(Some(Block {
            from: block.to,
            to: block.from,
            e8s: block.e8s - fee,
            memo: 0,
            created_at: 0,
        }));
        books.blocks.len() as u64 - 1
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

    fn balance(&self, account: &AccountIdentifier) -> u64 {
        self.books().balances.get(account).copied().unwrap_or(0)
    }

    fn transfer(&self, call: &Call<'_>, transfer: &Transfer) -> Result<u64, Refused> {
        if transfer.fee.is_some_and(|fee| fee != FEE) {
            return Err(Refused::BadFee);
        }
        let mut books = self.books();
        let fingerprint = transfer.created_at.map(|_| fingerprint(call));
        if let Some(created) = transfer.created_at {
            if created.saturating_add(TRANSACTION_WINDOW + PERMITTED_DRIFT) < call.now {
                return Err(Refused::TooOld);
            }
            if created > call.now + PERMITTED_DRIFT {
                return Err(Refused::InFuture);
            }
        }
        if let Some(of) = fingerprint.and_then(|f| books.recent.get(&f).copied()) {
            return Err(Refused::Duplicate { of });
        }
        let balance = books.balances.get(&transfer.from).copied().unwrap_or(0);
        let left = transfer
            .amount
            .checked_add(FEE)
            .and_then(|total| balance.checked_sub(total))
            .ok_or(Refused::Insufficient { balance })?;
        books.balances.insert(transfer.from, left);
        *books.balances.entry(transfer.to).or_default() += transfer.amount;
        books.totals.fees += FEE;
        books.totals.transfers += 1;
        let block = books.blocks.len() as u64;
        books.blocks.push(Some(Block {
            from: transfer.from,
            to: transfer.to,
            e8s: transfer.amount,
            memo: transfer.memo,
            created_at: transfer.created_at.unwrap_or(0),
        }));
        if let Some(fingerprint) = fingerprint {
            books.recent.insert(fingerprint, block);
        }
        Ok(block)
    }

    fn legacy_transfer(&self, call: &Call<'_>) -> Reply {
        let (args,): (TransferArgs,) = call.args()?;
        let transfer = Transfer {
            from: identifier(call.caller, &subaccount(args.from_subaccount.as_ref())?),
            to: parse_identifier(&args.to)?,
            amount: args.amount.e8s,
            fee: Some(args.fee.e8s),
            memo: args.memo,
            created_at: args.created_at_time.map(|t| t.timestamp_nanos),
        };
        reply((self
            .transfer(call, &transfer)
            .map_err(|refused| match refused {
                Refused::BadFee => TransferError::BadFee {
                    expected_fee: Tokens { e8s: FEE },
                },
                Refused::Insufficient { balance } => TransferError::InsufficientFunds {
                    balance: Tokens { e8s: balance },
                },
                Refused::TooOld => TransferError::TxTooOld {
                    allowed_window_nanos: TRANSACTION_WINDOW,
                },
                Refused::InFuture => TransferError::TxCreatedInFuture,
                Refused::Duplicate { of } => TransferError::TxDuplicate { duplicate_of: of },
            }),))
    }

    fn query_blocks(&self, call: &Call<'_>) -> Reply {
        let (asked,): (BlockRange,) = call.args()?;
        let books = self.books();
        let chain_length = books.blocks.len() as u64;
        let first = asked.start.min(chain_length);
        let last = first.saturating_add(asked.length).min(chain_length);
        let blocks = (first..last).map(|index| wire_block(books.blocks[index as usize]));
        reply((BlockAnswer {
            chain_length,
            certificate: None,
            blocks: blocks.collect(),
            first_block_index: first,
            // Nothing is ever moved to an archive.
            archived_blocks: Vec::new(),
        },))
    }

    fn icrc1_transfer(&self, call: &Call<'_>) -> Reply {
        let (args,): (Icrc1TransferArgs,) = call.args()?;
        // More than can exist is more than anyone has.
        let e8s = |n: &Nat| u64::try_from(n.0.clone()).unwrap_or(u64::MAX);
        let transfer = Transfer {
            from: identifier(call.caller, &subaccount(args.from_subaccount.as_ref())?),
            to: args.to.identifier()?,
            amount: e8s(&args.amount),
            fee: args.fee.as_ref().map(e8s),
            memo: 0,
            created_at: args.created_at_time,
        };
        reply((self
            .transfer(call, &transfer)
            .map(Nat::from)
            .map_err(|refused| match refused {
                Refused::BadFee => Icrc1TransferError::BadFee {
                    expected_fee: FEE.into(),
                },
                Refused::Insufficient { balance } => Icrc1TransferError::InsufficientFunds {
                    balance: balance.into(),
                },
                Refused::TooOld => Icrc1TransferError::TooOld,
                Refused::InFuture => Icrc1TransferError::CreatedInFuture {
                    ledger_time: call.now,
                },
                Refused::Duplicate { of } => Icrc1TransferError::Duplicate {
                    duplicate_of: of.into(),
                },
            }),))
    }
}

impl Canister for Ledger {
    fn interface(&self) -> Option<String> {
        Some(include_str!("ledger.did").to_owned())
    }

    fn mode(&self, method: &str) -> Option<Mode> {
        exported(METHODS, method)
    }

    fn execute(&self, call: &Call<'_>) -> Reply {
        #[derive(CandidType)]
        struct Symbol {
            symbol: &'static str,
        }
        #[derive(CandidType)]
        struct Name {
            name: &'static str,
        }
        #[derive(CandidType)]
        struct Decimals {
            decimals: u32,
        }
        #[derive(CandidType)]
        struct Fee {
            transfer_fee: Tokens,
        }
        #[derive(CandidType)]
        struct Standard {
            name: &'static str,
            url: &'static str,
        }
        match call.method {
            "account_balance" => {
                let (args,): (BalanceArgs,) = call.args()?;
                let e8s = self.balance(&parse_identifier(&args.account)?);
                reply((Tokens { e8s },))
            }
            "account_identifier" => {
                let (account,): (Account,) = call.args()?;
                reply((ByteBuf::from(account.identifier()?),))
            }
            "transfer" => self.legacy_transfer(call),
            "query_blocks" => self.query_blocks(call),
            "transfer_fee" => reply((Fee {
                transfer_fee: Tokens { e8s: FEE },
            },)),
            "symbol" => reply((Symbol { symbol: "ICP" },)),
            "name" => reply((Name {
                name: "Internet Computer",
            },)),
            "decimals" => reply((Decimals { decimals: 8 },)),
            "icrc1_name" => reply(("Internet Computer",)),
            "icrc1_symbol" => reply(("ICP",)),
            "icrc1_decimals" => reply((8_u8,)),
            "icrc1_fee" => reply((Nat::from(FEE),)),
            "icrc1_metadata" => reply((vec![
                ("icrc1:decimals", MetadataValue::Nat(8_u8.into())),
                (
                    "icrc1:name",
                    MetadataValue::Text("Internet Computer".into()),
                ),
                ("icrc1:symbol", MetadataValue::Text("ICP".into())),
                ("icrc1:fee", MetadataValue::Nat(FEE.into())),
            ],)),
            "icrc1_total_supply" => {
                let sum: u128 = self
                    .books()
                    .balances
                    .values()
                    .copied()
                    .map(u128::from)
                    .sum();
                reply((Nat::from(sum),))
            }
            "icrc1_minting_account" => reply((None::<Account>,)),
            "icrc1_balance_of" => {
                let (account,): (Account,) = call.args()?;
                reply((Nat::from(self.balance(&account.identifier()?)),))
            }
            "icrc1_transfer" => self.icrc1_transfer(call),
            "icrc1_supported_standards" => reply((vec![Standard {
                name: "ICRC-1",
                url: "https://github.com/dfinity/ICRC-1/tree/main/standards/ICRC-1",
            }],)),
            _ => call.unknown(),
        }
    }
}

impl Account {
    fn identifier(&self) -> Result<AccountIdentifier, Stop> {
        Ok(identifier(
            self.owner,
            &subaccount(self.subaccount.as_ref())?,
        ))
    }
}

pub(crate) fn subaccount(bytes: Option<&ByteBuf>) -> Result<[u8; 32], Stop> {
    match bytes {
        None => Ok([0; 32]),
        Some(bytes) => bytes
            .as_slice()
            .try_into()
            .map_err(|_| Stop::Trap("a subaccount has 32 bytes".to_owned())),
    }
}

pub(crate) fn identifier(owner: Principal, subaccount: &[u8; 32]) -> AccountIdentifier {
    let hash = Sha224::new()
        .chain_update(b"\x0Aaccount-id")
        .chain_update(owner.as_slice())
        .chain_update(subaccount)
        .finalize();
    let mut id = [0; 32];
    id[..4].copy_from_slice(&crc32(&hash).to_be_bytes());
    id[4..].copy_from_slice(&hash);
    id
}

fn parse_identifier(bytes: &[u8]) -> Result<AccountIdentifier, Stop> {
    let id: AccountIdentifier = bytes
        .try_into()
        .map_err(|_| Stop::Trap("an account identifier has 32 bytes".to_owned()))?;
    if id[..4] == crc32(&id[4..]).to_be_bytes() {
        Ok(id)
    } else {
        Err(Stop::Trap(
            "the account identifier's checksum is wrong".to_owned(),
        ))
    }
}

/// CRC-32 as in ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = crc & 1 == 1;
            crc = (crc >> 1) ^ if carry { 0xEDB8_8320 } else { 0 };
        }
    }
    !crc
}

fn wire_block(block: Option<Block>) -> WireBlock {
    let stamp = |timestamp_nanos| TimeStamp { timestamp_nanos };
    WireBlock {
        transaction: WireTransaction {
            memo: block.map_or(0, |block| block.memo),
            operation: block.map(|block| WireOperation::Transfer {
                from: ByteBuf::from(block.from),
                to: ByteBuf::from(block.to),
                amount: Tokens { e8s: block.e8s },
                fee: Tokens { e8s: FEE },
            }),
            created_at_time: stamp(block.map_or(0, |block| block.created_at)),
        },
        timestamp: stamp(block.map_or(0, |block| block.created_at)),
        parent_hash: None,
    }
}

fn fingerprint(call: &Call<'_>) -> [u8; 32] {
    sha256(
        &[
            call.caller.as_slice(),
            b"/",
            call.method.as_bytes(),
            b"/",
            call.arg,
        ]
        .concat(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_identifier_is_the_published_one() {
        // The default account of the anonymous principal.
        let id = identifier(Principal::anonymous(), &[0; 32]);
        assert_eq!(
            hex::encode(id),
            "1c7a48ba6a562aa9eaa2481a9049cdf0433b9738c992d698c31d8abf89cadc79"
        );
    }
}
