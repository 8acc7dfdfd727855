//! Values to text, up to a bound: what lies beyond is neither built nor kept.

use std::fmt::{self, Write};

use candid::types::{
    Label,
    value::{IDLField, IDLValue},
};

use super::foreign::is_plain;

/// Columns a line should not exceed.
const WIDTH: usize = 80;
/// Deepest level that is printed.
const MAX_DEPTH: usize = 200;
/// Integers of more bits are printed in hexadecimal, which takes linear time.
const MAX_DECIMAL_BITS: u64 = 4096;

/// Printed values, and whether something had to be left out.
pub(super) struct Printed {
    pub(super) text: String,
    pub(super) cut: bool,
}

/// Prints an argument list in at most about `limit` bytes.
pub(super) fn print(values: &[IDLValue], limit: usize) -> Printed {
    let mut page = Page::new(limit);
    let done = page.list(values);
    let cut = done.is_err() || page.too_deep;
    Printed {
        text: page.text,
        cut,
    }
}

/// Prints one value on one line, cut short after about `limit` bytes.
pub(crate) fn brief(value: &IDLValue, limit: usize) -> String {
    let mut page = Page::new(limit);
    if page.flat(value, 0).is_err() {
        page.text.push('…');
    }
    page.text
}

/// A text that refuses to grow beyond its limit.
struct Page {
    text: String,
    limit: usize,
    line_start: usize,
    too_deep: bool,
}

impl Write for Page {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.text.len() + part.len() > self.limit {
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}

impl Page {
    fn new(limit: usize) -> Self {
        Self {
            text: String::new(),
            limit,
            line_start: 0,
            too_deep: false,
        }
    }

    fn column(&self) -> usize {
        self.text.len() - self.line_start
    }

    fn new_line(&mut self, indent: usize) -> fmt::Result {
        self.write_str("\n")?;
        self.line_start = self.text.len();
        for _ in 0..indent {
            self.write_str("  ")?;
        }
        Ok(())
    }

    fn list(&mut self, values: &[IDLValue]) -> fmt::Result {
        self.write_str("(")?;
        for (position, value) in values.iter().enumerate() {
            if position > 0 {
                self.write_str(", ")?;
            }
            self.value(value, 0, 0)?;
        }
        self.write_str(")")
    }

    /// On one line if that fits, else with one member a line.
    fn value(&mut self, value: &IDLValue, depth: usize, indent: usize) -> fmt::Result {
        if depth > MAX_DEPTH {
            self.too_deep = true;
            return self.write_str("…");
        }
        let mut line = Page::new(WIDTH.saturating_sub(self.column()));
        if line.flat(value, depth).is_ok() {
            return self.write_str(&line.text);
        }
        match value {
            IDLValue::Opt(inner) => {
                self.write_str("opt ")?;
                self.value(inner, depth + 1, indent)
            }
            IDLValue::Vec(items) => self.items(items, depth, indent),
            IDLValue::Record(fields) => {
                let tuple = is_tuple(fields);
                self.write_str("record {")?;
                for field in fields {
                    self.new_line(indent + 1)?;
                    if !tuple {
                        self.label(&field.id)?;
                        self.write_str(" = ")?;
                    }
                    self.value(&field.val, depth + 1, indent + 1)?;
                    self.write_str(";")?;
                }
                self.new_line(indent)?;
                self.write_str("}")
            }
            IDLValue::Variant(variant) => {
                self.write_str("variant { ")?;
                self.label(&variant.0.id)?;
                self.write_str(" = ")?;
                self.value(&variant.0.val, depth + 1, indent)?;
                self.write_str(" }")
            }
            scalar => self.flat(scalar, depth),
        }
    }

