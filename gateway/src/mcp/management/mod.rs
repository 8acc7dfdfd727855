//! Building and running canisters as the management identity.

mod history;
mod install;
mod lifecycle;
mod logs;
mod number;
mod operator;
mod refused;
mod settings;
mod snapshots;
mod status;
mod upload;
mod wire;

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Map, Value, json};

use super::catalog::{Entry, Group, Run, schema};
use crate::scope::Scope;

pub(super) use self::install::Wasm;

pub(super) fn entries() -> Vec<Entry> {
    let mut entries = vec![status::entry(), settings::entry()];
    entries.extend(lifecycle::entries());
    entries.extend([install::entry(), upload::entry()]);
    entries.extend(snapshots::entries());
    entries.extend([logs::entry(), history::entry()]);
    entries
}

/// What a tool of this family is, apart from what runs it.
struct About {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    /// Properties of the arguments beside `canister_id`.
    arguments: Value,
    /// Of these, those that must be there.
    required: &'static [&'static str],
    /// Properties of the structured result.
    result: Value,
    effect: Effect,
}

/// What a tool does to a canister.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    /// Changes something that can be changed back; doing it twice is like doing it once.
    Sets,
    /// Makes something new each time.
    Adds,
    /// May lose what cannot be brought back.
    Destroys,
}

impl About {
    /// The tool with what runs it. It is about one canister.
    fn entry(self, run: Run) -> Entry {
        self.build(true, run)
    }

    fn build(self, of_canister: bool, run: Run) -> Entry {
        let mut properties = self.arguments;
        let mut required = self.required.to_vec();
        if of_canister {
            properties["canister_id"] = json!({ "type": "string" });
            required.insert(0, "canister_id");
        }
        let output = output(self.result);
        let annotations = ToolAnnotations::with_title(self.title)
            .read_only(self.effect == Effect::Reads)
            .destructive(self.effect == Effect::Destroys)
            .idempotent(matches!(self.effect, Effect::Reads | Effect::Sets))
            .open_world(true);
        let tool = Tool::new(
            self.name,
            self.description,
            schema(json!({
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            })),
        );
        Entry {
            tool: tool
                .with_title(self.title)
                .with_raw_output_schema(schema(output))
                .with_annotations(annotations),
            group: Group::Management,
            scope: |_| Scope::Manage,
            run,
        }
    }
}

/// A result has all of these properties; or, where [`operator::RAW`] is among them, that one alone.
fn output(properties: Value) -> Value {
    let names = properties.as_object().into_iter().flat_map(Map::keys);
    let (raw, required): (Vec<_>, Vec<_>) = names.cloned().partition(|name| name == operator::RAW);
    let mut schema = json!({ "type": "object", "properties": properties });
    if raw.is_empty() {
        schema["required"] = json!(required);
    } else {
        schema["anyOf"] = json!([{ "required": required }, { "required": raw }]);
    }
    schema
}

/// The property of a result that is given when the network's reply has a shape that is not known here.
fn raw_schema() -> Value {
    json!({ "type": "string", "description": "The reply as it came, instead of all else" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_as_it_came_is_in_the_schema() {
        let schema = |name: &str| {
            let mut entries = entries().into_iter();
            let entry = entries.find(|entry| entry.tool.name == name).unwrap();
            Value::Object(entry.tool.output_schema.unwrap().as_ref().clone())
        };
        for (name, usual) in [
            ("canister_status", "status"),
            ("canister_logs", "records"),
            ("take_snapshot", "id"),
            ("list_snapshots", "snapshots"),
        ] {
            let schema = schema(name);
            assert_eq!(schema.get("required"), None, "{name}");
            assert_eq!(schema["properties"]["raw"]["type"], "string");
            let cases = schema["anyOf"].as_array().unwrap();
            assert!(cases.contains(&json!({ "required": ["raw"] })), "{name}");
            let usual = json!(usual);
            let has = |case: &Value| case["required"].as_array().unwrap().contains(&usual);
            assert!(cases.iter().any(has), "{name}");
        }
        assert!(schema("start_canister")["required"].is_array());
    }

    #[test]
    fn every_tool_is_short_and_says_what_it_does() {
        for entry in entries() {
            let text = serde_json::to_string(&entry.tool).unwrap();
            let name = &entry.tool.name;
            let most = if name.starts_with("install") || name.starts_with("update") {
                2_000
            } else {
                1_100
            };
            assert!(text.len() <= most, "{name}: {} bytes", text.len());
            let annotations = entry.tool.annotations.unwrap();
            let changes = annotations.read_only_hint == Some(false);
            assert!(
                changes || annotations.destructive_hint == Some(false),
                "{name}"
            );
        }
    }
}
