//! Amounts as people and programs read them.

use candid::Nat;
use serde_json::{Value, json};

use crate::{
    mcp::{arguments::Arguments, failure::Failure},
    store::Moment,
};

/// Largest whole number that every JSON reader takes exactly (RFC 8259 section 6).
const EXACT: u64 = 1 << 53;
/// Digits that a number may have: more than any amount on the Internet Computer.
const MAX_DIGITS: usize = 39;
const UNITS: [(&str, u32); 4] = [("T", 12), ("B", 9), ("M", 6), ("k", 3)];

/// JSON Schema of a number written by [`json`].
pub(super) fn number_schema() -> Value {
    json!({ "type": ["integer", "string"] })
}

/// A whole number, as decimal text when it is too large for JSON readers.
pub(super) fn json(number: &Nat) -> Value {
    match u64::try_from(number.0.clone()) {
        Ok(number) if number <= EXACT => number.into(),
        _ => number.0.to_string().into(),
    }
}

/// `1.234 T` with up to three decimals, rounded down.
pub(super) fn short(number: &Nat) -> String {
    let digits = number.0.to_string();
    for (unit, zeros) in UNITS {
        let zeros = zeros as usize;
        if digits.len() > zeros {
            let (whole, rest) = digits.split_at(digits.len() - zeros);
            let decimals = rest[..3].trim_end_matches('0');
            let dot = if decimals.is_empty() { "" } else { "." };
            return format!("{whole}{dot}{decimals} {unit}");
        }
    }
    digits
}

/// Bytes in the unit that fits.
pub(super) fn bytes(number: &Nat) -> String {
    let Ok(bytes) = u64::try_from(number.0.clone()) else {
        return format!("{} bytes", number.0);
    };
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes >= 1 << shift {
            let tenths = (bytes >> (shift - 10)) * 10 / 1024;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}

/// A point in time, from nanoseconds since the epoch.
pub(super) fn time(nanos: u64) -> String {
    Moment::from_nanos(nanos).to_string()
}

/// An optional whole number, as JSON number or decimal text; underscores may group its digits.
pub(super) fn take(arguments: &mut Arguments, name: &str) -> Result<Option<Nat>, Failure> {
    let wrong = || Failure::argument(name, "must be a whole number, or its digits as a string");
    match arguments.take(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number.as_u64().map(Nat::from).map(Some).ok_or_else(wrong),
        Some(Value::String(text)) => {
            let digits: String = text.trim().chars().filter(|c| *c != '_').collect();
            let plain = !digits.is_empty()
                && digits.len() <= MAX_DIGITS
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = if plain { digits.parse().ok() } else { None };
            number.map(Some).ok_or_else(wrong)
        }
        Some(_) => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_for_programs_and_for_people() {
        assert_eq!(json(&Nat::from(EXACT)), json!(9_007_199_254_740_992_u64));
        assert_eq!(json(&Nat::from(EXACT + 1)), json!("9007199254740993"));
        for (number, text) in [
            (999_u64, "999"),
            (1_000, "1 k"),
            (1_234_567, "1.234 M"),
            (1_500_000_000_000, "1.5 T"),
            (12_345_000_000_000_000, "12345 T"),
        ] {
            assert_eq!(short(&Nat::from(number)), text);
        }
        assert_eq!(bytes(&Nat::from(1023_u64)), "1023 bytes");
        assert_eq!(bytes(&Nat::from(3_u64 << 30)), "3.0 GiB");
        assert_eq!(bytes(&Nat::from((2_u64 << 20) + (1 << 19))), "2.5 MiB");
        assert_eq!(time(1_700_000_000_123_456_789), "2023-11-14T22:13:20Z");
        assert!(!time(u64::MAX).is_empty());
    }

    #[test]
    fn a_number_is_read_in_either_form_or_refused() {
        let read = |value: Value| {
            let mut arguments = Arguments::new(json!({ "n": value }).as_object().cloned());
            take(&mut arguments, "n")
        };
        assert_eq!(read(json!(7)).unwrap(), Some(Nat::from(7_u8)));
        let large = read(json!("5_000_000_000_000_000_000_000"))
            .unwrap()
            .unwrap();
        assert_eq!(large.0.to_string(), "5000000000000000000000");
        assert_eq!(read(Value::Null).unwrap(), None);
        for wrong in [
            json!(-1),
            json!(1.5),
            json!("1e9"),
            json!(""),
            json!("9".repeat(40)),
            json!([1]),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