    fn items(&mut self, items: &[IDLValue], depth: usize, indent: usize) -> fmt::Result {
        self.write_str("vec {")?;
        let scalars = items.iter().take(8).all(is_scalar);
        for (position, item) in items.iter().enumerate() {
            if position == 0 || !scalars || self.column() > WIDTH {
                self.new_line(indent + 1)?;
            } else {
                self.write_str(" ")?;
            }
            self.value(item, depth + 1, indent + 1)?;
            self.write_str(";")?;
        }
        self.new_line(indent)?;
        self.write_str("}")
    }

    fn flat(&mut self, value: &IDLValue, depth: usize) -> fmt::Result {
        if depth > MAX_DEPTH {
            self.too_deep = true;
            return self.write_str("…");
        }
        match value {
            IDLValue::Opt(inner) if has_annotation(inner) => {
                self.write_str("opt (")?;
                self.flat(inner, depth + 1)?;
                self.write_str(")")
            }
            IDLValue::Opt(inner) => {
                self.write_str("opt ")?;
                self.flat(inner, depth + 1)
            }
            IDLValue::Vec(items) if items.is_empty() => self.write_str("vec {}"),
            IDLValue::Vec(items) => {
                self.write_str("vec {")?;
                for item in items {
                    self.write_str(" ")?;
                    self.flat(item, depth + 1)?;
                    self.write_str(";")?;
                }
                self.write_str(" }")
            }
            IDLValue::Record(fields) if fields.is_empty() => self.write_str("record {}"),
            IDLValue::Record(fields) => {
                let tuple = is_tuple(fields);
                self.write_str("record {")?;
                for field in fields {
                    self.write_str(" ")?;
                    if !tuple {
                        self.label(&field.id)?;
                        self.write_str(" = ")?;
                    }
                    self.flat(&field.val, depth + 1)?;
                    self.write_str(";")?;
                }
                self.write_str(" }")
            }
            IDLValue::Variant(variant) => {
                self.write_str("variant { ")?;
                self.label(&variant.0.id)?;
                if variant.0.val != IDLValue::Null {
                    self.write_str(" = ")?;
                    self.flat(&variant.0.val, depth + 1)?;
                }
                self.write_str(" }")
            }
            scalar => self.scalar(scalar),
        }
    }

    fn scalar(&mut self, value: &IDLValue) -> fmt::Result {
        match value {
            IDLValue::Text(text) => self.quoted(text),
            IDLValue::Blob(bytes) => self.blob(bytes),
            IDLValue::Nat(n) if n.0.bits() > MAX_DECIMAL_BITS => {
                write!(self, "0x{} : nat", n.0.to_str_radix(16))
            }
            IDLValue::Int(n) if n.0.bits() > MAX_DECIMAL_BITS => {
                let (sign, hex) = match n.0.to_str_radix(16) {
                    negative if negative.starts_with('-') => ("-", negative[1..].to_owned()),
                    positive => ("", positive),
                };
                write!(self, "{sign}0x{hex} : int")
            }
            IDLValue::Func(id, method) => {
                write!(self, "func \"{id}\".")?;
                self.name(method)
            }
            // The library's own notation for numbers, principals and constants; its length is bounded.
            other => write!(self, "{other:?}"),
        }
    }

    fn label(&mut self, label: &Label) -> fmt::Result {
        match label {
            Label::Named(name) => self.name(name),
            Label::Id(number) | Label::Unnamed(number) => write!(self, "{number}"),
        }
    }

    fn name(&mut self, name: &str) -> fmt::Result {
        if candid::pretty::candid::is_valid_as_id(name) && !is_keyword(name) {
            self.write_str(name)
        } else {
            self.quoted(name)
        }
    }

    fn quoted(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > self.limit && self.limit <= WIDTH {
            return Err(fmt::Error);
        }
        self.write_str("\"")?;
        for c in text.chars() {
            match c {
                '"' => self.write_str("\\\"")?,
                '\\' => self.write_str("\\\\")?,
                '\n' => self.write_str("\\n")?,
                '\r' => self.write_str("\\r")?,
                '\t' => self.write_str("\\t")?,
                c if is_plain(c) => self.write_char(c)?,
                c => write!(self, "\\u{{{:x}}}", u32::from(c))?,
            }
        }
        self.write_str("\"")
    }

