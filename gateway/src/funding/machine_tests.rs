use std::collections::{BTreeMap, BTreeSet};

use ::candid::Principal;
use proptest::prelude::*;

use super::*;
use crate::{
    funding::{
        amount::{Cycles, Icp},
        intent::{Amount, Asked, PayWith},
        request::{Choice, choose},
    },
    store::Moment,
};

fn asked(pay_with: PayWith, canister: bool) -> Asked {
    Asked {
        what: if canister {
            What::Canister {
                controllers: vec![Principal::anonymous()],
                subnet: None,
            }
        } else {
            What::TopUp {
                canister: Principal::from_slice(&[1, 1]),
            }
        },
        amount: Amount::Icp(Icp::from_e8s(50).unwrap()),
        pay_with,
    }
}

fn intent(asked: Asked, created_at_ns: u64) -> Intent {
    Intent {
        id: 1,
        request_id: None,
        payer: Principal::anonymous(),
        payment: match asked.pay_with {
            PayWith::Cycles => Payment::Cycles {
                amount: Cycles::new(1_000).unwrap(),
            },
            PayWith::Icp => Payment::Icp {
                amount: Icp::from_e8s(50).unwrap(),
                fee_e8s: 10_000,
            },
        },
        asked,
        created_at_ns,
        progress: Progress::NEW,
        started_at: Moment::from_seconds(0),
        changed_at: Moment::from_seconds(0),
        revision: 0,
    }
}

/// What may happen around one request.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Everything goes well.
    Answered,
    /// The process dies before the request leaves.
    DiesBefore,
    /// The request is executed and the process dies before it learns so.
    DiesAfter,
    /// The process dies when it knows the answer and has not noted it.
    DiesKnowing,
    /// The request never arrives, and nobody knows.
    Lost,
    /// It is executed, and nobody knows.
    AnswerLost,
    /// It is executed some time later, and nobody knows.
    Late,
    /// It certainly does not arrive.
    NotSent,
    /// The ledger has too little money at this moment.
    Poor,
    /// The ledger asks for another fee.
    Fee,
    /// The canister is at work on it.
    Processing,
    /// More than a day goes by first.
    Day,
    /// Copies that were late are executed now.
    Arrival,
    /// The beneficiary cannot take it.
    Hopeless,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    use Fate::*;
    let fate = prop::sample::select(vec![
        Answered,
        Answered,
        DiesBefore,
        DiesAfter,
        DiesKnowing,
        Lost,
        AnswerLost,
        Late,
        NotSent,
        Poor,
        Fee,
        Processing,
        Day,
        Arrival,
        Hopeless,
    ]);
    prop::collection::vec(fate, 0..14)
}

/// Ledger and cycles minting canister: what a payment is known by is its time and its fee.
#[derive(Default)]
struct World {
    day: u64,
    fee: u64,
    blocks: BTreeMap<(u64, u64), u64>,
    late: Vec<(u64, u64)>,
    brought: BTreeSet<u64>,
    refunded: BTreeSet<u64>,
}

impl World {
    fn pay(&mut self, key: (u64, u64), poor: bool, by_icp: bool) -> PaymentAnswer {
        // The cycles ledger looks at the balance before anything else.
        if poor && !by_icp {
            return PaymentAnswer::Insufficient { balance: 0 };
        }
        if by_icp && key.1 != self.fee {
            return PaymentAnswer::BadFee {
                expected_e8s: self.fee,
            };
        }
        if key.0 < self.day {
            return PaymentAnswer::TooOld;
        }
        if let Some(block) = self.blocks.get(&key) {
            return PaymentAnswer::Accepted {
                block: *block,
                gained: None,
            };
        }
        if poor {
            return PaymentAnswer::Insufficient { balance: 0 };
        }
        let block = self.blocks.len() as u64;
        self.blocks.insert(key, block);
        PaymentAnswer::Accepted {
            block,
            gained: None,
        }
    }

    fn arrive(&mut self, by_icp: bool) {
        for key in std::mem::take(&mut self.late) {
            // Copies that are older than the window do not live that long.
            self.pay(key, false, by_icp);
        }
    }

