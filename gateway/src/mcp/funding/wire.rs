//! What the cycles ledger, the ICP ledger and the cycles minting canister take and give. Cases that mean the same to
//! us still stand apart: a reply with a case that is not listed here cannot be read.

use candid::{CandidType, Int, Nat, Principal, Reserved};
use serde::Deserialize;
use serde_bytes::ByteBuf;

#[derive(CandidType)]
pub(super) struct Account {
    pub(super) owner: Principal,
    pub(super) subaccount: Option<ByteBuf>,
}

#[derive(CandidType)]
pub(super) struct CreateCanister {
    pub(super) from_subaccount: Option<ByteBuf>,
    pub(super) created_at_time: Option<u64>,
    pub(super) amount: Nat,
    pub(super) creation_args: Option<CreationArgs>,
}

#[derive(CandidType)]
pub(super) struct CreationArgs {
    pub(super) settings: Option<Settings>,
    pub(super) subnet_selection: Option<SubnetSelection>,
}

#[derive(CandidType)]
pub(super) struct Settings {
    pub(super) controllers: Option<Vec<Principal>>,
}

#[derive(CandidType)]
pub(super) enum SubnetSelection {
    Subnet { subnet: Principal },
}

#[derive(CandidType, Deserialize)]
pub(super) struct Created {
    pub(super) block_id: Nat,
    pub(super) canister_id: Principal,
}

#[derive(CandidType, Deserialize)]
pub(super) enum CreateError {
    InsufficientFunds {
        balance: Nat,
    },
    TooOld,
    CreatedInFuture {
        ledger_time: u64,
    },
    TemporarilyUnavailable,
    Duplicate {
        duplicate_of: Nat,
        canister_id: Option<Principal>,
    },
    FailedToCreate {
        fee_block: Option<Nat>,
        refund_block: Option<Nat>,
        error: String,
    },
    GenericError {
        message: String,
        error_code: Nat,
    },
}

#[derive(CandidType)]
pub(super) struct Withdraw {
    pub(super) amount: Nat,
    pub(super) from_subaccount: Option<ByteBuf>,
    pub(super) to: Principal,
    pub(super) created_at_time: Option<u64>,
}

#[derive(CandidType, Deserialize)]
pub(super) enum WithdrawError {
    GenericError {
        message: String,
        error_code: Nat,
    },
    TemporarilyUnavailable,
    FailedToWithdraw {
        fee_block: Option<Nat>,
        rejection_code: Reserved,
        rejection_reason: String,
    },
    Duplicate {
        duplicate_of: Nat,
    },
    BadFee {
        expected_fee: Nat,
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

#[derive(CandidType, Deserialize)]
pub(super) struct Tokens {
    pub(super) e8s: u64,
}

#[derive(CandidType, Deserialize)]
pub(super) struct TimeStamp {
    pub(super) timestamp_nanos: u64,
}

#[derive(CandidType)]
pub(super) struct Transfer {
    pub(super) memo: u64,
    pub(super) amount: Tokens,
    pub(super) fee: Tokens,
    pub(super) from_subaccount: Option<ByteBuf>,
    pub(super) to: ByteBuf,
    pub(super) created_at_time: Option<TimeStamp>,
}

#[derive(CandidType, Deserialize)]
pub(super) enum TransferError {
    BadFee { expected_fee: Tokens },
    InsufficientFunds { balance: Tokens },
    TxTooOld { allowed_window_nanos: u64 },
    TxCreatedInFuture,
    TxDuplicate { duplicate_of: u64 },
}

#[derive(CandidType)]
pub(super) struct NotifyCreate {
    pub(super) block_index: u64,
    pub(super) controller: Principal,
    pub(super) subnet_type: Option<String>,
    pub(super) subnet_selection: Option<SubnetSelection>,
    pub(super) settings: Option<Settings>,
}

#[derive(CandidType)]
pub(super) struct NotifyTopUp {
    pub(super) block_index: u64,
    pub(super) canister_id: Principal,
}

#[derive(CandidType, Deserialize)]
pub(super) enum NotifyError {
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

#[derive(CandidType, Deserialize)]
pub(super) struct Conversion {
    pub(super) data: ConversionData,
}

#[derive(CandidType, Deserialize)]
pub(super) struct ConversionData {
    pub(super) xdr_permyriad_per_icp: u64,
}

#[derive(CandidType)]
pub(super) struct BlockRange {
    pub(super) start: u64,
    pub(super) length: u64,
}

#[derive(CandidType, Deserialize)]
pub(super) struct Blocks {
    pub(super) blocks: Vec<Block>,
    pub(super) archived_blocks: Vec<Archived>,
}

/// Where blocks are that the ledger itself does not keep any more.
#[derive(CandidType, Deserialize)]
pub(super) struct Archived {
    pub(super) callback: Archive,
}

candid::define_function!(pub(super) Archive : (BlockRange) -> (Result<ArchivedBlocks, Reserved>) query);

#[derive(CandidType, Deserialize)]
pub(super) struct ArchivedBlocks {
    pub(super) blocks: Vec<Block>,
}

#[derive(CandidType, Deserialize)]
pub(super) struct Block {
    pub(super) transaction: Transaction,
}

#[derive(CandidType, Deserialize)]
pub(super) struct Transaction {
    pub(super) memo: u64,
    pub(super) operation: Option<Operation>,
    pub(super) created_at_time: TimeStamp,
}

#[derive(CandidType, Deserialize)]
pub(super) enum Operation {
    Transfer { to: ByteBuf, amount: Tokens },
}

#[derive(CandidType)]
pub(super) struct ValueRange {
    pub(super) start: Nat,
    pub(super) length: Nat,
}

#[derive(CandidType, Deserialize)]
pub(super) struct ValueBlocks {
    pub(super) log_length: Nat,
    pub(super) blocks: Vec<NumberedBlock>,
}

#[derive(CandidType, Deserialize)]
pub(super) struct NumberedBlock {
    pub(super) id: Nat,
    pub(super) block: Value,
}

/// ICRC-3's form of a block.
#[derive(Debug, Clone, CandidType, Deserialize)]
pub(super) enum Value {
    Int(Int),
    Map(Vec<(String, Value)>),
    Nat(Nat),
    Nat64(u64),
    Blob(ByteBuf),
    Text(String),
    Array(Vec<Value>),
}

impl Value {
    pub(super) fn field(&self, name: &str) -> Option<&Value> {
        let Value::Map(fields) = self else {
            return None;
        };
        let found = fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value)
    }

    /// Ledgers write numbers in all three forms.
    pub(super) fn number(&self) -> Option<u128> {
        match self {
            Value::Int(number) => u128::try_from(&number.0).ok(),
            Value::Nat(number) => u128::try_from(&number.0).ok(),
            Value::Nat64(number) => Some((*number).into()),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn blob(&self) -> Option<&[u8]> {
        match self {
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
}
