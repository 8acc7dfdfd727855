//! What is sent next for an intent, and what an answer means for it.
//!
//! The rule that everything rests on: an intent's payment never changes once a copy of it may be on its way. A copy
//! whose answer did not become known leaves a doubt, and a doubt stays: with it a refusal proves nothing, since the
//! copy may have been executed before or may be executed yet. Only without one does a refusal mean that nothing was
//! paid, so that the user may ask anew.

use super::intent::{Gained, Intent, Payment, Progress, What};

/// A fee above this is not paid without asking, in e8s.
const HIGHEST_FEE_E8S: u64 = 1_000_000;
/// For how long the cycles ledger takes a payment and knows it again, its tolerance for clocks included.
const LEDGER_WINDOW_NS: u64 = (24 * 3600 + 60) * 1_000_000_000;

/// What is to be sent for an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The payment; [`sending`] has to be durable before.
    Pay,
    /// The notification of the cycles minting canister about this block.
    Notify(u64),
    /// Nothing.
    Rest,
}

/// What became of a payment that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentAnswer {
    /// The ledger has it, from now or from before, as this block; with what it brought, if that is said.
    Accepted {
        /// Its block.
        block: u64,
        /// None while the ledger does not say.
        gained: Option<Gained>,
    },
    /// It was taken and paid back.
    Refunded {
        /// Why.
        reason: String,
        /// The block of the refund.
        block: Option<u64>,
    },
    /// The balance is too small: cycles or e8s.
    Insufficient {
        /// What there is.
        balance: u128,
    },
    /// The ledger wants another fee, in e8s.
    BadFee {
        /// Which one.
        expected_e8s: u64,
    },
    /// `created_at_time` is too long ago for the ledger to know whether it has it.
    TooOld,
    /// `created_at_time` is in the ledger's future.
    InFuture,
    /// The ledger will not, in its own words.
    Refused(String),
    /// It certainly did not arrive.
    NotSent,
    /// Nobody knows.
    Unknown,
}

/// What became of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyAnswer {
    /// It brought this, now or before.
    Gained(Gained),
    /// The payment was paid back.
    Refunded {
        /// Why.
        reason: String,
        /// The block of the refund.
        block: Option<u64>,
    },
    /// It is being worked on.
    Processing,
    /// The block is too old to be notified.
    TooOld,
    /// The block is not this payment, in the canister's words.
    Invalid(String),
    /// Something else, in the canister's words.
    Other(String),
    /// It certainly did not arrive.
    NotSent,
    /// Nobody knows. Sending it again is harmless.
    Unknown,
}

/// How to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// With the next step.
    GoOn,
    /// With the same step after a while.
    Wait,
    /// Not now.
    Stop(Trouble),
}

/// Why not now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The balance is too small.
    Insufficient {
        /// What there is, in cycles or e8s.
        balance: u128,
    },
    /// This server's clock and the ledger's are too far apart.
    Clock,
    /// The payment waited until the ledger would not take it any more.
    Lapsed,
    /// The ledger's fee is out of proportion, in e8s.
    Fee(u64),
    /// Somebody will not, in their own words.
    Refused(String),
    /// The last request did not arrive.
    NotSent,
    /// What became of the last request is not known.
    Unknown,
    /// See [`Progress::Unclear`].
    Unclear,
}

/// What an answer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// How far the intent is now.
    pub progress: Progress,
    /// What is paid from now on.
    pub payment: Payment,
    /// How to go on.
    pub then: Then,
}

/// What is to be sent next.
pub fn next(intent: &Intent) -> Step {
    match (&intent.progress, intent.payment) {
        (Progress::Unpaid { .. }, _) => Step::Pay,
        (Progress::Paid { block }, Payment::Icp { .. }) => Step::Notify(*block),
        // The ledger makes the canister itself: the same payment once more asks it what came of it.
        (Progress::Paid { .. }, Payment::Cycles { .. }) => Step::Pay,
        _ => Step::Rest,
    }
}

/// The progress that has to be durable before a payment leaves.
pub fn sending(intent: &Intent) -> Progress {
    match intent.progress {
        Progress::Unpaid { sent, doubt } => Progress::Unpaid {
            sent: true,
            doubt: doubt || sent,
        },
        ref progress => progress.clone(),
    }
}

/// What the answer to a payment means.
pub fn paid(intent: &Intent, answer: PaymentAnswer) -> Learned {
    match intent.progress {
        Progress::Unpaid { doubt, .. } => first_answer(intent, doubt, answer),
        Progress::Paid { block } => repeated_answer(intent, block, answer),
        _ => stay(intent, Then::GoOn),
    }
}

fn first_answer(intent: &Intent, doubt: bool, answer: PaymentAnswer) -> Learned {
    // This copy was not executed. Whether that settles the matter is the doubt's to say.
    let not_executed = |trouble: Trouble| {
        let progress = if doubt {
            Progress::Unpaid { sent: false, doubt }
        } else {
            Progress::Refused
        };
        to(intent, progress, Then::Stop(trouble))
    };
    match answer {
        PaymentAnswer::Accepted { block, gained } => accepted(intent, block, gained),
        PaymentAnswer::Refunded { reason, block } => {
            to(intent, Progress::Refunded { reason, block }, Then::GoOn)
        }
        PaymentAnswer::Insufficient { balance } => not_executed(Trouble::Insufficient { balance }),
        PaymentAnswer::BadFee { expected_e8s } => match intent.payment {
            Payment::Icp { amount, .. } if !doubt && expected_e8s <= HIGHEST_FEE_E8S => Learned {
                progress: Progress::NEW,
                payment: Payment::Icp {
                    amount,
                    fee_e8s: expected_e8s,
                },
                then: Then::GoOn,
            },
            _ => not_executed(Trouble::Fee(expected_e8s)),
        },
        PaymentAnswer::TooOld if doubt => to(
            intent,
            Progress::Unclear { block: None },
            Then::Stop(Trouble::Unclear),
        ),
        PaymentAnswer::TooOld => not_executed(Trouble::Lapsed),
        PaymentAnswer::InFuture => not_executed(Trouble::Clock),
        PaymentAnswer::Refused(why) => not_executed(Trouble::Refused(why)),
        PaymentAnswer::NotSent => to(
            intent,
            Progress::Unpaid { sent: false, doubt },
            Then::Stop(Trouble::NotSent),
        ),
        PaymentAnswer::Unknown => stay(intent, Then::Stop(Trouble::Unknown)),
    }
}