    fn blob(&mut self, bytes: &[u8]) -> fmt::Result {
        self.write_str("blob \"")?;
        for byte in bytes {
            match byte {
                b'"' | b'\\' => write!(self, "\\{byte:02x}")?,
                0x20..=0x7e => self.write_char(char::from(*byte))?,
                _ => write!(self, "\\{byte:02x}")?,
            }
        }
        self.write_str("\"")
    }
}

fn is_tuple(fields: &[IDLField]) -> bool {
    fields
        .iter()
        .zip(0..)
        .all(|(field, position)| field.id.get_id() == position)
}

fn is_scalar(value: &IDLValue) -> bool {
    !matches!(
        value,
        IDLValue::Opt(_) | IDLValue::Vec(_) | IDLValue::Record(_) | IDLValue::Variant(_)
    )
}

/// Whether the value is printed as `value : type`, which needs parentheses after `opt`.
fn has_annotation(value: &IDLValue) -> bool {
    is_scalar(value)
        && !matches!(
            value,
            IDLValue::Bool(_)
                | IDLValue::Text(_)
                | IDLValue::Blob(_)
                | IDLValue::None
                | IDLValue::Number(_)
                | IDLValue::Principal(_)
                | IDLValue::Service(_)
                | IDLValue::Func(..)
        )
}

fn is_keyword(name: &str) -> bool {
    const KEYWORDS: [&str; 16] = [
        "import",
        "service",
        "func",
        "type",
        "opt",
        "vec",
        "record",
        "variant",
        "blob",
        "principal",
        "null",
        "oneway",
        "query",
        "composite_query",
        "true",
        "false",
    ];
    KEYWORDS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let args = candid_parser::parse_idl_args(text).unwrap();
        print(&args.args, 1 << 20).text
    }

    #[test]
    fn short_values_stay_on_one_line_and_read_back() {
        for text in [
            "(42 : nat64, \"a\\nb\", true, opt (7 : nat8), vec { \"x\"; }, record { a = 1 : int; \"b c\" = null; })",
            "(variant { ok }, variant { err = \"no\" }, principal \"aaaaa-aa\", blob \"ab\\00\", vec {}, record {})",
        ] {
            let once = shown(text);
            assert!(once.split('\n').all(|line| line.len() < 100), "{once}");
            assert_eq!(shown(&once), once);
        }
        assert_eq!(
            shown("(record { 1 : nat; 2 : nat })"),
            "(record { 1 : nat; 2 : nat; })"
        );
    }

    #[test]
    fn long_values_are_broken_into_lines() {
        let text = format!(
            "(record {{ first = \"{0}\"; second = vec {{ {1} }} }})",
            "a".repeat(60),
            "1000;".repeat(100)
        );
        let shown = shown(&text);
        assert!(shown.starts_with("(record {\n  first = \"aaa"), "{shown}");
        assert!(shown.lines().all(|line| line.len() <= 100), "{shown}");
    }

    #[test]
    fn the_bound_holds_and_is_told() {
        let many = IDLValue::Vec(vec![IDLValue::Null; 100_000]);
        let printed = print(&[many], 10_000);
        assert!(printed.cut);
        assert!(printed.text.len() <= 10_000);
        let long = print(&[IDLValue::Text("x".repeat(100_000))], 5_000);
        assert!(long.cut && long.text.len() > 4_000);
        let mut deep = IDLValue::Null;
        for _ in 0..1_000 {
            deep = IDLValue::Opt(Box::new(deep));
        }
        assert!(print(&[deep], 10_000).cut);
    }

    #[test]
    fn control_characters_are_escaped() {
        let printed = print(&[IDLValue::Text("\u{1b}[2J\0\u{202e}".to_owned())], 1_000);
        assert_eq!(printed.text, "(\"\\u{1b}[2J\\u{0}\\u{202e}\")");
    }
}
