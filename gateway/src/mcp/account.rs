//! Whom a call acts as: one of the user's accounts at a domain.

use icgate_proto::v1::{AccountSelector, account_selector};
use serde_json::{Value, json};

use super::{apps, arguments::Arguments, failure::Failure};
use crate::{
    discovery::disguised,
    origin::{OriginError, TargetOrigin},
};

/// Longest account name, in bytes.
const MAX_NAME: usize = 256;

/// The argument's name, and the one that later contracts use for it.
const NAMES: [&str; 2] = ["domain", "derivation_origin"];

/// Takes the argument `domain` under either name, or under both if they say the same.
pub(super) fn either_domain(
    arguments: &mut Arguments,
    parse: impl Fn(&str) -> Result<TargetOrigin, OriginError>,
) -> Result<Option<(String, TargetOrigin)>, Failure> {
    let mut found: Option<(String, TargetOrigin)> = None;
    for name in NAMES {
        let Some(text) = arguments.optional_text(name)? else {
            continue;
        };
        let origin = parse(&text).map_err(|error| Failure::argument(name, error))?;
        match &found {
            Some((_, first)) if *first != origin => {
                return Err(Failure::argument(
                    name,
                    "is another origin than `domain`, and they mean the same: give one of them",
                ));
            }
            Some(_) => {}
            None => found = Some((text, origin)),
        }
    }
    Ok(found)
}

/// Takes the argument `domain`. An address that is disguised as a known app's would silently make the user somebody
/// else.
pub(super) fn domain(
    arguments: &mut Arguments,
    dev: bool,
) -> Result<Option<TargetOrigin>, Failure> {
    let found = either_domain(arguments, |text| TargetOrigin::parse(text, dev))?;
    let Some((text, origin)) = found else {
        return Ok(None);
    };
    match disguised(&text, &origin) {
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

/// Schema of `derivation_origin`, beside `domain`.
pub(super) fn same_domain_schema() -> Value {
    json!({ "type": "string", "description": "The same as domain" })
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
    fn a_domain_has_two_names_and_one_meaning() {
        let read = |arguments: Value| {
            domain(&mut Arguments::new(arguments.as_object().cloned()), false)
                .map(|origin| origin.map(|origin| origin.as_str().to_owned()))
                .map_err(|failure| failure.message)
        };
        let app = Ok(Some("https://app.example".to_owned()));
        for arguments in [
            json!({ "domain": "app.example" }),
            json!({ "derivation_origin": "https://app.example" }),
            json!({ "domain": "APP.example/", "derivation_origin": "https://app.example" }),
            json!({ "domain": null, "derivation_origin": "app.example" }),
        ] {
            assert_eq!(read(arguments.clone()), app, "{arguments}");
        }
        assert_eq!(read(json!({})), Ok(None));
        let two = json!({ "domain": "app.example", "derivation_origin": "other.example" });
        let refused = read(two).unwrap_err();
        assert!(
            refused.contains("`derivation_origin`") && refused.contains("`domain`"),
            "{refused}"
        );
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
