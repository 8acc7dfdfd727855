//! Which intent a request means.

use super::intent::{Asked, Intent, Progress, RequestId};
use crate::store::Moment;

/// How long what is finished is remembered, in days. For as long the same request, by its name or by equal arguments,
/// is a repetition of it.
pub const KEPT_DAYS: u64 = 90;
const KEPT_SECONDS: u64 = KEPT_DAYS * 24 * 3600;
/// Records kept of one user: more than twenty payments a day. When there are as many, one that nothing depends on any
/// more makes room.
pub const MOST_KEPT: usize = 2_000;
/// Unfinished ones of late that a user may have.
pub const MOST_UNFINISHED: usize = 20;
/// For how long an unfinished one counts, in seconds. Older ones may never be finished, whatever the user does.
const LATE_SECONDS: u64 = 3 * 24 * 3600;

/// What a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'a> {
    /// A new wish.
    New,
    /// The same, and this one is forgotten for it.
    InPlaceOf(&'a Intent),
    /// One that is not finished: go on with it.
    GoOn(&'a Intent),
    /// One that came to nothing and cost nothing: begin it anew.
    Again(&'a Intent),
    /// One that is finished: say what came of it.
    Known(&'a Intent),
    /// Its name belongs to another wish.
    NameTaken(&'a Intent),
    /// The user has too many that are not finished.
    TooMany,
    /// The user has as many as are kept, and each would be missed.
    Full,
}

/// Decides by the user's own intents.
pub fn choose<'a>(
    intents: &'a [Intent],
    asked: &Asked,
    name: Option<&RequestId>,
    now: Moment,
) -> Choice<'a> {
    let found = match name {
        Some(name) => {
            let named = intents
                .iter()
                .find(|intent| intent.request_id.as_ref() == Some(name));
            match named {
                Some(intent) if intent.asked != *asked => return Choice::NameTaken(intent),
                named => named,
            }
        }
        None => same_wish(intents, asked),
    };
    match found {
        Some(intent) if !intent.progress.is_finished() => Choice::GoOn(intent),
        Some(intent) if intent.progress == Progress::Refused => Choice::Again(intent),
        Some(intent) => Choice::Known(intent),
        None if lately_unfinished(intents, now) >= MOST_UNFINISHED => Choice::TooMany,
        None if intents.len() < MOST_KEPT => Choice::New,
        None => dispensable(intents, now).map_or(Choice::Full, Choice::InPlaceOf),
    }
}

fn lately_unfinished(intents: &[Intent], now: Moment) -> usize {
    let late = |intent: &&Intent| now.since(intent.started_at) < LATE_SECONDS;
    unfinished(intents).filter(late).count()
}

/// What can be forgotten: what cost nothing first, then what no request is taken for a repetition of any more.
fn dispensable(intents: &[Intent], now: Moment) -> Option<&Intent> {
    let oldest = |refused: bool| {
        intents
            .iter()
            .filter(|intent| intent.progress.is_finished())
            .filter(|intent| (intent.progress == Progress::Refused) == refused)
            .filter(|intent| refused || now.since(intent.changed_at) >= KEPT_SECONDS)
            .min_by_key(|intent| (intent.changed_at, intent.id))
    };
    oldest(true).or_else(|| oldest(false))
}

/// An unfinished intent for the same, else the latest that is finished.
fn same_wish<'a>(intents: &'a [Intent], asked: &Asked) -> Option<&'a Intent> {
    let same = || intents.iter().filter(|intent| intent.asked == *asked);
    same()
        .find(|intent| !intent.progress.is_finished())
        .or_else(|| {
            same()
                .filter(|intent| intent.progress != Progress::Refused)
                .max_by_key(|intent| (intent.changed_at, intent.id))
        })
        .or_else(|| {
            same()
                .filter(|intent| {
                    intent.progress == Progress::Refused && intent.request_id.is_none()
                })
                .max_by_key(|intent| intent.id)
        })
}

/// What is not finished.
pub fn unfinished(intents: &[Intent]) -> impl Iterator<Item = &Intent> {
    intents
        .iter()
        .filter(|intent| !intent.progress.is_finished())
}

#[cfg(test)]
mod tests {
    use ::candid::Principal;

    use super::*;
    use crate::funding::{
        amount::Cycles,
        intent::{Amount, Gained, PayWith, Payment, What},
    };

    fn wish(cycles: u64) -> Asked {
        Asked {
            what: What::TopUp {
                canister: Principal::from_slice(&[1, 1]),
            },
            amount: Amount::Cycles(Cycles::new(cycles).unwrap()),
            pay_with: PayWith::Cycles,
        }
    }

