//! Blocks of the ICP ledger, to recognise a payment whose answer got lost.

use super::{
    super::failure::Failure,
    ICP_LEDGER,
    drive::Work,
    pay::{decoded, destination},
    unreadable,
    wire::{ArchivedBlocks, BlockRange, Blocks, Operation, Transaction},
};
use crate::{
    funding::intent::{Intent, Payment},
    ic::{Call, CanisterId},
};

/// A block that was found.
pub(super) struct Block(Transaction);

impl Work<'_> {
    /// A block of the ICP ledger, from the ledger itself or from its archive.
    pub(super) async fn icp_block(&self, index: u64) -> Result<Block, Failure> {
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
        let block = blocks.into_iter().next().ok_or_else(|| {
            Failure::argument(
                "block_index",
                "is no block of the ICP ledger, not yet at least",
            )
        })?;
        Ok(Block(block.transaction))
    }
}

impl Block {
    /// Whether this is the payment of an intent and of no other: time, amount, destination and memo.
    pub(super) fn pays(&self, intent: &Intent) -> bool {
        let Block(transaction) = self;
        let Some(Operation::Transfer { to, amount }) = &transaction.operation else {
            return false;
        };
        let Payment::Icp { amount: paid, .. } = intent.payment else {
            return false;
        };
        let (destination, memo) = destination(intent);
        transaction.created_at_time.timestamp_nanos == intent.created_at_ns
            && transaction.memo == memo
            && to.as_slice() == destination.as_bytes()
            && amount.e8s == paid.e8s()
    }
}
