//! What apps publish about themselves: `ic-architecture` and `ic-app.json`.

use serde::Deserialize;
use serde_json::Value;

use super::clean;
use crate::ic::CanisterId;

/// Canisters that are read of one manifest.
const MAX_ENTRIES: usize = 100;
/// Longest part of a label, in characters.
const MAX_PART: usize = 120;
/// Longest origin an app may declare, in bytes.
const MAX_ORIGIN: usize = 512;

/// An app's description of itself. Members that are not known are ignored.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Canisters with their labels; entries that are no canister are left out.
    pub(super) canisters: Vec<(CanisterId, Option<String>)>,
    /// Entries beyond the bound.
    pub(super) omitted: usize,
    /// Where the app's users are derived, as it is written.
    pub(super) derivation_origin: Option<String>,
}

/// Why a text is no manifest; reads on after "It …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("is not a JSON object")]
    Json,
    #[error("has no list `canisters`")]
    Canisters,
    #[error("has a `derivation_origin` that is not a short text")]
    DerivationOrigin,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

impl Manifest {
    /// `/.well-known/ic-architecture`: the list of canisters is required.
    pub(super) fn architecture(text: &str) -> Result<Self, ManifestError> {
        let mut object = object(text)?;
        let Some(Value::Array(entries)) = object.remove("canisters") else {
            return Err(ManifestError::Canisters);
        };
        Ok(Self::default().with(entries))
    }

    /// `/.well-known/ic-app.json`: canisters, and where users are derived.
    pub(super) fn app(text: &str) -> Result<Self, ManifestError> {
        let mut object = object(text)?;
        let derivation_origin = match object.remove("derivation_origin") {
            None | Some(Value::Null) => None,
            Some(Value::String(origin)) if origin.len() <= MAX_ORIGIN => Some(origin),
            Some(_) => return Err(ManifestError::DerivationOrigin),
        };
        let manifest = Self {
            derivation_origin,
            ..Self::default()
        };
        Ok(match object.remove("canisters") {
            Some(Value::Array(entries)) => manifest.with(entries),
            _ => manifest,
        })
    }

    fn with(mut self, entries: Vec<Value>) -> Self {
        self.omitted = entries.len().saturating_sub(MAX_ENTRIES);
        for entry in entries.into_iter().take(MAX_ENTRIES) {
            if let Ok(entry) = serde_json::from_value::<Entry>(entry)
                && let Some(id) = canister(&entry.id)
            {
                self.canisters.push((id, entry.label()));
            }
        }
        self
    }
}

impl Entry {
    fn label(&self) -> Option<String> {
        let part = |text: &Option<String>| text.as_deref().and_then(|text| clean(text, MAX_PART));
        let title = part(&self.role).or_else(|| part(&self.name));
        match (title, part(&self.description)) {
            (Some(title), Some(description)) => Some(format!("{title} — {description}")),
            (one, other) => one.or(other),
        }
    }
}

fn object(text: &str) -> Result<serde_json::Map<String, Value>, ManifestError> {
    serde_json::from_str(text).map_err(|_| ManifestError::Json)
}

/// A canister as the IC assigns ids: ten bytes, the last one 1.
fn canister(text: &str) -> Option<CanisterId> {
    let id = CanisterId::parse(text).ok()?;
    matches!(id.principal().as_slice(), [_, _, _, _, _, _, _, _, _, 1]).then_some(id)
}

/// Canisters in `env.json`: members of the object whose name has to do with canisters.
pub(super) fn environment(text: &str) -> Vec<(CanisterId, String)> {
    const MAX: usize = 256;
    let Ok(object) = object(text) else {
        return Vec::new();
    };
    object
        .into_iter()
        .filter(|(name, _)| name.to_ascii_lowercase().contains("canister"))
        .filter_map(|(name, value)| Some((canister(value.as_str()?)?, name)))
        .take(MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEDGER: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";

    #[test]
    fn canisters_have_labels_of_their_role_and_description() {
        let text = format!(
            r#"{{"version":"1.0.0","canisters":[
                {{"id":"{LEDGER}","name":"n","role":"ledger","description":"the\nbooks"}},
                {{"id":"{LEDGER}","name":"n"}},{{"id":"{LEDGER}","description":"d"}},{{"id":"{LEDGER}"}},
                {{"id":"aaaaa-aa"}},{{"id":"2vxsx-fae"}},{{"id":5}},7,{{}}]}}"#
        );
        let manifest = Manifest::architecture(&text).unwrap();
        let labels: Vec<_> = manifest
            .canisters
            .iter()
            .map(|(_, label)| label.as_deref())
            .collect();
        assert_eq!(
            labels,
            [Some("ledger — the books"), Some("n"), Some("d"), None]
        );
    }

    #[test]
    fn people_are_no_canisters() {
        let person = candid::Principal::self_authenticating([1; 32]).to_text();
        let short = candid::Principal::from_slice(&[1, 2, 3]).to_text();
        for id in [person.as_str(), &short] {
            let text = format!(r#"{{"canisters":[{{"id":"{id}"}}]}}"#);
            assert_eq!(Manifest::architecture(&text), Ok(Manifest::default()));
        }
    }

    #[test]
    fn what_is_no_manifest_is_told_apart() {
        for text in ["", "[]", "<html>", "7", &"[".repeat(100_000)] {
            assert_eq!(Manifest::app(text), Err(ManifestError::Json));
            assert_eq!(Manifest::architecture(text), Err(ManifestError::Json));
        }
        assert_eq!(Manifest::architecture("{}"), Err(ManifestError::Canisters));
        assert_eq!(Manifest::app("{}"), Ok(Manifest::default()));
        let long = format!(r#"{{"derivation_origin":"{}"}}"#, "x".repeat(600));
        for text in [r#"{"derivation_origin":7}"#, &long] {
            assert_eq!(Manifest::app(text), Err(ManifestError::DerivationOrigin));
        }
    }

    #[test]
    fn entries_beyond_the_bound_are_counted() {
        let entries = vec![format!(r#"{{"id":"{LEDGER}"}}"#); 130].join(",");
        let manifest = Manifest::app(&format!(r#"{{"canisters":[{entries}]}}"#)).unwrap();
        assert_eq!((manifest.canisters.len(), manifest.omitted), (100, 30));
    }

    #[test]
    fn an_environment_names_canisters() {
        let text = format!(
            r#"{{"backend_canister_id":"{LEDGER}","CANISTER_X":"nonsense","canisters":{{}},"other":"{LEDGER}"}}"#
        );
        let found = environment(&text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, "backend_canister_id");
        assert!(environment("[]").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\\{|\\}|\"canisters\"|:|\\[|\\]|\"id\"|,|\\PC){0,40}") {
            let _ = Manifest::app(&text);
            let _ = Manifest::architecture(&text);
            let _ = environment(&text);
        }
    }
}
