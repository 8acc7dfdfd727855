//! What can be asked about: a canister's OQL schema.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::candid::foreign::one_line;

/// Entities on a page.
pub(super) const ON_PAGE: usize = 40;
/// Fields of an entity that are shown.
const MAX_FIELDS: usize = 100;
/// Longest name, in characters.
const MAX_NAME: usize = 128;

/// The schema as canisters write it; members it may have besides are not looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Schema {
    pub(super) entities: Vec<Entity>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entity {
    pub(super) name: String,
    #[serde(default)]
    primary_key: Value,
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    name: String,
    #[serde(default)]
    type_name: Value,
    /// `"payload"`, or `{"edge": {"to": entity}}`.
    #[serde(default)]
    role: Value,
}

impl Schema {
    /// Reads the schema's JSON.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The names of all entities.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entities.iter().map(|entity| entity.name.as_str())
    }
}

impl Entity {
    /// On one line.
    pub(super) fn line(&self) -> String {
        let mut line = one_line(&self.name, MAX_NAME);
        if let Some(key) = shown(&self.primary_key) {
            line.push_str(&format!(" (key {key})"));
        }
        let fields = self.fields.iter().take(MAX_FIELDS).map(Field::text);
        let fields: Vec<String> = fields.collect();
        line.push_str(": ");
        line.push_str(&fields.join(", "));
        if self.fields.len() > MAX_FIELDS {
            line.push_str(&format!(", … and {} more", self.fields.len() - MAX_FIELDS));
        }
        line
    }

    pub(super) fn to_json(&self) -> Value {
        let field = |field: &Field| {
            json!({
                "name": one_line(&field.name, MAX_NAME),
                "type": shown(&field.type_name),
                "edge_to": field.edge(),
            })
        };
        let fields: Vec<Value> = self.fields.iter().take(MAX_FIELDS).map(field).collect();
        json!({
            "name": one_line(&self.name, MAX_NAME),
            "primary_key": shown(&self.primary_key),
            "fields": fields,
        })
    }
}

impl Field {
    fn edge(&self) -> Option<String> {
        shown(&self.role["edge"]["to"])
    }

    fn text(&self) -> String {
        let name = one_line(&self.name, MAX_NAME);
        match (self.edge(), shown(&self.type_name)) {
            (Some(to), _) => format!("{name} -> {to}"),
            (None, Some(ty)) => format!("{name} {ty}"),
            (None, None) => name,
        }
    }
}

/// A name, or several of them.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(name) => Some(one_line(name, MAX_NAME)),
        Value::Array(names) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            Some(one_line(&names.join("+"), MAX_NAME))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_one_line_each() {
        let text = r#"{"version":1,"entities":[{"name":"Order\n","primaryKey":"id","extra":1,"fields":[
            {"name":"id","typeName":"Nat","role":"payload"},{"name":"customer","typeName":"Nat","role":{"edge":{"to":"Customer"}}},
            {"name":"odd"}]},{"name":"Customer"}]}"#;
        let schema = Schema::parse(text).unwrap();
        assert_eq!(
            schema.entities[0].line(),
            "Order  (key id): id Nat, customer -> Customer, odd"
        );
        assert_eq!(
            schema.entities[0].to_json()["fields"][1]["edge_to"],
            "Customer"
        );
        assert_eq!(schema.names().count(), 2);
        for text in ["", "{}", "[]", "{\"entities\":5}", "{\"entities\":[{}]}"] {
            assert!(Schema::parse(text).is_none(), "{text}");
        }
    }
}
