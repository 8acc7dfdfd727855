//! An OQL question, checked before it is sent.

use serde_json::{Map, Value};

use crate::candid::{foreign::one_line, guard::MAX_TEXT};
use crate::mcp::{
    arguments::Arguments,
    failure::Failure,
    page::{self, Cursor, Fingerprint},
};
use crate::nearest::distance;

/// What a question may have at its top level.
const KEYS: [&str; 8] = [
    "start",
    "where",
    "groupBy",
    "aggregate",
    "orderBy",
    "offset",
    "limit",
    "select",
];
/// Operators over a field.
const COMPARISONS: [&str; 11] = [
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "in",
    "contains",
    "startsWith",
    "endsWith",
    "icontains",
];
/// Operators over other predicates.
const COMBINATIONS: [&str; 3] = ["and", "or", "not"];
/// Steps along edges in a path.
const MAX_HOPS: usize = 4;
/// Longest name that is compared with others, in bytes.
const MAX_NAME: usize = 128;

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    object: Map<String, Value>,
    /// The entity that is asked about.
    pub(super) start: String,
    offset: u32,
}

impl Question {
    /// Takes the argument `oql`: an object, or the same as text.
    pub(super) fn take(arguments: &mut Arguments) -> Result<Self, Failure> {
        match arguments.take("oql") {
            Some(Value::Object(object)) => Self::check(object),
            Some(Value::String(text)) if text.len() > MAX_TEXT => {
                Err(wrong("is longer than one megabyte"))
            }
            Some(Value::String(text)) => match serde_json::from_str(&text) {
                Ok(Value::Object(object)) => Self::check(object),
                Ok(_) => Err(wrong("is not a JSON object")),
                Err(error) => Err(wrong(format!("is not JSON: {error}"))),
            },
            _ => Err(wrong("is neither a JSON object nor one as text")),
        }
    }

    fn check(object: Map<String, Value>) -> Result<Self, Failure> {
        for key in object.keys() {
            if !KEYS.contains(&key.as_str()) {
                return Err(wrong(unknown("has no key", key, &KEYS)));
            }
        }
        let start = match object.get("start") {
            Some(Value::String(start)) if !start.trim().is_empty() => start.clone(),
            _ => {
                return Err(wrong(
                    "needs `start`, the name of an entity of get_oql_schema",
                ));
            }
        };
        let count = |name: &str| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64().map(u32::try_from) {
                Some(Ok(count)) => Ok(Some(count)),
                _ => Err(wrong(format!(
                    "has a `{name}` that is no whole number from 0 up"
                ))),
            },
        };
        let offset = count("offset")?.unwrap_or_default();
        count("limit")?;
        if let Some(predicate) = object.get("where").filter(|value| !value.is_null()) {
            check_predicate(predicate)?;
        }
        for key in ["select", "groupBy", "orderBy", "aggregate"] {
            match object.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::Array(items)) => items.iter().try_for_each(check_path)?,
                Some(_) => return Err(wrong(format!("has a `{key}` that is no list"))),
            }
        }
        Ok(Self {
            object,
            start,
            offset,
        })
    }

    /// What a cursor of this question's rows is for.
    pub(super) fn print(&self, name: &str) -> Fingerprint {
        let mut object = self.object.clone();
        object.remove("offset");
        page::fingerprint(name, &Value::Object(object).to_string())
    }

    /// Goes on at a cursor of the same question.
    pub(super) fn resume(&mut self, cursor: Option<Cursor>, name: &str) -> Result<(), Failure> {
        if cursor.is_some() {
            let place = Cursor::place(cursor, self.print(name))?;
            self.offset = u32::try_from(place).map_err(|_| page::stale())?;
            self.object.insert("offset".to_owned(), self.offset.into());
        }
        Ok(())
    }

    /// The cursor after so many rows.
    pub(super) fn after(&self, rows: usize, name: &str) -> Option<String> {
        let at = self.offset.checked_add(u32::try_from(rows).ok()?)?;
        let of = self.print(name);
        Some(Cursor { of, at }.to_string())
    }

    /// As the canister takes it.
    pub(super) fn text(&self) -> String {
        Value::Object(self.object.clone()).to_string()
    }
}

/// One operator a node. Depth is that of the JSON, which its parser limits.
fn check_predicate(node: &Value) -> Result<(), Failure> {
    let mut members = node.as_object().into_iter().flatten();
    let (Some((operator, operand)), None) = (members.next(), members.next()) else {
        return Err(wrong(
            "has a predicate that is no object with one operator as its only key; combine several with `and`",
        ));
    };
    match operator.as_str() {
        "and" | "or" => match operand.as_array() {
            Some(nodes) => nodes.iter().try_for_each(check_predicate),
            None => Err(wrong(format!(
                "has an `{operator}` that is no list of predicates"
            ))),
        },
        "not" => check_predicate(operand),
        operator if COMPARISONS.contains(&operator) => check_path(operand),
        operator => {
            let known: Vec<&str> = [&COMPARISONS[..], &COMBINATIONS[..]].concat();
            Err(wrong(unknown("has no operator", operator, &known)))
        }
    }
}

