//! What a user asked to be paid for, and how far it has come.

use ::candid::Principal;
use serde::{Deserialize, Serialize};

use super::amount::{Cycles, Icp};
use crate::store::Moment;

/// What a transfer on the ICP ledger costs, in e8s, until the ledger says otherwise.
pub const ICP_FEE_E8S: u64 = 10_000;
/// What the cycles ledger takes for a payment, in cycles.
pub const CYCLES_FEE: u64 = 100_000_000;

/// What is to be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A new canister.
    Canister {
        /// Sorted, without repetitions, never empty.
        controllers: Vec<Principal>,
        /// The subnet; the network chooses when there is none.
        subnet: Option<Principal>,
    },
    /// More cycles for a canister.
    TopUp {
        /// Which one.
        canister: Principal,
    },
}

/// An amount as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// In cycles.
    Cycles(Cycles),
    /// In ICP.
    Icp(Icp),
}

/// From which balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayWith {
    /// The balance at the cycles ledger.
    Cycles,
    /// ICP, turned into cycles by the cycles minting canister.
    Icp,
}

/// What was asked for. Equal requests are the same wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What is to be had.
    pub what: What,
    /// For how much.
    pub amount: Amount,
    /// From which balance.
    pub pay_with: PayWith,
}

/// What is paid: the request's amount, converted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payment {
    /// From the cycles ledger.
    Cycles {
        /// Without the fee.
        amount: Cycles,
    },
    /// From the ICP ledger.
    Icp {
        /// Without the fee.
        amount: Icp,
        /// The ledger's fee, in e8s.
        fee_e8s: u64,
    },
}

/// The caller's own name for one request: 1 to 100 letters, digits or `._:-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// Reads one; none when it is not such a name.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
        ((1..=100).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How far an intent has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Progress {
    /// Not known to be paid.
    Unpaid {
        /// A payment is on its way, and its answer is not known.
        sent: bool,
        /// The answer to an earlier one never became known: it may have been executed.
        doubt: bool,
    },
    /// Paid, and what was paid for is not known to be there.
    Paid {
        /// The payment's block.
        block: u64,
    },
    /// Paid or perhaps paid, and nothing that could be sent would tell more.
    Unclear {
        /// The payment's block, if it is known.
        block: Option<u64>,
    },
    /// Paid, and what was paid for is there.
    Done {
        /// The payment's block.
        block: u64,
        /// What there is.
        gained: Gained,
    },
    /// Paid, and paid back.
    Refunded {
        /// Why, in the words of whoever paid back.
        reason: String,
        /// The block of the refund.
        block: Option<u64>,
    },
    /// Certainly not paid: the ledger would not.
    Refused,
}

/// What a payment brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gained {
    /// A new canister.
    Canister(Principal),
    /// Cycles for a canister: how many, as far as it was said.
    Cycles(Option<u64>),
}

impl Progress {
    /// A fresh intent.
    pub const NEW: Progress = Progress::Unpaid {
        sent: false,
        doubt: false,
    };

    /// Whether nothing is left to do and nothing is open.
    pub fn is_finished(&self) -> bool {
        match self {
            Progress::Unpaid { .. } | Progress::Paid { .. } | Progress::Unclear { .. } => false,
            Progress::Done { .. } | Progress::Refunded { .. } | Progress::Refused => true,
        }
    }

    /// The block of the payment, if it is known.
    pub fn block(&self) -> Option<u64> {
        match self {
            Progress::Paid { block } | Progress::Done { block, .. } => Some(*block),
            Progress::Unclear { block } => *block,
            _ => None,
        }
    }
}

/// One wish on its way. Everything that is sent for it is made of this record alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The database's number for it.
    pub id: i64,
    /// The caller's name for it.
    pub request_id: Option<RequestId>,
    /// Whose balance pays: the management identity.
    pub payer: Principal,
    /// What was asked for.
    pub asked: Asked,
    /// What is paid.
    pub payment: Payment,
    /// `created_at_time` of the payment, nanoseconds since the Unix epoch; no two of a payer are equal.
    pub created_at_ns: u64,
    /// How far it has come.
    pub progress: Progress,
    /// When it was asked for.
    pub started_at: Moment,
    /// When its progress last changed.
    pub changed_at: Moment,
    /// Counts the changes: a change to anything but the latest one is refused.
    pub revision: i64,
}
