//! What the server tells an agent at the start: how to work here, as far as the served tools reach.

use super::catalog::Catalog;

/// Longest text, in bytes: it stands in the context of every conversation.
#[cfg(test)]
pub(super) const MOST: usize = 2_048;

/// A part and the tool without which it makes no sense.
const PARTS: [(&str, &str); 9] = [
    ("get_candid", include_str!("instructions/start.md")),
    ("open_app", include_str!("instructions/finding.md")),
    ("get_candid", include_str!("instructions/reading.md")),
    ("update_canister", include_str!("instructions/acting.md")),
    ("get_principal", include_str!("instructions/identity.md")),
    ("install_code", include_str!("instructions/managing.md")),
    ("create_canister", include_str!("instructions/funding.md")),
    ("list_ic_skills", include_str!("instructions/skills.md")),
    ("get_candid", include_str!("instructions/manners.md")),
];

/// The parts for the tools that are served.
pub(super) fn of(catalog: &Catalog) -> String {
    PARTS
        .iter()
        .filter(|(tool, _)| catalog.has(tool))
        .map(|(_, part)| *part)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_together_are_short() {
        let all: usize = PARTS.iter().map(|(_, part)| part.len()).sum();
        assert!(all < MOST, "{all}");
    }
}
