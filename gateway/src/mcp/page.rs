//! Long answers a page at a time.
//!
//! A cursor is a fingerprint of what is read and a place in it. Whatever can be read again (interfaces, lists,
//! documents) needs nothing but the cursor; a cursor whose fingerprint is not that of the text is refused, so that no
//! two versions are mixed. The reply of a call is not read again but kept for a while (see `kept`).

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{arguments::Arguments, failure::Failure};

/// Longest page, in bytes: what clients show without cutting it themselves.
pub(super) const PAGE: usize = 32 << 10;

/// What a text is called and what it says, in eight bytes.
pub(super) type Fingerprint = [u8; 8];

/// A place in a text or list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) of: Fingerprint,
    /// Bytes into a text, or items into a list.
    pub(super) at: u32,
}

/// One page and the cursor of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) next: Option<String>,
}

/// The fingerprint of something by its name and its content.
pub(super) fn fingerprint(name: &str, content: &str) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(name.len().to_be_bytes());
    hash.update(name);
    hash.update(content);
    let mut short = Fingerprint::default();
    short.copy_from_slice(&hash.finalize()[..8]);
    short
}

impl Cursor {
    /// Takes the argument `cursor`.
    pub(super) fn take(arguments: &mut Arguments) -> Result<Option<Self>, Failure> {
        let Some(text) = arguments.optional_text("cursor")? else {
            return Ok(None);
        };
        Self::parse(&text).map(Some).ok_or_else(|| {
            Failure::argument("cursor", "is none of this server; take it from next_cursor")
        })
    }

    /// Reads the text form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 12];
        let read = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (of, at) = bytes.split_at(8);
        (read == bytes.len()).then_some(Self {
            of: of.try_into().ok()?,
            at: u32::from_be_bytes(at.try_into().ok()?),
        })
    }

    /// The place in something with this fingerprint; the beginning without a cursor.
    pub(super) fn place(cursor: Option<Self>, of: Fingerprint) -> Result<usize, Failure> {
        match cursor {
            None => Ok(0),
            Some(cursor) if cursor.of == of => usize::try_from(cursor.at).map_err(|_| stale()),
            Some(_) => Err(stale()),
        }
    }
}

/// The cursor belongs to something else by now.
pub(super) fn stale() -> Failure {
    Failure::new(
        "CURSOR_STALE",
        "This cursor does not continue this answer: what it was for has changed, is not kept any more, or was asked \
         with other arguments. If it was a read, ask again without a cursor; if it was an update call, do not repeat \
         it: look at the result with a query.",
    )
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.of);
        bytes[8..].copy_from_slice(&self.at.to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// The page of `text` where the cursor points. Pages end where a line does, when one does in their second half.
pub(super) fn of_text(name: &str, text: &str, cursor: Option<Cursor>) -> Result<Page, Failure> {
    if text.len() <= PAGE && cursor.is_none() {
        return Ok(Page {
            text: text.to_owned(),
            next: None,
        });
    }
    of_known(fingerprint(name, text), text, cursor)
}

/// The same when the fingerprint is known.
pub(super) fn of_known(
    of: Fingerprint,
    text: &str,
    cursor: Option<Cursor>,
) -> Result<Page, Failure> {
    let start = Cursor::place(cursor, of)?;
    let rest = text
        .get(start..)
        .filter(|rest| !rest.is_empty() || start == 0);
    let rest = rest.ok_or_else(stale)?;
    let length = first_page(rest);
    let end = start + length;
    let next = (end < text.len())
        .then(|| u32::try_from(end).ok())
        .flatten()
        .map(|at| Cursor { of, at }.to_string());
    Ok(Page {
        text: rest[..length].to_owned(),
        next,
    })
}

fn first_page(text: &str) -> usize {
    if text.len() <= PAGE {
        return text.len();
    }
    let most = text.floor_char_boundary(PAGE);
    match text[..most].rfind('\n') {
        Some(line) if line > PAGE / 2 => line + 1,
        _ => most,
    }
}

/// The items of a list where the cursor points, at most `most`, and the cursor of the next ones.
pub(super) fn of_list<'a, T>(
    name: &str,
    items: &'a [T],
    cursor: Option<Cursor>,
    most: usize,
) -> Result<(&'a [T], Option<String>), Failure> {
    let of = fingerprint(name, "");
    let start = Cursor::place(cursor, of)?;
    if start > items.len() {
        return Err(stale());
    }
    let end = items.len().min(start + most);
    let next = (end < items.len())
        .then(|| u32::try_from(end).ok())
        .flatten()
        .map(|at| Cursor { of, at }.to_string());
    Ok((&items[start..end], next))
}