    fn intent(id: i64, name: Option<&str>, progress: Progress) -> Intent {
        let at = Moment::from_seconds(1_000);
        Intent {
            id,
            request_id: name.and_then(RequestId::parse),
            payer: Principal::anonymous(),
            asked: wish(7),
            payment: Payment::Cycles {
                amount: Cycles::new(7).unwrap(),
            },
            created_at_ns: 0,
            progress,
            started_at: at,
            changed_at: at,
            revision: 0,
        }
    }

    fn done() -> Progress {
        Progress::Done {
            block: 1,
            gained: Gained::Cycles(None),
        }
    }

    #[test]
    fn without_a_name_equal_requests_are_one_wish_for_as_long_as_it_is_known() {
        let now = Moment::from_seconds(1_100);
        let open = [intent(1, None, Progress::NEW)];
        assert_eq!(choose(&open, &wish(7), None, now), Choice::GoOn(&open[0]));
        assert_eq!(choose(&open, &wish(8), None, now), Choice::New);
        let later = now.plus(KEPT_SECONDS - 1);
        for name in [None, Some("a")] {
            let finished = [intent(1, name, done())];
            for now in [now, now.plus(25 * 3600), later] {
                let choice = choose(&finished, &wish(7), None, now);
                assert_eq!(choice, Choice::Known(&finished[0]));
            }
        }
        let refused = [intent(1, None, Progress::Refused)];
        assert_eq!(
            choose(&refused, &wish(7), None, later),
            Choice::Again(&refused[0])
        );
        let both = [intent(1, Some("a"), done()), intent(2, None, Progress::NEW)];
        assert_eq!(choose(&both, &wish(7), None, now), Choice::GoOn(&both[1]));
    }

    #[test]
    fn a_name_stands_for_one_wish_for_as_long_as_it_is_known() {
        let name = RequestId::parse("a").unwrap();
        let long_after = Moment::from_seconds(80 * 24 * 3600);
        let known = [intent(1, Some("a"), done()), intent(2, None, Progress::NEW)];
        assert_eq!(
            choose(&known, &wish(7), Some(&name), long_after),
            Choice::Known(&known[0])
        );
        assert_eq!(
            choose(&known, &wish(8), Some(&name), long_after),
            Choice::NameTaken(&known[0])
        );
        let other = RequestId::parse("b").unwrap();
        assert_eq!(
            choose(&known, &wish(7), Some(&other), long_after),
            Choice::New
        );
        assert_eq!(RequestId::parse(""), None);
        assert_eq!(RequestId::parse("a b"), None);
        assert_eq!(RequestId::parse(&"x".repeat(101)), None);
    }

    #[test]
    fn unfinished_wishes_are_bounded() {
        let many: Vec<Intent> = (0..MOST_UNFINISHED as i64)
            .map(|id| intent(id, None, Progress::NEW))
            .collect();
        let now = Moment::from_seconds(1_100);
        assert_eq!(choose(&many, &wish(8), None, now), Choice::TooMany);
        assert_eq!(choose(&many, &wish(7), None, now), Choice::GoOn(&many[0]));
        // What could not be finished for days does not stand in the way of what is new.
        let later = now.plus(LATE_SECONDS);
        assert_eq!(choose(&many, &wish(8), None, later), Choice::New);
        assert_eq!(choose(&many, &wish(7), None, later), Choice::GoOn(&many[0]));
    }

    #[test]
    fn what_a_repetition_would_be_known_by_is_not_forgotten() {
        let now = Moment::from_seconds(1_100);
        let mut all: Vec<Intent> = (0..MOST_KEPT as i64)
            .map(|id| intent(id, None, done()))
            .collect();
        all[1].request_id = RequestId::parse("a");
        for now in [now, now.plus(25 * 3600)] {
            assert_eq!(choose(&all, &wish(8), None, now), Choice::Full);
        }
        let long_after = now.plus(KEPT_SECONDS);
        assert_eq!(
            choose(&all, &wish(8), None, long_after),
            Choice::InPlaceOf(&all[0])
        );
        all[0].progress = Progress::Unclear { block: None };
        assert_eq!(
            choose(&all, &wish(8), None, long_after),
            Choice::InPlaceOf(&all[1]),
            "not what is open"
        );
        // What cost nothing goes first, also when it is younger.
        all[9].progress = Progress::Refused;
        all[9].changed_at = long_after;
        for now in [now, long_after] {
            let choice = choose(&all, &wish(8), None, now);
            assert_eq!(choice, Choice::InPlaceOf(&all[9]));
        }
        let few = &all[1..];
        assert_eq!(choose(few, &wish(8), None, now), Choice::New);
    }
}
