//! The lists of tokens and SNSes, whole.

use std::{collections::HashSet, time::Duration};

use serde_json::Value;

use super::{
    super::{Service, clean, kept::Kept},
    ListState, QUESTION, ServiceError, ask,
};
use crate::ic::CanisterId;

/// Entries of one page; the services refuse more.
const PAGE: usize = 100;
/// Pages that are read of one list.
const MAX_PAGES: usize = 100;
/// How long a list is used.
const FRESH: Duration = Duration::from_secs(15 * 60);
/// Longest name, in characters.
const MAX_NAME: usize = 80;
/// Longest symbol, in characters.
const MAX_SYMBOL: usize = 20;

/// A token's ledger or an SNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    /// The ledger of a token, the root canister of an SNS.
    pub(crate) id: CanisterId,
    /// The list's words, cleaned.
    pub(crate) name: Option<String>,
    pub(crate) symbol: Option<String>,
    /// The root canister of the SNS that a token belongs to.
    pub(crate) sns_root: Option<CanisterId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EntryKind {
    Token,
    Sns,
}

/// Both lists.
pub(super) struct Lists {
    icrc: Service,
    sns: Service,
    tokens: Kept<List, ServiceError>,
    snses: Kept<List, ServiceError>,
}

/// What could be read of a list.
pub(super) struct List {
    entries: Vec<Entry>,
    /// Whether that is all of it.
    pub(super) whole: bool,
}

impl Lists {
    pub(super) fn new(icrc: Service, sns: Service) -> Self {
        Self {
            icrc,
            sns,
            tokens: Kept::new(FRESH),
            snses: Kept::new(FRESH),
        }
    }

    pub(super) async fn find(&self, words: &str) -> (Vec<Entry>, Vec<ListState>) {
        let (tokens, snses) = tokio::join!(
            self.tokens.get(read(&self.icrc, "/api/v1/ledgers", token)),
            self.snses.get(read(&self.sns, "/api/v1/snses", sns)),
        );
        let states = vec![
            ListState::new("ICRC tokens", &tokens),
            ListState::new("SNSes", &snses),
        ];
        let lists = [tokens, snses].into_iter().flatten();
        let words = words.trim().to_lowercase();
        let mut found: Vec<(u8, Entry)> = lists
            .flat_map(|list| matching(&list.value.entries, &words))
            .collect();
        found.sort_by_cached_key(|(closeness, entry)| {
            (
                *closeness,
                entry.kind,
                entry.name.clone(),
                entry.id.to_string(),
            )
        });
        (found.into_iter().map(|(_, entry)| entry).collect(), states)
    }
}

fn matching(list: &[Entry], words: &str) -> Vec<(u8, Entry)> {
    list.iter()
        .filter_map(|entry| Some((closeness(entry, words)?, entry.clone())))
        .collect()
}

/// How well an entry fits: 0 it is called so, 1 it begins so, 2 it contains it.
fn closeness(entry: &Entry, words: &str) -> Option<u8> {
    let texts = [&entry.symbol, &entry.name].into_iter().flatten();
    texts
        .filter_map(|text| {
            let text = text.to_lowercase();
            match text.find(words)? {
                0 if text.len() == words.len() => Some(0),
                0 => Some(1),
                _ => Some(2),
            }
        })
        .min()
}

/// Reads all pages of a list, until one is empty. When one brings nothing new, the service ignores the offset, and what
/// comes behind it stays unknown.
async fn read(
    service: &Service,
    path: &str,
    entry: fn(&Value) -> Option<Entry>,
) -> Result<List, ServiceError> {
    let visit = service.fetcher.visit(QUESTION);
    let mut entries = Vec::new();
    let mut seen = HashSet::new();
    let mut offset = 0;
    let mut whole = false;
    for _ in 0..MAX_PAGES {
        let page = ask(
            service,
            &visit,
            &format!("{path}?limit={PAGE}&offset={offset}"),
        )
        .await?;
        let page = page
            .get("data")
            .and_then(Value::as_array)
            .ok_or(ServiceError::Nonsense)?;
        let before = seen.len();
        let new = page.iter().take(PAGE).filter_map(entry);
        entries.extend(new.filter(|entry| seen.insert(entry.id)));
        offset += page.len();
        whole = page.is_empty();
        if whole || (before == seen.len() && page.iter().any(|value| entry(value).is_some())) {
            break;
        }
        if page.len() > PAGE {
            // More than was asked for, and more than is read.
            break;
        }
    }
    Ok(List { entries, whole })
}

fn token(value: &Value) -> Option<Entry> {
    let metadata = value.get("icrc1_metadata");
    let text = |member: &str, max| clean(metadata?.get(member)?.as_str()?, max);
    Some(Entry {
        kind: EntryKind::Token,
        id: canister(value.get("ledger_canister_id")?)?,
        name: text("icrc1_name", MAX_NAME),
        symbol: text("icrc1_symbol", MAX_SYMBOL),
        sns_root: value.get("sns_root_canister_id").and_then(canister),
    })
}

fn sns(value: &Value) -> Option<Entry> {
    let id = canister(value.get("root_canister_id")?)?;
    Some(Entry {
        kind: EntryKind::Sns,
        id,
        name: clean(value.get("name")?.as_str()?, MAX_NAME),
        symbol: None,
        sns_root: None,
    })
}

fn canister(value: &Value) -> Option<CanisterId> {
    CanisterId::parse(value.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LEDGER: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";

    #[test]
    fn entries_are_read_and_cleaned() {
        let entry = token(
            &json!({ "ledger_canister_id": LEDGER, "sns_root_canister_id": "",
            "icrc1_metadata": { "icrc1_name": "Coin\u{202e}\n", "icrc1_symbol": "COIN" } }),
        )
        .unwrap();
        assert_eq!(entry.name.as_deref(), Some("Coin"));
        assert_eq!(entry.sns_root, None);
        for odd in [json!({}), json!({ "ledger_canister_id": "x" }), json!(7)] {
            assert_eq!(token(&odd), None);
            assert_eq!(sns(&odd), None);
        }
    }

    #[test]
    fn what_is_called_so_comes_before_what_contains_it() {
        let entry = |name: &str, symbol: &str| {
            token(&json!({ "ledger_canister_id": LEDGER,
                "icrc1_metadata": { "icrc1_name": name, "icrc1_symbol": symbol } }))
            .unwrap()
        };
        assert_eq!(closeness(&entry("ckBTC", "ckBTC"), "ckbtc"), Some(0));
        assert_eq!(
            closeness(&entry("ckBTC test", "ckTESTBTC"), "ckbtc"),
            Some(1)
        );
        assert_eq!(closeness(&entry("my ckBTC", "X"), "ckbtc"), Some(2));
        assert_eq!(closeness(&entry("Other", "O"), "ckbtc"), None);
    }
}
