//! Whether a value is what a JSON schema says, for the part of JSON Schema that tools' schemas use. A keyword that is
//! not known here fails: what is not checked must not look as if it were.

use serde_json::Value;

/// The first way in which `value` is not what `schema` says; none when it conforms.
pub fn mismatch(schema: &Value, value: &Value) -> Option<String> {
    check(schema, value, "$").err()
}

fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Some(schema) = schema.as_object() else {
        return Err(format!("{at}: the schema is no object: {schema}"));
    };
    for (keyword, rule) in schema {
        let holds = match keyword.as_str() {
            "description" | "title" | "default" | "$schema" | "examples" | "format" => true,
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| is(kind, value)),
                kind => is(kind, value),
            },
            "enum" => rule.as_array().is_some_and(|cases| cases.contains(value)),
            "const" => rule == value,
            "minimum" => number(value)
                .zip(number(rule))
                .is_none_or(|(n, least)| n >= least),
            "maximum" => number(value)
                .zip(number(rule))
                .is_none_or(|(n, most)| n <= most),
            "minLength" => length(value)
                .zip(rule.as_u64())
                .is_none_or(|(n, least)| n >= least),
            "maxLength" => length(value)
                .zip(rule.as_u64())
                .is_none_or(|(n, most)| n <= most),
            "minItems" => items(value)
                .zip(rule.as_u64())
                .is_none_or(|(n, least)| n >= least),
            "maxItems" => items(value)
                .zip(rule.as_u64())
                .is_none_or(|(n, most)| n <= most),
            "required" => {
                let names = rule.as_array().into_iter().flatten();
                let missing =
                    |name: &&Value| name.as_str().is_none_or(|name| value.get(name).is_none());
                match names.clone().find(missing) {
                    Some(name) if value.is_object() => {
                        return Err(format!("{at}: {name} is missing"));
                    }
                    _ => true,
                }
            }
            "properties" => {
                for (name, rule) in rule.as_object().into_iter().flatten() {
                    if let Some(member) = value.get(name) {
                        check(rule, member, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties");
                let further = value.as_object().into_iter().flatten().filter(|(name, _)| {
                    known.is_none_or(|known| known.get(name.as_str()).is_none())
                });
                for (name, member) in further {
                    match rule {
                        Value::Bool(true) => {}
                        Value::Bool(false) => return Err(format!("{at}: `{name}` is not allowed")),
                        rule => check(rule, member, &format!("{at}.{name}"))?,
                    }
                }
                true
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, item, &format!("{at}[{number}]"))?;
                }
                true
            }
            "anyOf" | "oneOf" => {
                let cases = rule.as_array().into_iter().flatten();
                let fitting = cases.filter(|case| check(case, value, at).is_ok()).count();
                if keyword == "oneOf" {
                    fitting == 1
                } else {
                    fitting > 0
                }
            }
            other => {
                return Err(format!(
                    "{at}: the keyword {other} is not known to this check"
                ));
            }
        };
        if !holds {
            return Err(format!("{at}: {value} is not {keyword} {rule}"));
        }
    }
    Ok(())
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        _ => false,
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn items(value: &Value) -> Option<u64> {
    value.as_array().map(|items| items.len() as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_conform_is_found() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a": { "type": ["integer", "null"] },
                "b": { "enum": ["x", "y"] },
                "c": { "type": "array", "items": { "type": "string" } },
            },
            "required": ["a"],
            "additionalProperties": false,
        });
        assert_eq!(
            mismatch(&schema, &json!({ "a": 1, "b": "x", "c": ["z"] })),
            None
        );
        assert_eq!(mismatch(&schema, &json!({ "a": null })), None);
        for wrong in [
            json!([]),
            json!({}),
            json!({ "a": 1.5 }),
            json!({ "a": 1, "b": "z" }),
            json!({ "a": 1, "c": [1] }),
            json!({ "a": 1, "d": 1 }),
        ] {
            assert!(mismatch(&schema, &wrong).is_some(), "{wrong}");
        }
        assert!(mismatch(&json!({ "unheard": 1 }), &json!(1)).is_some());
    }
}
