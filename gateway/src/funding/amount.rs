//! Amounts as people write them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

const E8S: u64 = 100_000_000;
/// A million ICP.
const MOST_E8S: u64 = 1_000_000 * E8S;
/// A million times 10^12 cycles.
const MOST_CYCLES: u64 = 1_000_000_000_000_000_000;

/// An amount of ICP, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Icp(u64);

/// An amount of cycles, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cycles(u64);

/// Why a text is no amount.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not what an amount of ICP looks like.
    #[error(
        "must be a decimal amount of ICP like \"0.5\": more than 0, at most 1000000, at most 8 digits after the point"
    )]
    Icp,
    /// Not what an amount of cycles looks like.
    #[error(
        "must be a whole number of cycles, or one with a unit like \"1.5T\" (T = 10^12, B = 10^9, M = 10^6): more \
         than 0, at most 1000000T"
    )]
    Cycles,
    /// More or less than can be converted.
    #[error("is out of range at the present rate of conversion")]
    Conversion,
}

impl Icp {
    /// Of so many e8s (10^-8 ICP); none of zero or more than a million ICP.
    pub fn from_e8s(e8s: u64) -> Option<Self> {
        (1..=MOST_E8S).contains(&e8s).then_some(Self(e8s))
    }

    /// In e8s.
    pub const fn e8s(self) -> u64 {
        self.0
    }
}

impl Cycles {
    /// Of so many cycles; none of zero or more than 10^18.
    pub fn new(cycles: u64) -> Option<Self> {
        (1..=MOST_CYCLES).contains(&cycles).then_some(Self(cycles))
    }

    /// How many.
    pub const fn count(self) -> u64 {
        self.0
    }
}

/// What ICP is worth in cycles: ten-thousandths of an XDR for one ICP, which is also cycles for one e8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(u64);

impl Rate {
    /// As the cycles minting canister says it; none of zero.
    pub fn new(xdr_permyriad_per_icp: u64) -> Option<Self> {
        (xdr_permyriad_per_icp > 0).then_some(Self(xdr_permyriad_per_icp))
    }

    /// The cycles that an amount of ICP is worth.
    ///
    /// # Errors
    /// [`AmountError::Conversion`] when they are more than an amount may be.
    pub fn cycles(self, icp: Icp) -> Result<Cycles, AmountError> {
        let cycles = icp.0.checked_mul(self.0);
        cycles.and_then(Cycles::new).ok_or(AmountError::Conversion)
    }

    /// The least ICP that is worth so many cycles.
    ///
    /// # Errors
    /// [`AmountError::Conversion`] when it is more than an amount may be.
    pub fn icp(self, cycles: Cycles) -> Result<Icp, AmountError> {
        Icp::from_e8s(cycles.0.div_ceil(self.0)).ok_or(AmountError::Conversion)
    }
}

impl FromStr for Icp {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let text = text.trim();
        if text.split_once('.').is_some_and(|(_, f)| f.len() > 8) {
            return Err(AmountError::Icp);
        }
        scaled(text, 8)
            .and_then(Self::from_e8s)
            .ok_or(AmountError::Icp)
    }
}

impl FromStr for Cycles {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let text = text.trim();
        let (number, digits) = match text.char_indices().next_back() {
            Some((at, 'T' | 't')) => (&text[..at], 12),
            Some((at, 'B' | 'b')) => (&text[..at], 9),
            Some((at, 'M' | 'm')) => (&text[..at], 6),
            _ => (text, 0),
        };
        scaled(number.trim_end(), digits)
            .and_then(Self::new)
            .ok_or(AmountError::Cycles)
    }
}

/// The decimal number times ten to the power of `digits`, when that is a whole number. Underscores may group the
/// digits before the point.
fn scaled(text: &str, digits: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.replace('_', "");
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !is_number(&whole) || !is_number(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > digits {
        return None;
    }
    format!("0{whole}{fraction:0<digits$}").parse().ok()
}

impl fmt::Display for Icp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ICP", decimal(self.0, E8S))
    }
}

impl fmt::Display for Cycles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_cycles(u128::from(self.0)))
    }
}

/// A balance in cycles for people, exact.
pub fn shown_cycles(cycles: u128) -> String {
    const T: u64 = 1_000_000_000_000;
    const LEAST: u128 = 1_000_000_000;
    match u64::try_from(cycles) {
        Ok(count) if cycles >= LEAST => format!("{}T cycles", decimal(count, T)),
        _ => format!("{cycles} cycles"),
    }
}

/// An amount of e8s for people, exact; unlike [`Icp`] it may be zero.
pub fn shown_e8s(e8s: u64) -> String {
    format!("{} ICP", decimal(e8s, E8S))
}

