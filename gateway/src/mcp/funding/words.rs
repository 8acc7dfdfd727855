//! What is said of an intent.

use candid::Principal;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    super::{catalog::Output, failure::Failure},
    pay::{need, shown},
};
use crate::{
    funding::{
        account::AccountIdentifier,
        amount::{shown_cycles, shown_e8s},
        intent::{Gained, Intent, Payment, Progress, What},
        machine::{Trouble, awaits_block},
    },
    store::Moment,
};

/// How far an intent came, and what is in its way.
pub(super) struct Outcome {
    pub(super) intent: Intent,
    pub(super) trouble: Option<Trouble>,
    /// What is to be told of a request that has no answer.
    pub(super) cause: Option<Failure>,
}

impl Outcome {
    pub(super) fn of(intent: Intent) -> Self {
        Self {
            intent,
            trouble: None,
            cause: None,
        }
    }
}

/// The answer of a paid tool. `repeated` when it was finished before this call.
pub(super) fn told(outcome: &Outcome, repeated: bool) -> Result<Output, Failure> {
    let intent = &outcome.intent;
    let Progress::Done { block, gained } = &intent.progress else {
        let mut failure = not_done(outcome);
        if repeated {
            failure.message.push_str(&once_more(intent));
        }
        return Err(failure);
    };
    let (canister, cycles) = gain(intent, gained);
    let text = done(intent, *block, gained);
    let mut output = Output::new(
        text,
        json!({
            "canister_id": canister.to_text(),
            "paid": shown(intent.payment),
            "block_index": block,
            "cycles": cycles.map(|cycles| cycles.to_string()),
            "done_at": at(intent.changed_at),
            "repeated": repeated,
        }),
    );
    if repeated {
        output.note(format!(
            "This was done before, at {}, and nothing was paid now.{}",
            at(intent.changed_at),
            once_more(intent)
        ));
    }
    Ok(output)
}

/// One line of `resume_funding`: for people and as data.
pub(super) fn line(outcome: &Outcome) -> (String, Value) {
    let intent = &outcome.intent;
    let (code, canister, text) = match &intent.progress {
        Progress::Done { block, gained } => {
            let (canister, _) = gain(intent, gained);
            (
                "DONE",
                Some(canister.to_text()),
                done(intent, *block, gained),
            )
        }
        _ => {
            let failure = not_done(outcome);
            (failure.code, None, failure.message)
        }
    };
    let data = json!({
        "finished": intent.progress.is_finished(),
        "code": code,
        "canister_id": canister,
        "text": text,
    });
    (format!("- {}: {text}", wish(intent)), data)
}

fn gain(intent: &Intent, gained: &Gained) -> (Principal, Option<u64>) {
    match (gained, &intent.asked.what) {
        (Gained::Canister(canister), _) => (*canister, None),
        (Gained::Cycles(cycles), What::TopUp { canister }) => (*canister, *cycles),
        // Cycles alone are not what makes a canister.
        (Gained::Cycles(cycles), What::Canister { .. }) => {
            (Principal::management_canister(), *cycles)
        }
    }
}

fn done(intent: &Intent, block: u64, gained: &Gained) -> String {
    let paid = shown(intent.payment);
    let (canister, cycles) = gain(intent, gained);
    match (gained, cycles) {
        (Gained::Canister(_), _) => {
            format!("The canister {canister} was created and {paid} paid for it (block {block}).")
        }
        (Gained::Cycles(_), Some(cycles)) => format!(
            "The canister {canister} got {}, paid with {paid} (block {block}).",
            shown_cycles(cycles.into())
        ),
        (Gained::Cycles(_), None) => format!(
            "The ledger has the payment of {paid} to the canister {canister} as block {block}. Had the canister not \
             been able to take it, the cycles would be back on the balance: cycles_balance tells."
        ),
    }
}

fn wish(intent: &Intent) -> String {
    let paid = shown(intent.payment);
    let name = intent.request_id.as_ref();
    let name = name.map_or(String::new(), |name| {
        format!(", request_id {}", name.as_str())
    });
    let since = at(intent.started_at);
    match &intent.asked.what {
        What::Canister { .. } => format!("create_canister for {paid} (asked at {since}{name})"),
        What::TopUp { canister } => {
            format!("top_up_canister {canister} with {paid} (asked at {since}{name})")
        }
    }
}

fn once_more(intent: &Intent) -> String {
    let known = match &intent.request_id {
        Some(_) => "a request_id stands for one payment for 90 days after it is finished",
        None => "equal arguments within 24 hours are taken for a repetition",
    };
    format!(" To pay once more on purpose, give a new request_id: {known}.")
}

/// Why an intent is not done, with a next step.
fn not_done(outcome: &Outcome) -> Failure {
    let intent = &outcome.intent;
    match &intent.progress {
        Progress::Refunded { reason, block } => {
            let block = block.map_or(String::new(), |block| format!(" in block {block}"));
            Failure::new(
                "REFUNDED",
                format!(
                    "The payment of {} was taken and given back{block}, less the fees, at {}. The reason that was \
                     given: {reason}",
                    shown(intent.payment),
                    at(intent.changed_at)
                ),
            )
        }
        Progress::Unclear { .. } => unclear(intent),
        _ => {
            let mut failure = in_the_way(outcome);
            failure.message.push_str(remaining(&intent.progress));
            failure
        }
    }
}

