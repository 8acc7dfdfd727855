//! Blocks of the ledgers, to recognise a payment whose answer got lost.

use candid::Nat;

use super::{
    super::failure::Failure,
    CYCLES_LEDGER, ICP_LEDGER,
    drive::Work,
    pay::{decoded, destination},
    unreadable,
    wire::{
        ArchivedBlocks, BlockRange, Blocks, NumberedBlock, Operation, Transaction, Value,
        ValueBlocks, ValueRange,
    },
};
use crate::{
    funding::intent::{Intent, Payment, What},
    ic::{Call, CanisterId},
};

/// How many of the cycles ledger's latest blocks are looked through.
const LATEST: u64 = 500;
/// Questions that this may take: the ledger limits how many blocks it gives at once.
const MOST_QUESTIONS: usize = 6;

/// A block that was found.
pub(super) enum Block {
    Icp(Transaction),
    Cycles(Value),
}

impl Work<'_> {
    /// A block of the ledger that an intent is paid from; nothing when there is no such block yet.
    pub(super) async fn block_for(
        &self,
        intent: &Intent,
        index: u64,
    ) -> Result<Option<Block>, Failure> {
        match intent.payment {
            Payment::Icp { .. } => Box::pin(self.icp_block(index)).await,
            Payment::Cycles { .. } => {
                let blocks = self.cycles_blocks(index, 1).await?.blocks.into_iter();
                let mut blocks = blocks.filter(|numbered| number(&numbered.id) == index);
                Ok(blocks.next().map(|numbered| Block::Cycles(numbered.block)))
            }
        }
    }

    /// The number of the block that pays for an intent from the cycles ledger, if it is among the latest.
    pub(super) async fn latest_block_for(&self, intent: &Intent) -> Result<Option<u64>, Failure> {
        let end = number(&self.cycles_blocks(0, 0).await?.log_length);
        let mut next = end.saturating_sub(LATEST);
        for _ in 0..MOST_QUESTIONS {
            if next >= end {
                break;
            }
            let blocks = self.cycles_blocks(next, end - next).await?.blocks;
            let Some(last) = blocks.last().map(|last| number(&last.id)) else {
                break;
            };
            let found = blocks.into_iter().find_map(|NumberedBlock { id, block }| {
                Block::Cycles(block).pays(intent).then(|| number(&id))
            });
            if found.is_some() {
                return Ok(found);
            }
            next = last.saturating_add(1);
        }
        Ok(None)
    }

    /// Of the ICP ledger, from itself or from its archive.
    async fn icp_block(&self, index: u64) -> Result<Option<Block>, Failure> {
        let range = || BlockRange {
            start: index,
            length: 1,
        };
        let answer: Blocks = self.ask(ICP_LEDGER, "query_blocks", (range(),)).await?;
        let mut blocks = answer.blocks;
        if let Some(archive) = answer.archived_blocks.first() {
            let archive = &archive.callback.0;
            let call = Call {
                canister: CanisterId::parse(&archive.principal.to_text())
                    .map_err(|_| unreadable())?,
                method: archive.method.clone(),
                arg: candid::encode_one(range()).map_err(|_| Failure::internal())?,
            };
            let reply = Box::pin(self.tools.ic.update_anonymous(call)).await;
            let reply = reply.map_err(|error| Failure::ic(&error))?;
            let archived: Result<ArchivedBlocks, candid::Reserved> =
                decoded(&reply).ok_or_else(unreadable)?;
            blocks = archived.map_err(|_| unreadable())?.blocks;
        }
        let block = blocks.into_iter().next();
        Ok(block.map(|block| Block::Icp(block.transaction)))
    }

    /// Of the cycles ledger, which has no archive (ICRC-3).
    async fn cycles_blocks(&self, start: u64, length: u64) -> Result<ValueBlocks, Failure> {
        let range = ValueRange {
            start: start.into(),
            length: length.into(),
        };
        self.ask(CYCLES_LEDGER, "icrc3_get_blocks", (vec![range],))
            .await
    }
}

/// A block's number; no chain is longer.
fn number(number: &Nat) -> u64 {
    u64::try_from(&number.0).unwrap_or(u64::MAX)
}

impl Block {
    /// Whether this is the payment of an intent and of no other: the time is its payer's alone.
    pub(super) fn pays(&self, intent: &Intent) -> bool {
        match self {
            Block::Icp(transaction) => transaction.pays(intent),
            Block::Cycles(block) => burns_for(block, intent).unwrap_or_default(),
        }
    }
}