fn decimal(count: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", count / unit, count % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn icp_is_decimal_with_eight_digits_at_most() {
        let e8s = |text: &str| text.parse::<Icp>().map(Icp::e8s);
        assert_eq!(e8s("0.5"), Ok(50_000_000));
        assert_eq!(e8s(" .25 "), Ok(25_000_000));
        assert_eq!(e8s("1"), Ok(100_000_000));
        assert_eq!(e8s("0.00000001"), Ok(1));
        assert_eq!(e8s("1000000"), Ok(MOST_E8S));
        for text in [
            "",
            ".",
            "0",
            "0.0",
            "-1",
            "+1",
            "1e3",
            "0.000000001",
            "1,5",
            "1000000.1",
            "ICP",
            "1 ICP",
            "99999999999999999999",
            "١",
            "0x1",
            "1.2.3",
            "NaN",
        ] {
            assert_eq!(e8s(text), Err(AmountError::Icp), "{text}");
        }
    }

    #[test]
    fn cycles_are_whole_and_may_have_a_unit() {
        let count = |text: &str| text.parse::<Cycles>().map(Cycles::count);
        assert_eq!(count("1.5T"), Ok(1_500_000_000_000));
        assert_eq!(count("500 B"), Ok(500_000_000_000));
        assert_eq!(count("0.000000000001t"), Ok(1));
        assert_eq!(count("2_000_000"), Ok(2_000_000));
        assert_eq!(count("1000000000000.0"), Ok(1_000_000_000_000));
        assert_eq!(count("1000000T"), Ok(MOST_CYCLES));
        for text in [
            "",
            "T",
            "0",
            "0T",
            "0.5",
            "1.0000000000001T",
            "-1T",
            "1TT",
            "1e12",
            "1000001T",
            "1Ⓣ",
            "18446744073709551616",
        ] {
            assert_eq!(count(text), Err(AmountError::Cycles), "{text}");
        }
    }

    #[test]
    fn amounts_are_shown_exactly() {
        assert_eq!(Icp(50_000_000).to_string(), "0.5 ICP");
        assert_eq!(Icp(100_000_000).to_string(), "1 ICP");
        assert_eq!(Cycles(1_500_000_000_000).to_string(), "1.5T cycles");
        assert_eq!(Cycles(100_000_000).to_string(), "100000000 cycles");
        assert_eq!(shown_cycles(0), "0 cycles");
        assert_eq!(shown_e8s(10_000), "0.0001 ICP");
    }

    #[test]
    fn conversion_is_exact_and_bounded() {
        let rate = Rate::new(50_000).unwrap();
        let half: Icp = "0.5".parse().unwrap();
        assert_eq!(rate.cycles(half), Ok(Cycles(2_500_000_000_000)));
        assert_eq!(rate.icp(Cycles(50_001)), Ok(Icp(2)));
        let absurd = Rate::new(u64::MAX).unwrap();
        assert_eq!(absurd.cycles(half), Err(AmountError::Conversion));
        assert_eq!(Rate::new(0), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(e8s in 1..=MOST_E8S, cycles in 1..=MOST_CYCLES) {
            let icp = Icp(e8s).to_string();
            prop_assert_eq!(icp.trim_end_matches(" ICP").parse(), Ok(Icp(e8s)));
            let shown = Cycles(cycles).to_string();
            prop_assert_eq!(shown.trim_end_matches(" cycles").parse(), Ok(Cycles(cycles)));
        }

        #[test]
        fn a_unit_moves_the_point(
            whole in 0..2_000_000_u64,
            fraction in "[0-9]{0,13}",
            (unit, digits) in prop_oneof![
                Just(("T", 12_u32)), Just(("t", 12)), Just((" B", 9)), Just(("b", 9)), Just(("M", 6)), Just(("", 0)),
            ],
        ) {
            let text = format!("{whole}.{fraction}{unit}");
            // In units of 10^-13 of what the unit stands for, where every fraction is whole.
            let exact = u128::from(whole) * 10_u128.pow(13)
                + format!("{fraction:0<13}").parse::<u128>().unwrap();
            let scaled = exact * 10_u128.pow(digits);
            let cycles = scaled.is_multiple_of(10_u128.pow(13)).then_some(scaled / 10_u128.pow(13));
            let cycles = cycles.and_then(|cycles| Cycles::new(u64::try_from(cycles).ok()?));
            prop_assert_eq!(text.parse::<Cycles>().ok(), cycles, "{}", text);
        }

        #[test]
        fn e8s_are_what_stands_behind_the_point(whole in 0..2_000_000_u64, fraction in "[0-9]{0,10}") {
            let e8s = whole * E8S + format!("{fraction:0<8}")[..8].parse::<u64>().unwrap();
            let icp = (fraction.len() <= 8).then(|| Icp::from_e8s(e8s)).flatten();
            prop_assert_eq!(format!("{whole}.{fraction}").parse::<Icp>().ok(), icp);
        }

        #[test]
        fn what_is_taken_is_a_number_within_bounds(text in "[-+0-9._eE,TtBbMm ٣Ⓣ]{0,24}|.{0,40}") {
            let digits = |text: &str| text.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
            if let Ok(icp) = text.parse::<Icp>() {
                prop_assert!(Icp::from_e8s(icp.0).is_some() && digits(&text), "{}", text);
            }
            if let Ok(cycles) = text.parse::<Cycles>() {
                prop_assert!(Cycles::new(cycles.0).is_some() && digits(&text), "{}", text);
            }
        }
    }
}
