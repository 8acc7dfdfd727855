//! `resume_funding`: going on with everything that is not finished.

use serde_json::{Value, json};

use super::{
    super::{catalog::Output, failure::Failure},
    drive::Work,
    not_stored, words,
};
use crate::{
    funding::{
        intent::{Intent, Payment},
        machine::{self, awaits_block},
        request::unfinished,
    },
    store::funding::Saved,
};

impl Work<'_> {
    /// Goes on with every unfinished intent of the user, or with the one that `block` pays.
    pub(super) async fn resume(&self, block: Option<u64>) -> Result<Output, Failure> {
        let intents = self.tools.store.intents(&self.owner).await;
        let intents = intents.map_err(|error| not_stored(&error))?;
        let open: Vec<Intent> = match block {
            Some(block) => vec![self.adopt(&intents, block).await?],
            None => unfinished(&intents).cloned().collect(),
        };
        let mut lines = Vec::with_capacity(open.len());
        for intent in open {
            // What stops one payment is no reason to leave the others.
            lines.push(match Box::pin(self.drive(intent.id)).await {
                Ok(outcome) => words::line(&outcome),
                Err(failure) => words::stopped(&intent, failure),
            });
        }
        Ok(told(lines))
    }

    /// Takes a block of either ledger for the payment that it is. Returns the intent.
    async fn adopt(&self, intents: &[Intent], block: u64) -> Result<Intent, Failure> {
        let waiting = || intents.iter().filter(|intent| awaits_block(intent));
        let in_icp = |intent: &Intent| matches!(intent.payment, Payment::Icp { .. });
        for icp in [true, false] {
            let mut waiting = waiting().filter(|intent| in_icp(intent) == icp);
            let Some(first) = waiting.clone().next() else {
                continue;
            };
            let paid = self.block_for(first, block).await?;
            let found = paid.and_then(|paid| waiting.find(|intent| paid.pays(intent)));
            if let Some(mut intent) = found.cloned() {
                let progress = machine::found(&intent, block);
                return match self.save(&mut intent, progress).await? {
                    Saved::Yes => Ok(intent),
                    Saved::Outrun => Err(words::busy()),
                };
            }
        }
        let known = intents
            .iter()
            .find(|intent| intent.progress.block() == Some(block));
        if let Some(known) = known {
            return Ok(known.clone());
        }
        Err(if waiting().next().is_none() {
            Failure::new(
                "NOTHING_TO_RESUME",
                "No payment waits for its block. Call resume_funding without block_index.",
            )
        } else {
            Failure::argument(
                "block_index",
                "is the number of a block that pays for none of the interrupted requests",
            )
        })
    }
}

fn told(lines: Vec<(String, Value)>) -> Output {
    if lines.is_empty() {
        return Output::new(
            "Nothing was interrupted: no payment is unfinished.".to_owned(),
            json!({ "payments": [] }),
        );
    }
    let (texts, payments): (Vec<String>, Vec<Value>) = lines.into_iter().unzip();
    Output::new(texts.join("\n"), json!({ "payments": payments }))
}
