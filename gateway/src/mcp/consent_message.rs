//! What a canister itself says a call would do (ICRC-21).
//!
//! The question is asked as nobody: nothing is signed for it. By the standard the method has no effects; it is an
//! update method, so that the answer is certified. Whether it has none, only the canister knows: who may not make
//! update calls does not ask by one.

use std::time::Duration;

use candid::{
    CandidType, idl_hash,
    types::value::{IDLField, IDLValue},
};
use tokio::time::timeout;

use super::{catalog::Tools, failure::Failure, order::Found, order::Order};
use crate::{
    candid::{
        brief,
        decode::{self, field},
        foreign::{one_line, shorten},
        interface::Mode,
    },
    connection::{AccessLevel, Authorized},
    ic::Call,
    scope::Scope,
};

/// The method of the standard.
const METHOD: &str = "icrc21_canister_call_consent_message";
/// Longest message, in characters.
const MAX_MESSAGE: usize = 4_000;
/// Longest error, in characters.
const MAX_ERROR: usize = 500;
/// How long the canister may think about it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Most fields, pages and lines that are put together.
const MAX_PARTS: usize = 100;

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Consent {
    /// The canister's own words.
    Message(String),
    /// Its reason for having none, or what went wrong.
    None(String),
    /// It would have words, and this caller may not ask for them.
    NotAsked,
}

#[derive(CandidType)]
struct Request<'a> {
    method: &'a str,
    arg: &'a [u8],
    user_preferences: Preferences,
}

#[derive(CandidType)]
struct Preferences {
    metadata: Metadata,
    device_spec: Option<Device>,
}

#[derive(CandidType)]
struct Metadata {
    language: &'static str,
    utc_offset_minutes: Option<i16>,
}

#[derive(CandidType)]
enum Device {
    GenericDisplay,
}

/// Asks the canister about a call, when its interface offers that; none when it does not.
pub(super) async fn of(
    tools: &Tools,
    authorized: &Authorized,
    order: &Order,
    found: &Found,
    arg: &[u8],
) -> Result<Option<Consent>, Failure> {
    let Some(interface) = &found.types else {
        return Ok(None);
    };
    let Some(method) = interface.method(METHOD) else {
        return Ok(None);
    };
    let by_query = matches!(method.mode, Mode::Query | Mode::CompositeQuery);
    if !by_query && !may_update(authorized) {
        return Ok(Some(Consent::NotAsked));
    }
    let request = Request {
        method: &order.method,
        arg,
        user_preferences: Preferences {
            metadata: Metadata {
                language: "en",
                utc_offset_minutes: None,
            },
            device_spec: Some(Device::GenericDisplay),
        },
    };
    let call = Call {
        canister: order.canister,
        method: METHOD.to_owned(),
        arg: candid::encode_one(request).map_err(|_| Failure::internal())?,
    };
    let asked = async {
        if by_query {
            tools.ic.query_anonymous(call).await
        } else {
            tools.ic.update_anonymous(call).await
        }
    };
    let bytes = match timeout(PATIENCE, asked).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            let failure = order.not_answered(error.into(), None).message;
            return Ok(Some(Consent::None(failure)));
        }
        Err(_) => {
            let late = "The canister did not say in time what the call would do.";
            return Ok(Some(Consent::None(late.to_owned())));
        }
    };
    let said = decode::read(bytes, Some(interface.clone()), METHOD, read).await;
    Ok(Some(said.unwrap_or_else(unreadable)))
}

/// Also one that nobody signs takes the scope, and the user's consent to more than questions.
fn may_update(authorized: &Authorized) -> bool {
    authorized.scopes.contains(Scope::Write) && authorized.access_level == AccessLevel::All
}

fn unreadable() -> Consent {
    Consent::None(
        "What the canister says about the call is not as ICRC-21 describes it.".to_owned(),
    )
}

fn read(values: &[IDLValue]) -> Consent {
    let Some((case, payload)) = values.first().and_then(case) else {
        return unreadable();
    };
    if case == idl_hash("Err") {
        let why = describe(payload);
        return Consent::None(format!(
            "The canister has no message about this call: {why}"
        ));
    }
    let message = field(payload, "consent_message").and_then(self::case);
    let text = message.and_then(|(kind, content)| match content {
        IDLValue::Text(text) if kind == idl_hash("GenericDisplayMessage") => Some(text.clone()),
        IDLValue::Record(_) if kind == idl_hash("FieldsDisplayMessage") => fields(content),
        IDLValue::Record(_) if kind == idl_hash("LineDisplayMessage") => lines(content),
        _ => None,
    });
    match text {
        Some(text) => Consent::Message(shorten(text.trim(), MAX_MESSAGE)),
        None => unreadable(),
    }
}

