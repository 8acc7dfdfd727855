//! Whom a call acts as: one of the user's accounts at a domain.

use icgate_proto::v1::{AccountSelector, account_selector};
use serde_json::{Value, json};

use super::{apps, arguments::Arguments, failure::Failure, origin::TargetOrigin};
use crate::discovery::not_meant;

/// Longest account name, in bytes.
const MAX_NAME: usize = 256;

/// Takes the argument `domain`, also under the name that later contracts use for it. An address like a known app's would
/// silently make the user somebody else.
pub(super) fn domain(
    arguments: &mut Arguments,
    dev: bool,
) -> Result<Option<TargetOrigin>, Failure> {
    let name = "domain";
    let text = match arguments.optional_text(name)? {
        Some(text) => Some(text),
        None => arguments.optional_text("derivation_origin")?,
    };
    let Some(text) = text else {
        return Ok(None);
    };
    let origin = TargetOrigin::parse(&text, dev).map_err(|error| Failure::argument(name, error))?;
    match not_meant(&text, &origin) {
        Some(mistake) => Err(apps::resolve_failure(mistake)),
        None => Ok(Some(origin)),
    }
}

/// Takes `domain`, which must be there.
pub(super) fn required_domain(
    arguments: &mut Arguments,
    dev: bool,
) -> Result<TargetOrigin, Failure> {
    domain(arguments, dev)?.ok_or_else(|| Failure::argument("domain", "is missing"))
}

/// Takes the argument `account` and makes a selector with the domain.
pub(super) fn selector(
    arguments: &mut Arguments,
    domain: &TargetOrigin,
) -> Result<AccountSelector, Failure> {
    Ok(AccountSelector {
        origin: domain.as_str().to_owned(),
        account: named(arguments)?,
    })
}

/// A name, `#` and a number, or a number; none for the default account. What begins with `#` goes to the signer as it
/// is: somebody may have named an account so, and only the signer knows the accounts.
fn named(arguments: &mut Arguments) -> Result<Option<account_selector::Account>, Failure> {
    let wrong = || {
        Failure::argument(
            "account",
            "must be an account's name, or # and its number, like #1",
        )
    };
    match arguments.take("account") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            let number = number.as_u64().ok_or_else(wrong)?;
            Ok(Some(account_selector::Account::Number(number)))
        }
        Some(Value::String(text)) => match text.trim() {
            "" => Ok(None),
            text if text.len() > MAX_NAME => Err(wrong()),
            text => Ok(Some(account_selector::Account::Name(text.to_owned()))),
        },
        Some(_) => Err(wrong()),
    }
}

/// Schema of `domain`.
pub(super) fn domain_schema(absent: &str) -> Value {
    json!({
        "type": "string",
        "description": format!(
            "Origin of the app whose identity of the user to use, like https://oisy.com. \
             The user has another principal at every app.{absent}"
        ),
    })
}

/// Schema of `account`.
pub(super) fn account_schema() -> Value {
    json!({
        "type": ["string", "integer"],
        "description": "Name of one of the user's accounts at that domain, or its number, also as #1. \
                        Left out: the user's default account there.",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(account: Value) -> Option<account_selector::Account> {
        let arguments = json!({ "account": account });
        named(&mut Arguments::new(arguments.as_object().cloned())).unwrap()
    }

    #[test]
    fn a_text_is_left_to_the_signer_and_a_number_is_one() {
        use account_selector::Account::{Name, Number};
        assert_eq!(read(json!("#2")), Some(Name("#2".to_owned())));
        assert_eq!(read(json!(" savings ")), Some(Name("savings".to_owned())));
        assert_eq!(read(json!(2)), Some(Number(2)));
        assert_eq!(read(json!("")), None);
    }
}
