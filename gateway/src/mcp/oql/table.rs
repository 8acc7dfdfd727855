//! Rows of an OQL answer: from a canister's reply to a table and data.

use ::candid::{idl_hash, types::value::IDLValue};
use serde_json::{Value, json};

use crate::{
    candid::{
        brief,
        decode::field,
        foreign::{one_line, shorten},
    },
    mcp::page::PAGE,
};

/// Most columns; a wider table is refused.
pub(super) const MAX_COLUMNS: usize = 256;
/// Most rows of an answer that are looked at.
const MAX_ROWS: usize = 1_000;
/// Longest text of a cell in the table and in the data, in characters.
const MAX_SHOWN: usize = 200;
const MAX_CELL: usize = 2_000;
/// Longest column name, in characters.
const MAX_NAME: usize = 128;
/// Largest whole number that JSON readers take exactly.
const EXACT: u64 = 1 << 53;

/// What a canister answered.
#[derive(Debug, PartialEq)]
pub(super) enum Answered {
    Table(Table),
    /// The canister's own error, in Candid's notation.
    Refused(String),
    /// More columns than are shown.
    TooWide(usize),
    /// Something else than OQL describes.
    Other,
}

/// Rows with a value, or null, for each column.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Table {
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<Vec<Value>>,
    /// Whether the canister has more, or more came than are kept.
    pub(super) has_more: bool,
}

/// Reads a decoded reply.
pub(super) fn read(values: &[IDLValue]) -> Answered {
    let Some(mut answer) = values.first() else {
        return Answered::Other;
    };
    if let IDLValue::Variant(variant) = answer {
        let case = variant.0.id.get_id();
        let is = |names: &[&str]| names.iter().any(|name| idl_hash(name) == case);
        if is(&["err", "error", "Err", "Error"]) {
            return Answered::Refused(one_line(&brief(&variant.0.val, MAX_CELL), MAX_CELL));
        }
        if !is(&["ok", "success", "Ok", "Success"]) {
            return Answered::Other;
        }
        answer = &variant.0.val;
    }
    let (Some(IDLValue::Vec(rows)), Some(IDLValue::Bool(has_more))) =
        (field(answer, "rows"), field(answer, "hasMore"))
    else {
        return Answered::Other;
    };
    table(rows, *has_more)
}

fn table(rows: &[IDLValue], has_more: bool) -> Answered {
    let Some(mut cells) = rows.iter().map(cells).collect::<Option<Vec<_>>>() else {
        return Answered::Other;
    };
    let mut columns: Vec<&str> = Vec::new();
    for (name, _) in cells.first().into_iter().flatten() {
        if !columns.contains(name) {
            columns.push(name);
            if columns.len() > MAX_COLUMNS {
                return Answered::TooWide(cells[0].len());
            }
        }
    }
    let cut = cells.len() > MAX_ROWS;
    cells.truncate(MAX_ROWS);
    let aligned = |row: &Vec<(&str, &IDLValue)>| {
        let value = |column: &&str| {
            let cell = row.iter().find(|(name, _)| name == column);
            cell.map_or(Value::Null, |(_, value)| of_case(value))
        };
        columns.iter().map(value).collect()
    };
    Answered::Table(Table {
        rows: cells.iter().map(aligned).collect(),
        columns: columns
            .iter()
            .map(|name| one_line(name, MAX_NAME))
            .collect(),
        has_more: has_more || cut,
    })
}

/// Names and values of a row's cells.
fn cells(row: &IDLValue) -> Option<Vec<(&str, &IDLValue)>> {
    let IDLValue::Vec(cells) = row else {
        return None;
    };
    let cell = |cell| match (field(cell, "name"), field(cell, "value")) {
        (Some(IDLValue::Text(name)), Some(value)) => Some((name.as_str(), value)),
        _ => None,
    };
    cells.iter().map(cell).collect()
}

/// A cell's value: the payload of its case, or the case's own name when it has none.
fn of_case(value: &IDLValue) -> Value {
    let IDLValue::Variant(variant) = value else {
        return of_value(value);
    };
    match &variant.0.val {
        IDLValue::Null | IDLValue::Reserved => {
            let null = ["null", "Null", "none", "None", "nil"];
            let case = variant.0.id.get_id();
            match null.iter().any(|name| idl_hash(name) == case) {
                true => Value::Null,
                false => one_line(&variant.0.id.to_string(), MAX_NAME).into(),
            }
        }
        payload => of_value(payload),
    }
}

/// Numbers that JSON cannot hold exactly become text.
fn of_value(value: &IDLValue) -> Value {
    let number = |text: String| match text.parse::<i64>() {
        Ok(number) if number.unsigned_abs() <= EXACT => json!(number),
        _ => Value::String(shorten(&text, MAX_CELL)),
    };
    match value {
        IDLValue::Text(text) => Value::String(shorten(text, MAX_CELL)),
        IDLValue::Bool(bool) => json!(bool),
        IDLValue::Null | IDLValue::None | IDLValue::Reserved => Value::Null,
        IDLValue::Opt(inner) => match inner.as_ref() {
            scalar @ (IDLValue::Opt(_) | IDLValue::Vec(_) | IDLValue::Record(_)) => {
                Value::String(one_line(&brief(scalar, MAX_CELL), MAX_CELL))
            }
            inner => of_value(inner),
        },
        IDLValue::Nat(n) if n.0.bits() <= 64 => number(n.0.to_string()),
        IDLValue::Int(n) if n.0.bits() <= 64 => number(n.0.to_string()),
        IDLValue::Nat64(n) => number(n.to_string()),
        IDLValue::Int64(n) => number(n.to_string()),
        IDLValue::Nat32(n) => json!(n),
        IDLValue::Nat16(n) => json!(n),
        IDLValue::Nat8(n) => json!(n),
        IDLValue::Int32(n) => json!(n),
        IDLValue::Int16(n) => json!(n),
        IDLValue::Int8(n) => json!(n),
        IDLValue::Float64(n) => json!(n),
        IDLValue::Float32(n) => json!(n),
        IDLValue::Principal(id) => Value::String(id.to_text()),
        other => Value::String(one_line(&brief(other, MAX_CELL), MAX_CELL)),
    }
}

