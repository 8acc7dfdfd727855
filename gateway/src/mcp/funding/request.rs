//! What a paid tool was asked for, and which intent that means.

use candid::Principal;
use serde_json::{Number, Value};

use super::{
    super::{arguments::Arguments, catalog::Output, failure::Failure},
    drive::Work,
    not_stored, words,
};
use crate::{
    funding::{
        amount::{Cycles, Icp},
        intent::{Amount, Asked, ICP_FEE_E8S, PayWith, Payment, RequestId, What},
        request::{Choice, choose},
    },
    store::{Moment, funding::NewIntent},
};

/// Controllers a canister may have.
pub(super) const MOST_CONTROLLERS: usize = 10;
/// Decimal digits that a double keeps, whatever they are.
const EXACT_DIGITS: usize = f64::DIGITS as usize;
/// How often a decision is taken anew because something had to be asked first.
const ATTEMPTS: usize = 3;

/// How much, from where, under which name.
pub(super) struct Request {
    amount: Amount,
    pay_with: PayWith,
    name: Option<RequestId>,
}

impl Request {
    /// Takes the arguments of both paid tools; nothing may be left.
    pub(super) fn read(mut arguments: Arguments) -> Result<Self, Failure> {
        let cycles = amount_text(&mut arguments, "cycles")?;
        let icp = amount_text(&mut arguments, "icp")?;
        let amount = match (cycles, icp) {
            (Some(cycles), None) => cycles
                .parse::<Cycles>()
                .map(Amount::Cycles)
                .map_err(|error| Failure::argument("cycles", error))?,
            (None, Some(icp)) => icp
                .parse::<Icp>()
                .map(Amount::Icp)
                .map_err(|error| Failure::argument("icp", error))?,
            (None, None) => {
                return Err(Failure::argument(
                    "cycles",
                    "is missing: say how much with `cycles` or with `icp`",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(Failure::argument(
                    "icp",
                    "stands beside `cycles`: say how much with one of them",
                ));
            }
        };
        let pay_with = match arguments.optional_text("pay_with")?.as_deref() {
            None | Some("cycles") => PayWith::Cycles,
            Some("icp") => PayWith::Icp,
            Some(_) => {
                return Err(Failure::argument(
                    "pay_with",
                    "must be \"cycles\" or \"icp\"",
                ));
            }
        };
        let name = match arguments.optional_text("request_id")? {
            None => None,
            Some(text) => Some(RequestId::parse(&text).ok_or_else(|| {
                Failure::argument("request_id", "must be 1 to 100 letters, digits or ._:-")
            })?),
        };
        arguments.finish()?;
        Ok(Self {
            amount,
            pay_with,
            name,
        })
    }
}

/// A number or a text: clients write amounts either way.
fn amount_text(arguments: &mut Arguments, name: &str) -> Result<Option<String>, Failure> {
    match arguments.take(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Number(number)) => decimal(&number).map(Some).ok_or_else(|| {
            Failure::argument(
                name,
                format!(
                    "has more digits than a JSON number keeps; write it as a string, like \"{}\"",
                    if name == "icp" { "0.12345678" } else { "1.5T" }
                ),
            )
        }),
        Some(_) => Err(Failure::argument(name, "must be a string or a number")),
    }
}

/// A number as it was written, without an exponent. A fraction comes as a double, which gives back every decimal number
/// of [`EXACT_DIGITS`] and may be another's neighbour beyond: that is none.
fn decimal(number: &Number) -> Option<String> {
    let Some(double) = number.as_f64().filter(|_| number.is_f64()) else {
        return Some(number.to_string());
    };
    let text = double.to_string();
    let digits = text.bytes().filter(u8::is_ascii_digit);
    let significant = digits.skip_while(|digit| *digit == b'0').count();
    (significant <= EXACT_DIGITS).then_some(text)
}

/// The controllers that were asked for.
pub(super) fn controllers(arguments: &mut Arguments) -> Result<Option<Vec<Principal>>, Failure> {
    let listed = match arguments.take("controllers") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(listed)) => listed,
        Some(_) => {
            return Err(Failure::argument(
                "controllers",
                "must be a list of principals",
            ));
        }
    };
    if !(1..=MOST_CONTROLLERS).contains(&listed.len()) {
        return Err(Failure::argument(
            "controllers",
            format!("must list 1 to {MOST_CONTROLLERS} principals"),
        ));
    }
    let mut controllers = Vec::with_capacity(listed.len());
    for listed in &listed {
        let text = listed.as_str().unwrap_or_default();
        let controller = Principal::from_text(text.trim()).map_err(|_| {
            Failure::argument("controllers", "must list principals; one of them is none")
        })?;
        if controller == Principal::anonymous() || controller == Principal::management_canister() {
            return Err(Failure::argument(
                "controllers",
                "lists a principal that is everybody or nobody",
            ));
        }
        controllers.push(controller);
    }
    controllers.sort_unstable();
    controllers.dedup();
    Ok(Some(controllers))
}