    fn notify(&mut self, block: u64, hopeless: bool) -> NotifyAnswer {
        assert!(block < self.blocks.len() as u64, "no such block");
        if !self.brought.contains(&block) && (hopeless || self.refunded.contains(&block)) {
            self.refunded.insert(block);
            return NotifyAnswer::Refunded {
                reason: "no".to_owned(),
                block: None,
            };
        }
        self.brought.insert(block);
        NotifyAnswer::Gained(Gained::Cycles(None))
    }
}

/// One request with its fate; false when the process died.
fn one_step(world: &mut World, intent: &mut Intent, fate: Fate) {
    let by_icp = matches!(intent.payment, Payment::Icp { .. });
    match fate {
        Fate::Day => {
            world.day += 1;
            world.late.clear();
            return;
        }
        Fate::Arrival => return world.arrive(by_icp),
        Fate::Fee => {
            world.fee += 1;
            return;
        }
        _ => {}
    }
    match next(intent) {
        Step::Rest => {}
        Step::Pay => {
            intent.progress = sending(intent);
            let key = match intent.payment {
                Payment::Icp { fee_e8s, .. } => (intent.created_at_ns, fee_e8s),
                Payment::Cycles { .. } => (intent.created_at_ns, 0),
            };
            let answer = match fate {
                Fate::DiesBefore => return,
                Fate::DiesAfter | Fate::DiesKnowing => {
                    world.pay(key, false, by_icp);
                    return;
                }
                Fate::Lost => PaymentAnswer::Unknown,
                Fate::AnswerLost => {
                    world.pay(key, false, by_icp);
                    PaymentAnswer::Unknown
                }
                Fate::Late => {
                    world.late.push(key);
                    PaymentAnswer::Unknown
                }
                Fate::NotSent => PaymentAnswer::NotSent,
                fate => {
                    let answer = world.pay(key, matches!(fate, Fate::Poor), by_icp);
                    match answer {
                        PaymentAnswer::Accepted { block, .. } if !by_icp => {
                            match world.notify(block, matches!(fate, Fate::Hopeless)) {
                                NotifyAnswer::Gained(gained) => PaymentAnswer::Accepted {
                                    block,
                                    gained: (!matches!(fate, Fate::Processing)).then_some(gained),
                                },
                                _ => PaymentAnswer::Refunded {
                                    reason: "no".to_owned(),
                                    block: None,
                                },
                            }
                        }
                        answer => answer,
                    }
                }
            };
            let learned = paid(intent, answer);
            intent.progress = learned.progress;
            intent.payment = learned.payment;
        }
        Step::Notify(block) => {
            let answer = match fate {
                Fate::DiesBefore => return,
                Fate::DiesAfter | Fate::DiesKnowing => {
                    world.notify(block, false);
                    return;
                }
                Fate::Lost | Fate::Late => NotifyAnswer::Unknown,
                Fate::AnswerLost => {
                    world.notify(block, false);
                    NotifyAnswer::Unknown
                }
                Fate::NotSent => NotifyAnswer::NotSent,
                Fate::Processing => NotifyAnswer::Processing,
                fate => world.notify(block, matches!(fate, Fate::Hopeless)),
            };
            let learned = notified(intent, answer);
            intent.progress = learned.progress;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// However often the user asks for the same, whatever dies, gets lost, comes late or twice: one payment at
    /// most, and what was paid is not forgotten.
    #[test]
    fn nothing_is_paid_twice_or_forgotten(by_icp: bool, canister: bool, fates in fates()) {
        let pay_with = if by_icp { PayWith::Icp } else { PayWith::Cycles };
        let wish = asked(pay_with, canister);
        let mut world = World { fee: 10_000, ..World::default() };
        let mut current = intent(wish.clone(), 0);
        for fate in fates {
            // The user asks again: what is refused starts anew, with a later time.
            let now = Moment::from_seconds(1);
            match choose(std::slice::from_ref(&current), &wish, None, now) {
                Choice::Again(_) => current = intent(wish.clone(), world.day.max(current.created_at_ns + 1)),
                Choice::GoOn(_) | Choice::Known(_) => {}
                choice => prop_assert!(false, "{choice:?}"),
            }
            one_step(&mut world, &mut current, fate);
            prop_assert!(world.blocks.len() <= 1, "{:?}", world.blocks);
        }
        // From now on all goes well.
        world.arrive(by_icp);
        for _ in 0..4 {
            one_step(&mut world, &mut current, Fate::Answered);
        }
        prop_assert!(world.blocks.len() <= 1, "{:?}", world.blocks);
        match &current.progress {
            Progress::Done { block, .. } => prop_assert!(world.brought.contains(block)),
            Progress::Refunded { .. } => prop_assert!(!world.refunded.is_empty()),
            Progress::Refused => prop_assert!(world.blocks.is_empty()),
            // Only what outlived the ledger's memory, or waits for a fee that cannot change any more.
            Progress::Unclear { .. } => prop_assert!(world.day > current.created_at_ns),
            Progress::Unpaid { doubt, .. } => prop_assert!(by_icp && *doubt && world.fee != 10_000),
            progress @ Progress::Paid { .. } => prop_assert!(false, "{progress:?}"),
        }
    }
}

#[test]
fn a_refusal_settles_nothing_while_a_copy_may_be_on_its_way() {
    let mut intent = intent(asked(PayWith::Icp, true), 0);
    intent.progress = sending(&intent);
    let poor = || PaymentAnswer::Insufficient { balance: 3 };
    assert_eq!(paid(&intent, poor()).progress, Progress::Refused);
    // The answer to the first copy did not become known.
    intent.progress = sending(&intent);
    let open = Progress::Unpaid {
        sent: false,
        doubt: true,
    };
    for answer in [
        poor(),
        PaymentAnswer::BadFee { expected_e8s: 1 },
        PaymentAnswer::InFuture,
        PaymentAnswer::Refused("no".to_owned()),
        PaymentAnswer::NotSent,
    ] {
        let learned = paid(&intent, answer);
        assert_eq!(learned.progress, open);
        assert_eq!(learned.payment, intent.payment);
    }
    let learned = paid(&intent, PaymentAnswer::TooOld);
    assert_eq!(learned.progress, Progress::Unclear { block: None });
}

#[test]
fn a_fee_is_followed_as_far_as_it_is_one() {
    let mut intent = intent(asked(PayWith::Icp, true), 0);
    intent.progress = sending(&intent);
    let learned = paid(
        &intent,
        PaymentAnswer::BadFee {
            expected_e8s: 20_000,
        },
    );
    assert_eq!(learned.then, Then::GoOn);
    assert!(matches!(
        learned.payment,
        Payment::Icp {
            fee_e8s: 20_000,
            ..
        }
    ));
    let absurd = PaymentAnswer::BadFee {
        expected_e8s: 100_000_000,
    };
    let learned = paid(&intent, absurd);
    assert_eq!(learned.progress, Progress::Refused);
    assert_eq!(learned.payment, intent.payment);
}

#[test]
fn only_what_may_be_paid_takes_a_block_from_outside() {
    for pay_with in [PayWith::Icp, PayWith::Cycles] {
        let mut intent = intent(asked(pay_with, false), 0);
        assert!(!awaits_block(&intent), "nothing was ever sent");
        intent.progress = sending(&intent);
        assert!(awaits_block(&intent));
        intent.progress = Progress::Unclear { block: None };
        assert!(awaits_block(&intent));
        intent.progress = Progress::Unclear { block: Some(3) };
        assert!(!awaits_block(&intent));
    }
}

#[test]
fn an_empty_balance_settles_nothing_that_may_have_emptied_it() {
    let mut intent = intent(asked(PayWith::Cycles, true), 1);
    intent.progress = Progress::Paid { block: 4 };
    let poor = PaymentAnswer::Insufficient { balance: 3 };
    let learned = paid(&intent, poor.clone());
    assert_eq!(learned.progress, intent.progress);
    assert_eq!(
        learned.then,
        Then::Stop(Trouble::Insufficient { balance: 3 })
    );

    assert_eq!(of_empty_balance(&intent, 3, None, LEDGER_WINDOW_NS), poor);
    let late = of_empty_balance(&intent, 3, None, LEDGER_WINDOW_NS + 2);
    assert_eq!(late, PaymentAnswer::TooOld);
    assert_eq!(found(&intent, 9), Progress::Paid { block: 9 });
    intent.asked = asked(PayWith::Cycles, false);
    let gained = Gained::Cycles(None);
    assert_eq!(found(&intent, 9), Progress::Done { block: 9, gained });
}