impl Table {
    /// Keeps the rows that fit on a page, and says so in `has_more`.
    pub(super) fn fit(&mut self) {
        let heading: usize = self.columns.iter().map(|name| 2 * name.len() + 8).sum();
        let mut bytes = heading;
        let fits = self.rows.iter().take_while(|row| {
            bytes += row
                .iter()
                .map(|value| value.to_string().len() + 3)
                .sum::<usize>();
            bytes <= PAGE
        });
        // One row is shown however large it is: its cells are bounded.
        let fitting = fits.count().max(1);
        self.has_more |= fitting < self.rows.len();
        self.rows.truncate(fitting);
    }

    /// As lines with bars.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |cells: Vec<String>| {
            text.push_str("| ");
            text.push_str(&cells.join(" | "));
            text.push_str(" |\n");
        };
        line(self.columns.iter().map(|name| cell(name)).collect());
        line(self.columns.iter().map(|_| "---".to_owned()).collect());
        for row in &self.rows {
            let shown = |value: &Value| match value {
                Value::Null => String::new(),
                Value::String(text) => cell(text),
                other => other.to_string(),
            };
            line(row.iter().map(shown).collect());
        }
        text
    }
}

fn cell(text: &str) -> String {
    one_line(text, MAX_SHOWN).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Answered {
        read(&candid_parser::parse_idl_args(text).unwrap().args)
    }

    fn cell_text(name: &str, value: &str) -> String {
        format!("record {{ name = \"{name}\"; value = variant {{ {value} }} }};")
    }

    fn answer(rows: &[String], more: bool) -> String {
        let rows: String = rows.iter().map(|row| format!("vec {{ {row} }};")).collect();
        format!("(record {{ hasMore = {more}; rows = vec {{ {rows} }} }})")
    }

    #[test]
    fn cells_are_aligned_by_their_names() {
        let rows = [
            cell_text("id", "nat = 1 : nat") + &cell_text("name", "text = \"a|b\\nc\""),
            cell_text("name", "\"null\"")
                + &cell_text("id", "nat = 18446744073709551615 : nat")
                + &cell_text("more", "\"null\""),
            cell_text("id", "open"),
        ];
        for text in [
            answer(&rows, true),
            answer(&rows, true)
                .replacen('(', "(variant { ok = ", 1)
                .replacen("})", "}})", 1),
        ] {
            let Answered::Table(table) = parse(&text) else {
                panic!("{text}");
            };
            assert_eq!(table.columns, ["id", "name"]);
            let expected = [
                json!([1, "a|b\nc"]),
                json!(["18446744073709551615", null]),
                json!(["open", null]),
            ];
            assert_eq!(json!(table.rows), json!(expected));
            assert!(table.has_more);
            assert!(table.text().contains("| 1 | a\\|b c |"), "{}", table.text());
        }
    }

    #[test]
    fn errors_and_other_shapes_are_told_apart() {
        let refused = parse("(variant { err = \"no such entity\" })");
        assert_eq!(refused, Answered::Refused("\"no such entity\"".to_owned()));
        for text in [
            "()",
            "(1)",
            "(variant { maybe })",
            "(record { rows = vec {} })",
            "(record { hasMore = true; rows = vec { 1 } })",
        ] {
            assert_eq!(parse(text), Answered::Other, "{text}");
        }
        assert_eq!(
            parse(&answer(&[], false)),
            Answered::Table(Table::default())
        );
    }

    #[test]
    fn every_cap_holds() {
        let wide: String = (0..=MAX_COLUMNS)
            .map(|n| cell_text(&format!("c{n}"), "nat = 1"))
            .collect();
        assert_eq!(
            parse(&answer(&[wide], false)),
            Answered::TooWide(MAX_COLUMNS + 1)
        );
        let many = vec![cell_text("a", "nat = 1 : nat"); MAX_ROWS + 1];
        let Answered::Table(mut table) = parse(&answer(&many, false)) else {
            panic!("a table");
        };
        assert!(table.rows.len() == MAX_ROWS && table.has_more);
        table.fit();
        assert_eq!(table.rows.len(), MAX_ROWS);
        let long = vec![cell_text("a", &format!("text = \"{}\"", "x".repeat(10_000))); 100];
        let Answered::Table(mut table) = parse(&answer(&long, false)) else {
            panic!("a table");
        };
        assert!(!table.has_more);
        table.fit();
        assert!(table.has_more && table.rows.len() < 20);
        assert!(table.text().len() < 20 * 300);
    }
}