/// The subnet that was asked for.
pub(super) fn subnet(arguments: &mut Arguments) -> Result<Option<Principal>, Failure> {
    let text = arguments.optional_text("subnet")?;
    text.map(|text| Principal::from_text(text.trim()))
        .transpose()
        .map_err(|_| Failure::argument("subnet", "is not the principal of a subnet"))
}

/// The block that was named.
pub(super) fn block_index(arguments: &mut Arguments) -> Result<Option<u64>, Failure> {
    match arguments.take("block_index") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .or_else(|| value.as_str()?.trim().parse().ok())
            .map(Some)
            .ok_or_else(|| Failure::argument("block_index", "must be the number of a block")),
    }
}

/// A canister as it was asked for; `payer` controls it unless others are named.
pub(super) fn canister(
    controllers: Option<Vec<Principal>>,
    subnet: Option<Principal>,
    payer: Principal,
) -> What {
    What::Canister {
        controllers: controllers.unwrap_or_else(|| vec![payer]),
        subnet,
    }
}

/// Whether `payer` will control what is asked for.
pub(super) fn controls(what: &What, payer: Principal) -> bool {
    match what {
        What::Canister { controllers, .. } => controllers.contains(&payer),
        What::TopUp { .. } => true,
    }
}

impl Work<'_> {
    /// Pays for something, unless that was done already.
    pub(super) async fn fund(&self, request: Request, what: What) -> Result<Output, Failure> {
        let asked = Asked {
            what,
            amount: request.amount,
            pay_with: request.pay_with,
        };
        let id = match self.note(asked, request.name).await? {
            Noted::Intent(id) => id,
            Noted::Known(output) => return *output,
        };
        let outcome = Box::pin(self.drive(id)).await?;
        words::told(&outcome, false)
    }

    /// Finds the intent that is meant, or makes one. It is durable when this returns.
    async fn note(&self, asked: Asked, name: Option<RequestId>) -> Result<Noted, Failure> {
        let mut payment = None;
        for _ in 0..ATTEMPTS {
            let now = Moment::now();
            let mut transaction = self.begin().await?;
            let intents = transaction.intents(&self.owner).await;
            let intents = intents.map_err(|error| not_stored(&error))?;
            let forgotten = match choose(&intents, &asked, name.as_ref(), now) {
                Choice::GoOn(intent) => return Ok(Noted::Intent(intent.id)),
                Choice::Known(intent) => {
                    let outcome = words::Outcome::of(intent.clone());
                    return Ok(Noted::Known(Box::new(words::told(&outcome, true))));
                }
                Choice::NameTaken(intent) => return Err(words::name_taken(intent)),
                Choice::TooMany => return Err(words::too_many()),
                Choice::Full => return Err(words::full()),
                Choice::New => None,
                Choice::Again(intent) | Choice::InPlaceOf(intent) => Some(intent),
            };
            let Some(payment) = payment else {
                // Nothing else may wait for what a canister says.
                drop(transaction);
                payment = Some(self.convert(&asked).await?);
                continue;
            };
            if let Some(forgotten) = forgotten {
                let forgotten = transaction.forget_intent(forgotten).await;
                forgotten.map_err(|error| not_stored(&error))?;
            }
            let new = NewIntent {
                request_id: name,
                payer: self.payer,
                asked,
                payment,
                created_at_ns: super::pay::now_ns(),
            };
            let added = transaction.add_intent(&self.owner, &new, now).await;
            let id = added.map_err(|error| not_stored(&error))?;
            let committed = transaction.commit().await;
            committed.map_err(|error| not_stored(&error))?;
            return Ok(Noted::Intent(id));
        }
        Err(words::busy())
    }

    async fn begin(&self) -> Result<crate::store::Transaction, Failure> {
        let begun = self.tools.store.begin().await;
        begun.map_err(|error| not_stored(&error))
    }

    /// What is paid for what was asked, at the present rate.
    async fn convert(&self, asked: &Asked) -> Result<Payment, Failure> {
        let too_much = |error| Failure::argument("icp", error);
        Ok(match (asked.pay_with, asked.amount) {
            (PayWith::Cycles, Amount::Cycles(amount)) => Payment::Cycles { amount },
            (PayWith::Cycles, Amount::Icp(icp)) => Payment::Cycles {
                amount: self.rate().await?.cycles(icp).map_err(too_much)?,
            },
            (PayWith::Icp, amount) => Payment::Icp {
                amount: match amount {
                    Amount::Icp(amount) => amount,
                    Amount::Cycles(cycles) => self.rate().await?.icp(cycles).map_err(too_much)?,
                },
                fee_e8s: ICP_FEE_E8S,
            },
        })
    }
}

