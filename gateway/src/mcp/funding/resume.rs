//! `resume_funding`: going on with everything that is not finished.

use serde_json::json;

use super::{
    super::{catalog::Output, failure::Failure},
    drive::Work,
    not_stored,
    words::{self, Outcome},
};
use crate::{
    funding::{
        intent::{Intent, Payment, Progress},
        machine::awaits_block,
        request::unfinished,
    },
    store::funding::Saved,
};

impl Work<'_> {
    /// Goes on with every unfinished intent of the user, or with the one that `block` pays.
    pub(super) async fn resume(&self, block: Option<u64>) -> Result<Output, Failure> {
        let intents = self.tools.store.intents(&self.owner).await;
        let intents = intents.map_err(|error| not_stored(&error))?;
        let open: Vec<i64> = match block {
            Some(block) => vec![self.adopt(&intents, block).await?],
            None => unfinished(&intents).map(|intent| intent.id).collect(),
        };
        let mut outcomes = Vec::with_capacity(open.len());
        for id in open {
            outcomes.push(Box::pin(self.drive(id)).await?);
        }
        Ok(told(&outcomes))
    }

    /// Takes a block of the ICP ledger for the payment that it is. Returns the intent.
    async fn adopt(&self, intents: &[Intent], block: u64) -> Result<i64, Failure> {
        let in_icp = |intent: &&Intent| matches!(intent.payment, Payment::Icp { .. });
        let known = intents
            .iter()
            .filter(in_icp)
            .find(|intent| intent.progress.block() == Some(block));
        if let Some(known) = known {
            return Ok(known.id);
        }
        let candidates: Vec<&Intent> = intents.iter().filter(|i| awaits_block(i)).collect();
        if candidates.is_empty() {
            return Err(Failure::new(
                "NOTHING_TO_RESUME",
                "No payment in ICP waits for its block. Call resume_funding without block_index.",
            ));
        }
        let paid = Box::pin(self.icp_block(block)).await?;
        let found = candidates.into_iter().find(|intent| paid.pays(intent));
        let mut intent = found.cloned().ok_or_else(|| {
            Failure::argument(
                "block_index",
                "is the number of a block that pays for none of the interrupted requests",
            )
        })?;
        match self.save(&mut intent, Progress::Paid { block }).await? {
            Saved::Yes => Ok(intent.id),
            Saved::Outrun => Err(words::busy()),
        }
    }
}

fn told(outcomes: &[Outcome]) -> Output {
    if outcomes.is_empty() {
        return Output::new(
            "Nothing was interrupted: no payment is unfinished.".to_owned(),
            json!({ "payments": [] }),
        );
    }
    let lines: Vec<(String, serde_json::Value)> = outcomes.iter().map(words::line).collect();
    let (texts, payments): (Vec<String>, Vec<serde_json::Value>) = lines.into_iter().unzip();
    Output::new(texts.join("\n"), json!({ "payments": payments }))
}
