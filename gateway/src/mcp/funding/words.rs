//! What is said of an intent.

use candid::Principal;
use serde_json::{Value, json};

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
        request::KEPT_DAYS,
    },
    store::Moment,
};

/// How long making a canister may take, in seconds.
const MAKING_SECONDS: u64 = 300;

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
            "done_at": intent.changed_at.to_string(),
            "repeated": repeated,
        }),
    );
    if repeated {
        output.note(format!(
            "This was done before, at {}, and nothing was paid now.{}",
            intent.changed_at,
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
    written(intent, code, canister, &text)
}

/// The same for an intent that could not be worked on.
pub(super) fn stopped(intent: &Intent, failure: Failure) -> (String, Value) {
    written(intent, failure.code, None, &failure.message)
}

fn written(intent: &Intent, code: &str, canister: Option<String>, text: &str) -> (String, Value) {
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
    let since = intent.started_at;
    match &intent.asked.what {
        What::Canister { .. } => format!("create_canister for {paid} (asked at {since}{name})"),
        What::TopUp { canister } => {
            format!("top_up_canister {canister} with {paid} (asked at {since}{name})")
        }
    }
}

fn once_more(intent: &Intent) -> String {
    let known = match &intent.request_id {
        Some(_) => "a request_id stands for one payment",
        None => "equal arguments are taken for a repetition",
    };
    format!(
        " To pay once more on purpose, give a new request_id: {known} for {KEPT_DAYS} days after it is finished."
    )
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
                    intent.changed_at
                ),
            )
        }
        Progress::Unclear { .. } => unclear(intent),
        Progress::Paid { block } if outcome.trouble.is_none() && is_overdue(intent) => {
            overdue(intent, *block)
        }
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

/// Whether the ledger should have named the canister by now. It remembers no failure: a payment whose canister could
/// not be made looks to it like one whose canister is being made.
fn is_overdue(intent: &Intent) -> bool {
    matches!(intent.payment, Payment::Cycles { .. })
        && Moment::now().since(intent.changed_at) > MAKING_SECONDS
}

fn overdue(intent: &Intent, block: u64) -> Failure {
    Failure::new(
        "PAYMENT_PENDING",
        format!(
            "The cycles ledger has had the payment of {} as block {block} since {}, and still names no canister for \
             it. Making the canister may have failed, and the cycles may have been given back, less the fees: look at \
             cycles_balance. If they are there, pay anew with a new request_id; if not, call resume_funding once more.",
            shown(intent.payment),
            intent.changed_at
        ),
    )
}

fn insufficient(intent: &Intent, balance: u128) -> Failure {
    let (payer, need) = (intent.payer, need(intent.payment));
    let message = match intent.payment {
        Payment::Cycles { .. } if awaits_block(intent) || intent.progress.block().is_some() => {
            emptied(intent, balance)
        }
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

/// What a balance that is too small means when an earlier attempt may be what emptied it.
fn emptied(intent: &Intent, balance: u128) -> String {
    let (needed, there) = (shown_cycles(need(intent.payment)), shown_cycles(balance));
    let refill = format!(
        "have cycles sent to the principal {} at the cycles ledger until {needed} are there, and call resume_funding",
        intent.payer
    );
    match intent.progress.block() {
        Some(block) => format!(
            "The payment is block {block} of the cycles ledger. Which canister it made, the ledger tells only while \
             the balance could pay once more: {needed} are needed, and {there} are there. To learn it, {refill} \
             within 24 hours of {}; they are not taken.",
            intent.started_at
        ),
        None => format!(
            "The balance at the cycles ledger is {there}, and the payment takes {needed}, fee included. An earlier \
             attempt may be what emptied it: the ledger looks at the balance before it looks for a repetition. {} \
             Otherwise {refill}: what was paid is not paid again.",
            search(intent)
        ),
    }
}

/// How a person finds the block of a payment.
fn search(intent: &Intent) -> String {
    let (paid, since) = (shown(intent.payment), intent.started_at);
    let what = match intent.payment {
        Payment::Icp { .. } => {
            let account = AccountIdentifier::default_of(intent.payer);
            format!("transfers of the account {account}")
        }
        Payment::Cycles { .. } => {
            format!("burned cycles of {} at the cycles ledger", intent.payer)
        }
    };
    format!(
        "Look in a ledger explorer for {what} around {since}; if there is one of {paid}, call resume_funding with its \
         block_index."
    )
}

fn unclear(intent: &Intent) -> Failure {
    let paid = shown(intent.payment);
    let next = if awaits_block(intent) {
        search(intent)
    } else {
        format!(
            "Look at cycles_balance and, in a ledger explorer, at the transactions of {} around {}.",
            intent.payer, intent.started_at
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

pub(super) fn full() -> Failure {
    Failure::new(
        "TOO_MANY_PAYMENTS",
        format!(
            "The user had so many payments lately that one more could not be remembered beside them, so it is not \
             begun. A payment is remembered for {KEPT_DAYS} days after it is finished, so that none is repeated \
             unasked: tell the user, and try again when the oldest ones are that old."
        ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::funding::{
        amount::Cycles,
        intent::{Amount, Asked, PayWith},
    };

    fn making(since: Moment) -> Outcome {
        let amount = Cycles::new(7).unwrap();
        Outcome::of(Intent {
            id: 1,
            request_id: None,
            payer: Principal::anonymous(),
            asked: Asked {
                what: What::Canister {
                    controllers: vec![Principal::anonymous()],
                    subnet: None,
                },
                amount: Amount::Cycles(amount),
                pay_with: PayWith::Cycles,
            },
            payment: Payment::Cycles { amount },
            created_at_ns: 0,
            progress: Progress::Paid { block: 12 },
            started_at: since,
            changed_at: since,
            revision: 0,
        })
    }

    #[test]
    fn a_canister_that_is_long_in_the_making_may_have_failed() {
        let (text, _) = line(&making(Moment::now()));
        assert!(
            text.contains("still being made") && !text.contains("cycles_balance"),
            "{text}"
        );
        let (text, data) = line(&making(Moment::from_seconds(1_000)));
        assert_eq!(data["code"], "PAYMENT_PENDING");
        for part in [
            "block 12",
            "may have failed",
            "cycles_balance",
            "given back",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