impl Transaction {
    fn pays(&self, intent: &Intent) -> bool {
        let Some(Operation::Transfer { to, amount }) = &self.operation else {
            return false;
        };
        let Payment::Icp { amount: paid, .. } = intent.payment else {
            return false;
        };
        let (destination, memo) = destination(intent);
        self.created_at_time.timestamp_nanos == intent.created_at_ns
            && self.memo == memo
            && to.as_slice() == destination.as_bytes()
            && amount.e8s == paid.e8s()
    }
}

/// The cycles ledger burns what it pays with, and names the canister of a top-up in the memo.
fn burns_for(block: &Value, intent: &Intent) -> Option<bool> {
    let Payment::Cycles { amount } = intent.payment else {
        return None;
    };
    let transaction = block.field("tx")?;
    let burns = transaction.field("op")?.text()? == "burn";
    let payer = match transaction.field("from")? {
        Value::Array(account) => account.first()?.blob()?,
        _ => return None,
    };
    let at = transaction.field("ts")?.number()?;
    let burned = transaction.field("amt")?.number()?;
    let names_canister = match &intent.asked.what {
        What::Canister { .. } => true,
        What::TopUp { canister } => transaction
            .field("memo")?
            .blob()?
            .ends_with(canister.as_slice()),
    };
    Some(
        burns
            && payer == intent.payer.as_slice()
            && at == u128::from(intent.created_at_ns)
            && burned == u128::from(amount.count())
            && names_canister,
    )
}

#[cfg(test)]
mod tests {
    use candid::Principal;
    use serde_bytes::ByteBuf;

    use super::*;
    use crate::{
        funding::{
            amount::Cycles,
            intent::{Amount, Asked, PayWith, Progress},
        },
        store::Moment,
    };

    fn intent(what: What) -> Intent {
        let amount = Cycles::new(7).unwrap();
        Intent {
            id: 1,
            request_id: None,
            payer: Principal::from_slice(&[1, 2]),
            asked: Asked {
                what,
                amount: Amount::Cycles(amount),
                pay_with: PayWith::Cycles,
            },
            payment: Payment::Cycles { amount },
            created_at_ns: 500,
            progress: Progress::NEW,
            started_at: Moment::from_seconds(0),
            changed_at: Moment::from_seconds(0),
            revision: 0,
        }
    }

    fn block(changed: &str, to: Value) -> Block {
        let bytes = |bytes: &[u8]| Value::Blob(ByteBuf::from(bytes));
        let mut transaction = vec![
            ("op", Value::Text("burn".to_owned())),
            ("from", Value::Array(vec![bytes(&[1, 2])])),
            ("amt", Value::Nat(7u8.into())),
            ("ts", Value::Int(500.into())),
            ("memo", bytes(&[0x81, 0x42, 3, 1])),
        ];
        for (name, value) in &mut transaction {
            if *name == changed {
                *value = to.clone();
            }
        }
        let named = transaction
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let block = vec![("tx".to_owned(), Value::Map(named.collect()))];
        Block::Cycles(Value::Map(block))
    }

    #[test]
    fn a_burn_pays_for_the_intent_that_it_agrees_with_in_everything() {
        let top_up = intent(What::TopUp {
            canister: Principal::from_slice(&[3, 1]),
        });
        let canister = intent(What::Canister {
            controllers: vec![top_up.payer],
            subnet: None,
        });
        let same = block("", Value::Text(String::new()));
        assert!(same.pays(&top_up) && same.pays(&canister));
        for (name, other) in [
            ("op", Value::Text("mint".to_owned())),
            ("from", Value::Array(vec![])),
            (
                "from",
                Value::Array(vec![Value::Blob(ByteBuf::from([1, 3]))]),
            ),
            ("amt", Value::Nat(8u8.into())),
            ("amt", Value::Int((-7).into())),
            ("ts", Value::Nat64(501)),
            ("ts", Value::Text("500".to_owned())),
        ] {
            let other = block(name, other);
            assert!(!other.pays(&top_up) && !other.pays(&canister), "{name}");
        }
        let elsewhere = block("memo", Value::Blob(ByteBuf::from([3, 2])));
        assert!(!elsewhere.pays(&top_up) && elsewhere.pays(&canister));
        assert!(!Block::Cycles(Value::Nat64(1)).pays(&canister));
    }
}