/// Schema of the argument `cursor`.
pub(super) fn cursor_schema() -> Value {
    json!({ "type": "string", "description": "next_cursor of the last page" })
}

/// Schema of `next_cursor` in an answer.
pub(super) fn next_schema() -> Value {
    json!({ "type": ["string", "null"] })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pages(text: &str) -> Vec<String> {
        let mut pages = Vec::new();
        let mut cursor = None;
        loop {
            let page = of_text("test", text, cursor).unwrap();
            pages.push(page.text);
            match page.next {
                Some(next) => cursor = Some(Cursor::parse(&next).unwrap()),
                None => return pages,
            }
        }
    }

    #[test]
    fn the_pages_of_a_text_are_the_text() {
        let lines = "one line of many\n".repeat(10_000);
        let split = pages(&lines);
        assert!(split.len() > 3 && split.concat() == lines);
        assert!(
            split
                .iter()
                .all(|page| page.ends_with('\n') && page.len() <= PAGE)
        );
        let wide = "ä".repeat(PAGE);
        assert_eq!(pages(&wide).concat(), wide);
        assert_eq!(pages(""), [""]);
        assert_eq!(pages(&"x".repeat(PAGE)).len(), 1);
    }

    #[test]
    fn a_cursor_is_for_one_text_only() {
        let text = "ä".repeat(PAGE);
        let next = of_text("a", &text, None).unwrap().next.unwrap();
        let cursor = Cursor::parse(&next).unwrap();
        assert_eq!(cursor.to_string(), next);
        assert!(of_text("a", &text, Some(cursor)).is_ok());
        assert_eq!(of_text("b", &text, Some(cursor)), Err(stale()));
        assert_eq!(of_text("a", &text[2..], Some(cursor)), Err(stale()));
        for at in [1, 2 * PAGE as u32, u32::MAX] {
            let astray = Cursor { at, ..cursor };
            assert_eq!(of_text("a", &text, Some(astray)), Err(stale()), "{at}");
        }
        for text in [
            "",
            "x",
            "AAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAA",
            "????????????????",
        ] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }

    #[test]
    fn lists_are_paged_by_their_items() {
        let items: Vec<u32> = (0..25).collect();
        let (first, next) = of_list("n", &items, None, 10).unwrap();
        assert_eq!(first.len(), 10);
        let cursor = Cursor::parse(&next.unwrap());
        let (second, next) = of_list("n", &items, cursor, 20).unwrap();
        assert_eq!((second.len(), next), (15, None));
        assert!(of_list("m", &items, cursor, 10).is_err());
        assert!(of_list("n", &items[..3], cursor, 10).is_err());
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back_and_has_one_form(of: Fingerprint, at: u32, text in "[A-Za-z0-9_=+/-]{14,18}|.{0,20}") {
            let cursor = Cursor { of, at };
            prop_assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
            if let Some(read) = Cursor::parse(&text) {
                prop_assert_eq!(read.to_string(), text);
            }
        }

        #[test]
        fn no_forged_cursor_leads_out_of_what_it_is_for(of: Option<Fingerprint>, at in 0..5 * PAGE as u32) {
            let text = "ä".repeat(PAGE);
            let known = fingerprint("a", &text);
            let cursor = Cursor { of: of.unwrap_or(known), at };
            let start = usize::try_from(at).unwrap();
            let is_inside = cursor.of == known && start < text.len() && text.is_char_boundary(start);
            match of_text("a", &text, Some(cursor)) {
                Ok(page) => prop_assert!(is_inside && text[start..].starts_with(&page.text) && page.text.len() <= PAGE),
                Err(error) => prop_assert!(error == stale() && !is_inside),
            }
            let items = [0_u8; 25];
            let named = Cursor { of: of.unwrap_or(fingerprint("n", "")), at: at % 64 };
            let listed = of_list("n", &items, Some(named), 10);
            prop_assert_eq!(listed.is_ok(), of.is_none() && named.at <= 25);
        }
    }
}