/// A path by itself or in the member `field`.
fn check_path(item: &Value) -> Result<(), Failure> {
    let path = item.as_str().or_else(|| item.get("field")?.as_str());
    match path {
        Some(path) if path.matches('.').count() > MAX_HOPS => Err(wrong(format!(
            "has a path of more than {MAX_HOPS} steps: {}",
            one_line(path, 100)
        ))),
        _ => Ok(()),
    }
}

fn wrong(problem: impl std::fmt::Display) -> Failure {
    Failure::new(
        "BAD_OQL",
        format!(
            "The argument `oql` {problem}. Nothing was sent. The resource oql://usage tells how to write it."
        ),
    )
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let shown = one_line(name, 60);
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("{what} `{shown}`; did you mean `{near}`?"),
        None => format!("{what} `{shown}`; there are {}", known.join(", ")),
    }
}

/// The name most like this one: but for case, as its plural or singular, or with few letters changed.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_NAME {
        return None;
    }
    let wanted = name.to_lowercase();
    let allowed = (wanted.chars().count() / 3).clamp(1, 3);
    known
        .filter(|candidate| candidate.len() <= MAX_NAME)
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let far = match singular(&lower) == singular(&wanted) {
                true => 0,
                false => distance(&wanted, &lower),
            };
            (far, candidate)
        })
        .filter(|(far, _)| *far <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Good enough to tell that two names differ in their number only.
fn singular(name: &str) -> String {
    match (name.strip_suffix("ies"), name.strip_suffix('s')) {
        (Some(stem), _) => format!("{stem}y"),
        (None, Some(stem)) => stem.to_owned(),
        (None, None) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(oql: Value) -> Result<Question, Failure> {
        let arguments = json!({ "oql": oql });
        Question::take(&mut Arguments::new(arguments.as_object().cloned()))
    }

    #[test]
    fn an_object_and_its_text_are_one_question() {
        let object = json!({ "start": "Order", "limit": 5, "where": { "and": [
            { "eq": { "field": "a.b.c.d.e", "value": 1 } }, { "not": { "in": { "field": "x", "value": [1] } } } ] } });
        let question = read(object.clone()).unwrap();
        assert_eq!(read(json!(object.to_string())).unwrap(), question);
        assert_eq!(
            serde_json::from_str::<Value>(&question.text()).unwrap(),
            object
        );
    }

    #[test]
    fn every_mistake_is_named() {
        for (oql, said) in [
            (json!(5), "neither"),
            (json!("{"), "not JSON"),
            (json!("[]"), "not a JSON object"),
            (json!({}), "needs `start`"),
            (json!({ "start": " " }), "needs `start`"),
            (json!({ "start": "A", "wher": {} }), "did you mean `where`?"),
            (json!({ "start": "A", "offset": -1 }), "`offset`"),
            (json!({ "start": "A", "limit": "5" }), "`limit`"),
            (json!({ "start": "A", "select": "x" }), "`select`"),
            (json!({ "start": "A", "where": [] }), "one operator"),
            (
                json!({ "start": "A", "where": { "eq": {}, "ne": {} } }),
                "one operator",
            ),
            (
                json!({ "start": "A", "where": { "startswith": {} } }),
                "did you mean `startsWith`?",
            ),
            (
                json!({ "start": "A", "where": { "and": {} } }),
                "no list of predicates",
            ),
            (
                json!({ "start": "A", "where": { "not": { "obey": 1 } } }),
                "no operator `obey`",
            ),
            (
                json!({ "start": "A", "select": ["a.b.c.d.e.f"] }),
                "more than 4 steps",
            ),
            (json!("x".repeat(MAX_TEXT + 1)), "megabyte"),
        ] {
            let failure = read(oql).unwrap_err();
            assert!(
                failure.code == "BAD_OQL" && failure.message.contains(said),
                "{said}: {}",
                failure.message
            );
        }
        let deep = format!("{}{}", "{\"not\":".repeat(5_000), "}".repeat(5_000));
        assert!(read(json!(format!("{{\"start\":\"A\",\"where\":{deep}}}"))).is_err());
    }

    #[test]
    fn a_cursor_goes_on_with_the_same_question_only() {
        let mut question = read(json!({ "start": "A", "offset": 10 })).unwrap();
        let next = question.after(5, "canister").unwrap();
        let arguments = json!({ "cursor": next });
        let cursor = Cursor::take(&mut Arguments::new(arguments.as_object().cloned())).unwrap();
        question.resume(cursor, "canister").unwrap();
        assert!(question.text().contains("\"offset\":15"));
        assert!(
            read(json!({ "start": "A" }))
                .unwrap()
                .resume(cursor, "canister")
                .is_ok()
        );
        assert!(
            read(json!({ "start": "B" }))
                .unwrap()
                .resume(cursor, "canister")
                .is_err()
        );
        assert!(question.resume(cursor, "other").is_err());
    }

    #[test]
    fn names_that_are_nearly_right_are_found() {
        let known = ["Order", "Company", "LineItem"];
        let near = |name| nearest(name, known.into_iter());
        assert_eq!(near("orders"), Some("Order"));
        assert_eq!(near("companies"), Some("Company"));
        assert_eq!(near("Lineitm"), Some("LineItem"));
        assert_eq!(near("User"), None);
        assert_eq!(near(&"Order".repeat(30)), None);
    }
}
