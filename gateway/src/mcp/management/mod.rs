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
use serde_json::{Value, json};

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

/// The one property of a result whose shape is not known here.
const RAW: &str = "raw";

/// Schema of [`RAW`].
fn raw_schema() -> Value {
    json!({ "type": "string", "description": "In place of the rest, when its shape is not known here" })
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
        // What may come as it is in place of the rest leaves nothing that must be there.
        let result: Vec<&String> = self
            .result
            .as_object()
            .filter(|result| !result.contains_key(RAW))
            .map(|result| result.keys().collect())
            .unwrap_or_default();
        let annotations = ToolAnnotations::with_title(self.title)
            .read_only(self.effect == Effect::Reads)
            .destructive(self.effect == Effect::Destroys)
            .idempotent(matches!(self.effect, Effect::Reads | Effect::Sets))
            .open_world(true);
        let output = json!({ "type": "object", "required": result, "properties": self.result });
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
            needs: |_| Scope::Manage.into(),
            run,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[tokio::test]
    async fn a_result_of_an_unknown_shape_is_what_its_tool_declares() {
        let reply = candid::encode_one("something new").unwrap();
        let output = operator::unknown(reply, "it").await;
        let raw = output.structured().as_object().unwrap();
        for name in [
            "canister_status",
            "take_snapshot",
            "list_snapshots",
            "canister_logs",
        ] {
            let entry = entries().into_iter().find(|entry| entry.tool.name == name);
            let schema = entry.unwrap().tool.output_schema.unwrap();
            assert_eq!(schema["required"], json!([]), "{name}");
            for key in raw.keys() {
                assert_eq!(schema["properties"][key]["type"], "string", "{name}");
            }
        }
    }
}