/// What holds of an intent whatever is in its way.
fn remaining(progress: &Progress) -> &'static str {
    match progress {
        Progress::Refused
        | Progress::Unpaid {
            sent: false,
            doubt: false,
        } => " Nothing was paid.",
        Progress::Unpaid { .. } => {
            " Whether an earlier attempt was carried out is not known yet, so this request stays open: call \
             resume_funding, which pays once at most."
        }
        Progress::Paid { .. } => {
            " The payment was made and is not lost: call resume_funding to go on with it."
        }
        _ => "",
    }
}

fn in_the_way(outcome: &Outcome) -> Failure {
    let intent = &outcome.intent;
    match &outcome.trouble {
        None => Failure::new(
            "PAYMENT_PENDING",
            "What was paid for is still being made. Wait half a minute.",
        ),
        Some(Trouble::Insufficient { balance }) => insufficient(intent, *balance),
        Some(Trouble::Clock) => Failure::new(
            "CLOCK",
            "The ledger's clock and this server's are too far apart. Tell the user that this server's clock is wrong.",
        ),
        Some(Trouble::Lapsed) => Failure::new(
            "PAYMENT_LAPSED",
            "The request waited for more than a day, and the ledger takes no such old payments. If it is still \
             wanted, call the tool again.",
        ),
        Some(Trouble::Fee(e8s)) => Failure::new(
            "FEE",
            format!(
                "The ICP ledger asks for a fee of {}, which is not what the payment was made out for.",
                shown_e8s(*e8s)
            ),
        ),
        Some(Trouble::Refused(why)) => Failure::new(
            "PAYMENT_REFUSED",
            format!("The payment was not carried out. The words of the canister in charge: {why}"),
        ),
        Some(Trouble::NotSent) => outcome.cause.clone().unwrap_or_else(Failure::internal),
        Some(Trouble::Unknown | Trouble::Unclear) => Failure::new(
            "OUTCOME_UNKNOWN",
            "The last request was sent, and what became of it is not known.",
        ),
    }
}

fn insufficient(intent: &Intent, balance: u128) -> Failure {
    let (payer, need) = (intent.payer, need(intent.payment));
    let message = match intent.payment {
        Payment::Cycles { .. } => format!(
            "The balance at the cycles ledger is too small: {} are needed, fee included, and {} are there. Have cycles \
             sent to the principal {payer} at the cycles ledger, or spend ICP itself with pay_with=\"icp\".",
            shown_cycles(need),
            shown_cycles(balance)
        ),
        Payment::Icp { .. } => {
            let e8s = |amount: u128| shown_e8s(u64::try_from(amount).unwrap_or(u64::MAX));
            format!(
                "The balance at the ICP ledger is too small: {} are needed, fee included, and {} are there. Have ICP \
                 sent to the account {} (principal {payer}).",
                e8s(need),
                e8s(balance),
                AccountIdentifier::default_of(payer)
            )
        }
    };
    Failure::new("INSUFFICIENT_FUNDS", message)
}

fn unclear(intent: &Intent) -> Failure {
    let paid = shown(intent.payment);
    let next = if awaits_block(intent) {
        format!(
            "Look in a ledger explorer for transfers of the account {} around {}; if there is one of {paid}, call \
             resume_funding with its block_index.",
            AccountIdentifier::default_of(intent.payer),
            at(intent.started_at)
        )
    } else {
        format!(
            "Look at cycles_balance and, in a ledger explorer, at the transactions of {} around {}.",
            intent.payer,
            at(intent.started_at)
        )
    };
    let known = match intent.progress.block() {
        Some(block) => {
            format!("{paid} were paid in block {block}, and what came of it was not heard in time")
        }
        None => format!("{paid} may have been paid, and the answer was not heard in time"),
    };
    Failure::new(
        "PAYMENT_UNCLEAR",
        format!(
            "{known}: the ledger no longer tells repetitions apart, so nothing is sent again. Tell the user. {next} To \
             pay anew all the same, give a new request_id."
        ),
    )
}

pub(super) fn name_taken(intent: &Intent) -> Failure {
    Failure::argument(
        "request_id",
        format!(
            "was given to another request before: {}. Repeat that request as it was, or take a new name",
            wish(intent)
        ),
    )
}

pub(super) fn too_many() -> Failure {
    Failure::new(
        "TOO_MANY_UNFINISHED",
        "The user has too many payments that are not finished, so no new one is begun. Call resume_funding first.",
    )
}

pub(super) fn busy() -> Failure {
    Failure::new(
        "PAYMENT_BUSY",
        "Another call is at work on this payment. Wait half a minute and call resume_funding, which pays nothing \
         twice.",
    )
}

pub(super) fn other_payer(intent: &Intent) -> Failure {
    Failure::new(
        "OTHER_PAYER",
        format!(
            "This payment was begun as {}, which is not who the user is here now, so it is left alone. Tell the user.",
            intent.payer
        ),
    )
}

fn at(moment: Moment) -> String {
    let seconds = i64::try_from(moment.seconds()).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}
