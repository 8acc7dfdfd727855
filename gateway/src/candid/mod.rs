//! Candid: text to bytes and back, bounded.
//!
//! Agents speak textual Candid; canisters speak bytes. Whatever is parsed or decoded here comes from outside, so
//! [`guard`] holds its limits before a parser runs, [`stack`] gives recursive work a stack it cannot overflow, and
//! replies are decoded under quotas and printed up to a bound.

mod coerce;
pub mod decode;
pub mod encode;
mod example;
pub mod foreign;
pub mod guard;
pub mod interface;
mod render;
pub mod stack;
pub mod weight;

pub(crate) use render::brief;

/// What a parser has to say about an error, without the token it stumbled over: the parser holds strings that are
/// not valid Unicode.
fn describe(error: &candid_parser::Error) -> String {
    let report = error.report();
    let mut text = match report.labels.first() {
        Some(label) => format!("{} at character {}", label.message, label.range.start),
        None => report.message,
    };
    for note in report.notes {
        text.push_str(". ");
        text.push_str(&note);
    }
    foreign::one_line(&text, 300)
}