fn describe(error: &IDLValue) -> String {
    let payload = case(error).map_or(error, |(_, payload)| payload);
    match field(payload, "description") {
        Some(IDLValue::Text(text)) => one_line(text, MAX_ERROR),
        _ => one_line(&brief(error, MAX_ERROR), MAX_ERROR),
    }
}

/// An intent, and a line for each field.
fn fields(message: &IDLValue) -> Option<String> {
    let IDLValue::Text(intent) = field(message, "intent")? else {
        return None;
    };
    let mut text = one_line(intent, MAX_ERROR);
    if let Some(IDLValue::Vec(fields)) = field(message, "fields") {
        for pair in fields.iter().take(MAX_PARTS) {
            let [name, value] = members(pair)?;
            let IDLValue::Text(name) = &name.val else {
                return None;
            };
            let value = brief(&value.val, MAX_ERROR);
            text.push_str(&format!(
                "\n{}: {}",
                one_line(name, MAX_ERROR),
                one_line(&value, MAX_ERROR)
            ));
        }
    }
    Some(text)
}

/// Pages of lines for small displays: one after the other.
fn lines(message: &IDLValue) -> Option<String> {
    let IDLValue::Vec(pages) = field(message, "pages")? else {
        return None;
    };
    let pages = pages
        .iter()
        .take(MAX_PARTS)
        .filter_map(|page| match field(page, "lines") {
            Some(IDLValue::Vec(lines)) => Some(lines.iter().take(MAX_PARTS)),
            _ => None,
        });
    let text = pages.flatten().filter_map(|line| match line {
        IDLValue::Text(text) => Some(one_line(text, MAX_ERROR)),
        _ => None,
    });
    Some(text.collect::<Vec<_>>().join("\n"))
}

fn case(value: &IDLValue) -> Option<(u32, &IDLValue)> {
    match value {
        IDLValue::Variant(variant) => Some((variant.0.id.get_id(), &variant.0.val)),
        _ => None,
    }
}

fn members(value: &IDLValue) -> Option<&[IDLField; 2]> {
    match value {
        IDLValue::Record(fields) => fields.as_slice().try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Consent {
        read(&candid_parser::parse_idl_args(text).unwrap().args)
    }

    fn ok(message: &str) -> Consent {
        parse(&format!(
            "(variant {{ Ok = record {{ consent_message = variant {{ {message} }}; metadata = record {{ language = \"en\" }} }} }})"
        ))
    }

    #[test]
    fn every_form_of_the_standard_becomes_text() {
        let message = |text: &str| Consent::Message(text.to_owned());
        assert_eq!(
            ok("GenericDisplayMessage = \"# Send\\n1 ICP\u{1b}\""),
            message("# Send\n1 ICP")
        );
        let lines = "LineDisplayMessage = record { pages = vec { record { lines = vec { \"a\"; \"b\" } } } }";
        assert_eq!(ok(lines), message("a\nb"));
        let fields = "FieldsDisplayMessage = record { intent = \"Send\"; fields = vec { record { \"To\"; variant { Text = record { content = \"me\" } } } } }";
        let Consent::Message(text) = ok(fields) else {
            panic!("a message");
        };
        assert!(
            text.starts_with("Send\nTo: ") && text.contains("\"me\""),
            "{text}"
        );
    }

    #[test]
    fn anything_else_is_said_to_be_none() {
        let refused = parse(
            "(variant { Err = variant { UnsupportedCanisterCall = record { description = \"no\\nno\" } } })",
        );
        assert_eq!(
            refused,
            Consent::None("The canister has no message about this call: no no".to_owned())
        );
        for text in [
            "()",
            "(1)",
            "(variant { Ok })",
            "(variant { Maybe = record {} })",
        ] {
            assert_eq!(parse(text), unreadable(), "{text}");
        }
        assert_eq!(ok("GenericDisplayMessage = 5"), unreadable());
        let Consent::Message(long) = ok(&format!(
            "GenericDisplayMessage = \"{}\"",
            "x".repeat(100_000)
        )) else {
            panic!("a message");
        };
        assert_eq!(long.chars().count(), MAX_MESSAGE + 1);
    }
}
