//! A tool's arguments, taken one by one, so that every complaint names the one it is about.

use rmcp::model::JsonObject;
use serde_json::Value;

use super::failure::Failure;
use crate::{candid::foreign::one_line, ic::CanisterId};

/// Most of an unknown argument's name that is repeated, in characters.
const MAX_SHOWN: usize = 100;

/// The arguments of one call. What is not taken is unknown.
pub(super) struct Arguments(JsonObject);

impl Arguments {
    pub(super) fn new(arguments: Option<JsonObject>) -> Self {
        Self(arguments.unwrap_or_default())
    }

    /// A text that may be left out or null.
    pub(super) fn optional_text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Failure::argument(name, "must be a string")),
        }
    }

    /// A text that must be there and not empty.
    pub(super) fn text(&mut self, name: &str) -> Result<String, Failure> {
        match self.optional_text(name)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) => Err(Failure::argument(name, "is empty")),
            None => Err(Failure::argument(name, "is missing")),
        }
    }

    /// A boolean that may be left out.
    pub(super) fn flag(&mut self, name: &str, default: bool) -> Result<bool, Failure> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(Failure::argument(name, "must be true or false")),
        }
    }

    /// A canister that can be called.
    pub(super) fn canister(&mut self) -> Result<CanisterId, Failure> {
        let text = self.text("canister_id")?;
        CanisterId::parse(&text)
            .map_err(|error| Failure::argument("canister_id", format!("cannot be used: {error}")))
    }

    /// Any value, as it is.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    /// A boolean without taking it; what is no boolean counts as false and is refused when it is taken.
    pub(super) fn peek_flag(&self, name: &str) -> bool {
        self.0.get(name) == Some(&Value::Bool(true))
    }

    /// Whether an argument was given, without taking it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    /// A text without taking it; what is no text is refused when it is taken.
    pub(super) fn peek_text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// Refuses what was not taken: a misspelt option must not be ignored.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Failure::argument(
                &one_line(name, MAX_SHOWN),
                "is not known to this tool",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: Value) -> Arguments {
        Arguments::new(json.as_object().cloned())
    }

    #[test]
    fn every_complaint_names_its_argument() {
        let mut arguments =
            of(serde_json::json!({"a": 1, "b": " ", "c": "x", "d": null, "e": true}));
        assert!(
            arguments
                .text("a")
                .unwrap_err()
                .message
                .contains("`a` must be a string")
        );
        assert!(
            arguments
                .text("b")
                .unwrap_err()
                .message
                .contains("`b` is empty")
        );
        assert!(
            arguments
                .flag("c", false)
                .unwrap_err()
                .message
                .contains("`c` must be true or false")
        );
        assert_eq!(arguments.optional_text("d"), Ok(None));
        assert!(
            arguments
                .text("z")
                .unwrap_err()
                .message
                .contains("`z` is missing")
        );
        assert!(
            arguments
                .finish()
                .unwrap_err()
                .message
                .contains("`e` is not known")
        );
    }

    #[test]
    fn a_canister_is_a_canister() {
        let id = |text: &str| of(serde_json::json!({ "canister_id": text })).canister();
        assert!(id("ryjl3-tyaaa-aaaaa-aaaba-cai").is_ok());
        assert!(
            id("aaaaa-aa")
                .unwrap_err()
                .message
                .contains("management canister")
        );
    }
}