enum Noted {
    /// To be worked on.
    Intent(i64),
    /// Finished before; what is to be said of it.
    Known(Box<Result<Output, Failure>>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(json: &str) -> Result<Amount, String> {
        let arguments: Value = serde_json::from_str(json).unwrap();
        let request = Request::read(Arguments::new(arguments.as_object().cloned()));
        request
            .map(|request| request.amount)
            .map_err(|failure| failure.message)
    }

    #[test]
    fn numbers_are_taken_as_they_are_written_or_refused() {
        for (json, e8s) in [
            (r#"{"icp": 0.00001}"#, 1_000),
            (r#"{"icp": 0.00000001}"#, 1),
            (r#"{"icp": 1e-5}"#, 1_000),
            (r#"{"icp": 0.3}"#, 30_000_000),
            (r#"{"icp": 999999.99999999}"#, 99_999_999_999_999),
            (r#"{"icp": 2}"#, 200_000_000),
            (r#"{"icp": "0.00001"}"#, 1_000),
        ] {
            let icp = Icp::from_e8s(e8s).unwrap();
            assert_eq!(amount(json), Ok(Amount::Icp(icp)), "{json}");
        }
        for (json, cycles) in [
            (r#"{"cycles": 999999999999999999}"#, 999_999_999_999_999_999),
            (r#"{"cycles": 1e12}"#, 1_000_000_000_000),
            (r#"{"cycles": 1500000000000.0}"#, 1_500_000_000_000),
        ] {
            let cycles = Cycles::new(cycles).unwrap();
            assert_eq!(amount(json), Ok(Amount::Cycles(cycles)), "{json}");
        }
        for (json, example) in [
            // Its neighbour among the doubles is the even one.
            (r#"{"cycles": 9007199254740993.0}"#, "\"1.5T\""),
            (r#"{"cycles": 1e17}"#, "\"1.5T\""),
            (r#"{"icp": 123456.1234567891}"#, "\"0.12345678\""),
            (r#"{"icp": 0.000000001}"#, "\"0.5\""),
            (r#"{"icp": -0.5}"#, "\"0.5\""),
            (r#"{"cycles": 0.5}"#, "\"1.5T\""),
        ] {
            let refused = amount(json).unwrap_err();
            assert!(refused.contains(example), "{json}: {refused}");
        }
    }
}