/// The payment is known to be there; it was sent again to hear what it brought.
fn repeated_answer(intent: &Intent, block: u64, answer: PaymentAnswer) -> Learned {
    match answer {
        PaymentAnswer::Accepted { gained: None, .. } => stay(intent, Then::Wait),
        PaymentAnswer::Accepted { block, gained } => accepted(intent, block, gained),
        PaymentAnswer::Refunded { reason, block } => {
            to(intent, Progress::Refunded { reason, block }, Then::GoOn)
        }
        PaymentAnswer::TooOld => to(
            intent,
            Progress::Unclear { block: Some(block) },
            Then::Stop(Trouble::Unclear),
        ),
        PaymentAnswer::Refused(why) => stay(intent, Then::Stop(Trouble::Refused(why))),
        PaymentAnswer::NotSent => stay(intent, Then::Stop(Trouble::NotSent)),
        PaymentAnswer::InFuture => stay(intent, Then::Stop(Trouble::Clock)),
        PaymentAnswer::Insufficient { balance } => {
            stay(intent, Then::Stop(Trouble::Insufficient { balance }))
        }
        PaymentAnswer::BadFee { .. } | PaymentAnswer::Unknown => {
            stay(intent, Then::Stop(Trouble::Unknown))
        }
    }
}

fn accepted(intent: &Intent, block: u64, gained: Option<Gained>) -> Learned {
    match gained {
        Some(gained) => to(intent, Progress::Done { block, gained }, Then::GoOn),
        None => to(intent, Progress::Paid { block }, Then::GoOn),
    }
}

/// What the answer to a notification means.
pub fn notified(intent: &Intent, answer: NotifyAnswer) -> Learned {
    let Progress::Paid { block } = intent.progress else {
        return stay(intent, Then::GoOn);
    };
    match answer {
        NotifyAnswer::Gained(gained) => to(intent, Progress::Done { block, gained }, Then::GoOn),
        NotifyAnswer::Refunded { reason, block } => {
            to(intent, Progress::Refunded { reason, block }, Then::GoOn)
        }
        NotifyAnswer::Processing => stay(intent, Then::Wait),
        NotifyAnswer::TooOld => to(
            intent,
            Progress::Unclear { block: Some(block) },
            Then::Stop(Trouble::Unclear),
        ),
        NotifyAnswer::Invalid(why) | NotifyAnswer::Other(why) => {
            stay(intent, Then::Stop(Trouble::Refused(why)))
        }
        NotifyAnswer::NotSent => stay(intent, Then::Stop(Trouble::NotSent)),
        NotifyAnswer::Unknown => stay(intent, Then::Stop(Trouble::Unknown)),
    }
}

/// Whether a block that was found may be taken for this intent's payment: it may have been executed, and its block is
/// not known.
pub fn awaits_block(intent: &Intent) -> bool {
    match intent.progress {
        Progress::Unpaid { sent, doubt } => sent || doubt,
        Progress::Unclear { block } => block.is_none(),
        _ => false,
    }
}

/// What the cycles ledger's refusal for want of cycles says of a payment that may have been executed. It looks at the
/// balance before it looks for a repetition and at the time, so it says the same when that payment is what emptied the
/// balance, and when it would take no more such payment from anybody. `found` is the payment's block.
pub fn of_empty_balance(
    intent: &Intent,
    balance: u128,
    found: Option<u64>,
    now_ns: u64,
) -> PaymentAnswer {
    let last = intent.created_at_ns.saturating_add(LEDGER_WINDOW_NS);
    match found {
        Some(block) => PaymentAnswer::Accepted {
            block,
            gained: taken(intent),
        },
        None if now_ns > last => PaymentAnswer::TooOld,
        None => PaymentAnswer::Insufficient { balance },
    }
}

/// How far an intent is whose payment is this block.
pub fn found(intent: &Intent, block: u64) -> Progress {
    match taken(intent) {
        Some(gained) => Progress::Done { block, gained },
        None => Progress::Paid { block },
    }
}

/// What is known of what a payment brought of which no more than the block is known. Whether the cycles of a top-up
/// were put back meanwhile, the ledger does not say.
fn taken(intent: &Intent) -> Option<Gained> {
    delivered(intent).map(|_| Gained::Cycles(None))
}

/// What the ledger gives when a payment from the cycles ledger was accepted; none for a canister, which it names.
pub fn delivered(intent: &Intent) -> Option<Gained> {
    match (&intent.asked.what, intent.payment) {
        (What::TopUp { .. }, Payment::Cycles { amount }) => {
            Some(Gained::Cycles(Some(amount.count())))
        }
        _ => None,
    }
}

fn stay(intent: &Intent, then: Then) -> Learned {
    to(intent, intent.progress.clone(), then)
}

fn to(intent: &Intent, progress: Progress, then: Then) -> Learned {
    Learned {
        progress,
        payment: intent.payment,
        then,
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
