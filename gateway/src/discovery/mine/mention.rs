use std::collections::{HashMap, hash_map::Entry};

use crate::ic::CanisterId;

/// Different canisters that are looked for in one text.
const MAX_MENTIONS: usize = 1_024;
/// Length of the text form of a canister's ten bytes: `ryjl3-tyaaa-aaaaa-aaaba-cai`.
const ID_LENGTH: usize = 27;
/// How the text form of a canister id ends: its last byte is the class of canister ids.
const ENDING: &str = "-cai";
/// How far before an id its name may stand, in bytes.
const MAX_NAME: usize = 96;

/// A canister id in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// Its checksum is right.
    pub id: CanisterId,
    /// What the id is assigned to, when that has to do with canisters: `BACKEND_CANISTER_ID` in
    /// `BACKEND_CANISTER_ID="…"` or `{"BACKEND_CANISTER_ID":"…"}`.
    pub name: Option<String>,
}

/// The canister ids in a text, in the order they stand there; each once, with the first name it is given.
pub fn mentions(text: &str) -> Vec<Mention> {
    let mut found: Vec<Mention> = Vec::new();
    let mut places: HashMap<CanisterId, usize> = HashMap::new();
    for (at, _) in text.match_indices(ENDING) {
        let end = at + ENDING.len();
        let Some(start) = end.checked_sub(ID_LENGTH) else {
            continue;
        };
        let Some(id) = text.get(start..end).and_then(parse) else {
            continue;
        };
        let name = name_before(&text.as_bytes()[..start]);
        let full = found.len() >= MAX_MENTIONS;
        match places.entry(id) {
            Entry::Occupied(place) => {
                let known = &mut found[*place.get()].name;
                if known.is_none() {
                    *known = name;
                }
            }
            Entry::Vacant(_) if full => {}
            Entry::Vacant(place) => {
                place.insert(found.len());
                found.push(Mention { id, name });
            }
        }
    }
    found
}

/// Four groups of five and the ending, with the right checksum.
fn parse(text: &str) -> Option<CanisterId> {
    let shaped = text.bytes().enumerate().all(|(at, byte)| match at {
        5 | 11 | 17 | 23 => byte == b'-',
        _ => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
    });
    if !shaped {
        return None;
    }
    CanisterId::parse(text).ok()
}

/// The identifier before `=`, `:` and quotation marks, if canisters are called so.
fn name_before(text: &[u8]) -> Option<String> {
    let near = &text[text.len().saturating_sub(MAX_NAME)..];
    let assigns = |byte: &u8| {
        matches!(
            byte,
            b'"' | b'\'' | b'`' | b'\\' | b':' | b'=' | b' ' | b'\t' | b'\n'
        )
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let end = near.len() - near.iter().rev().take_while(|byte| assigns(byte)).count();
    let assigned = near[end..].iter().any(|byte| matches!(byte, b':' | b'='));
    let length = near[..end]
        .iter()
        .rev()
        .take_while(|byte| is_name(byte))
        .count();
    let name = std::str::from_utf8(&near[end - length..end]).ok()?;
    let speaks = name.to_ascii_lowercase().contains("canister");
    // A name that begins where the search does may be the end of a longer one.
    (assigned && speaks && length < end).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use candid::Principal;
    use proptest::prelude::*;

    use super::*;

    const LEDGER: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";

    fn names(text: &str) -> Vec<(String, Option<String>)> {
        mentions(text)
            .into_iter()
            .map(|mention| (mention.id.to_string(), mention.name))
            .collect()
    }

    #[test]
    fn what_an_id_is_assigned_to_is_its_name() {
        for (before, name) in [
            (",LEDGER_CANISTER_ID=\"", Some("LEDGER_CANISTER_ID")),
            ("{CANISTER_ID_LEDGER:'", Some("CANISTER_ID_LEDGER")),
            ("{\"ledger_canister_id\": \"", Some("ledger_canister_id")),
            ("{\\\"ledgerCanisterId\\\":\\\"", Some("ledgerCanisterId")),
            ("{canisterId:`", Some("canisterId")),
            ("{ledger:\"", None),
            ("canister \"", None),
            ("https://", None),
            ("", None),
        ] {
            let found = names(&format!("{before}{LEDGER}\""));
            assert_eq!(found, [(LEDGER.to_owned(), name.map(str::to_owned))]);
        }
        // The first name wins, also over a mention without one.
        let text = format!("[\"{LEDGER}\"];A_CANISTER_ID=\"{LEDGER}\";B_CANISTER_ID=\"{LEDGER}\"");
        assert_eq!(names(&text)[0].1.as_deref(), Some("A_CANISTER_ID"));
        assert_eq!(names(&text).len(), 1);
    }

    #[test]
    fn only_ids_with_the_right_checksum_count() {
        for text in [
            "ryjl3-tyaaa-aaaaa-aaabb-cai",
            "RYJL3-TYAAA-AAAAA-AAABA-CAI",
            "ryjl3tyaaaaaaaaaaaabacai",
            "tyaaa-aaaaa-aaaba-cai",
            "-cai",
            "äääää-ääää-cai",
            "aaaaa-aa",
        ] {
            assert!(mentions(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_name_is_not_looked_for_without_end() {
        let long = "A".repeat(1_000) + "CANISTER_ID";
        assert_eq!(names(&format!("{long}=\"{LEDGER}\""))[0].1, None);
        let spaced = format!("A_CANISTER_ID={}\"{LEDGER}\"", " ".repeat(1_000));
        assert_eq!(names(&spaced)[0].1, None);
    }

    #[test]
    fn thousands_of_ids_are_bounded() {
        let text: String = (0..3_000_u64)
            .map(|number| {
                let mut bytes = number.to_be_bytes().to_vec();
                bytes.extend([1, 1]);
                format!("'{}'", Principal::from_slice(&bytes))
            })
            .collect();
        assert_eq!(mentions(&text).len(), MAX_MENTIONS);
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_every_mention_stands_in_it(text in "\\PC{0,200}") {
            for mention in mentions(&text) {
                prop_assert!(text.contains(&mention.id.to_string()));
            }
        }

        #[test]
        fn every_id_is_found_wherever_it_stands(
            number: u64, before in "[^a-z0-9]{0,20}", after in "\\PC{0,20}",
        ) {
            let mut bytes = number.to_be_bytes().to_vec();
            bytes.extend([1, 1]);
            let id = Principal::from_slice(&bytes).to_text();
            let text = format!("{before}{id}{after}");
            prop_assert!(mentions(&text).iter().any(|mention| mention.id.to_string() == id));
        }
    }
}
