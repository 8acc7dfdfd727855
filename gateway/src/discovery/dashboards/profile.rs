use candid::Principal;
use serde_json::Value;

use super::super::clean;
use crate::store::Moment;

/// Longest name, in characters.
const MAX_NAME: usize = 120;
/// Longest of the other texts, in characters.
const MAX_TEXT: usize = 80;
/// Controllers that are told.
const MAX_CONTROLLERS: usize = 20;

/// What the dashboard records of a canister. Its texts are the dashboard's, cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Profile {
    pub(crate) name: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) controllers: Vec<Principal>,
    pub(crate) subnet: Option<Principal>,
    /// SHA-256 of its module, in hex.
    pub(crate) module_hash: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) upgrade: Option<Upgrade>,
}

/// The latest upgrade that a proposal made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// RFC 3339.
    pub(crate) executed_at: String,
    pub(crate) proposal: Option<u64>,
}

impl Profile {
    /// Reads the dashboard's answer. What is absent or malformed in it is unknown; none when it is no object.
    pub(super) fn read(answer: &Value) -> Option<Self> {
        let object = answer.as_object()?;
        let text = |member: &str, max| clean(object.get(member)?.as_str()?, max);
        let controllers = object.get("controllers").and_then(Value::as_array);
        Some(Self {
            name: text("name", MAX_NAME),
            kind: text("canister_type", MAX_TEXT),
            controllers: controllers
                .into_iter()
                .flatten()
                .take(MAX_CONTROLLERS)
                .filter_map(principal)
                .collect(),
            subnet: object.get("subnet_id").and_then(principal),
            module_hash: text("module_hash", MAX_TEXT)
                .filter(|hash| hash.bytes().all(|b| b.is_ascii_hexdigit())),
            language: text("language", MAX_TEXT),
            upgrade: object
                .get("upgrades")
                .and_then(Value::as_array)
                .and_then(|upgrades| {
                    upgrades
                        .iter()
                        .filter_map(executed)
                        .max_by_key(|(at, _)| *at)
                })
                .and_then(Upgrade::new),
        })
    }
}

impl Upgrade {
    fn new((seconds, proposal): (i64, Option<u64>)) -> Option<Self> {
        /// The end of the year 9999, the last that RFC 3339 can name.
        const LAST: u64 = 253_402_300_799;
        let seconds = u64::try_from(seconds).ok().filter(|at| *at <= LAST)?;
        let at = Moment::from_seconds(seconds);
        Some(Self {
            executed_at: at.to_string(),
            proposal,
        })
    }
}

fn principal(value: &Value) -> Option<Principal> {
    Principal::from_text(value.as_str()?).ok()
}

fn executed(upgrade: &Value) -> Option<(i64, Option<u64>)> {
    let at = upgrade.get("executed_timestamp_seconds")?.as_i64()?;
    Some((at, upgrade.get("proposal_id").and_then(Value::as_u64)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_dashboard_records_is_read() {
        let profile = Profile::read(&json!({
            "canister_id": "ryjl3-tyaaa-aaaaa-aaaba-cai", "name": "Ledger\u{1b}[2J", "canister_type": "",
            "controllers": ["r7inp-6aaaa-aaaaa-aaabq-cai", "x", 5], "subnet_id": "aaaaa-aa", "language": "rust",
            "module_hash": "00ff", "upgrades": [
                { "executed_timestamp_seconds": 1_600_000_000, "proposal_id": 1 },
                { "executed_timestamp_seconds": 1_700_000_000, "proposal_id": 2 }, {}, null ],
        }))
        .unwrap();
        assert_eq!(profile.name.as_deref(), Some("Ledger[2J"));
        assert_eq!(profile.kind, None);
        assert_eq!(profile.controllers.len(), 1);
        let upgrade = profile.upgrade.unwrap();
        assert_eq!(upgrade.executed_at, "2023-11-14T22:13:20Z");
        assert_eq!(upgrade.proposal, Some(2));
    }

    #[test]
    fn what_is_malformed_is_unknown() {
        assert_eq!(Profile::read(&json!([])), None);
        let odd = json!({ "name": 7, "controllers": "x", "module_hash": "<b>", "upgrades": { "a": 1 }, "subnet_id": 1 });
        assert_eq!(Profile::read(&odd), Some(Profile::default()));
        let late = json!({ "upgrades": [{ "executed_timestamp_seconds": i64::MAX }] });
        assert_eq!(Profile::read(&late), Some(Profile::default()));
    }
}
