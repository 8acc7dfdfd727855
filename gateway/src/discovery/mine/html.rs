use std::collections::BTreeSet;

use super::{
    mention::{Mention, mentions},
    reference::references,
};
use crate::ic::CanisterId;

/// Different scripts that are noted of one page.
const MAX_SCRIPTS: usize = 128;
/// Canisters that a page names in its head.
const MAX_DECLARED: usize = 32;
/// Attributes of one tag that are looked at.
const MAX_ATTRIBUTES: usize = 32;
/// Longest value of an attribute that is looked at, in bytes.
const MAX_VALUE: usize = 1_024;
/// `<meta name="ic:canister-id" content="…">`, of the convention App Connect.
const APP_CONNECT: &str = "ic:canister-id";

/// What a page of HTML says about scripts and canisters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Addresses of scripts as they are written: `<script src>`, module preloads, and what inline scripts import.
    pub scripts: BTreeSet<String>,
    /// Canisters in `<meta name="ic:canister-id">`.
    pub declared: Vec<CanisterId>,
    /// Canister ids anywhere in it: inline scripts, inline JSON, links, text.
    pub mentions: Vec<Mention>,
}

/// Reads a page. Not a parser of HTML: it knows tags, attributes, comments and where a script ends, which is all that
/// is needed, and no nesting, so that no page is too deep for it.
pub fn mine(html: &str) -> Page {
    let mut page = Page {
        mentions: mentions(html),
        ..Page::default()
    };
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = after(comment, "-->");
            continue;
        }
        let name_length = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        if name_length == 0 {
            continue;
        }
        let name = rest[..name_length].to_ascii_lowercase();
        let (attributes, behind) = attributes(&rest[name_length..]);
        rest = behind;
        match name.as_str() {
            "script" => {
                let (inside, behind) = script(rest);
                rest = behind;
                match attributes.get("src") {
                    Some(address) => page.note_script(&address),
                    None => references(inside)
                        .into_iter()
                        .for_each(|address| page.note_script(address)),
                }
            }
            "link" if attributes.preloads_a_script() => {
                if let Some(address) = attributes.get("href") {
                    page.note_script(&address);
                }
            }
            "meta"
                if attributes
                    .get("name")
                    .is_some_and(|name| name == APP_CONNECT) =>
            {
                let content = attributes.get("content");
                if let Some(id) = content.and_then(|text| CanisterId::parse(&text).ok())
                    && page.declared.len() < MAX_DECLARED
                    && !page.declared.contains(&id)
                {
                    page.declared.push(id);
                }
            }
            _ => {}
        }
    }
    page
}

impl Page {
    fn note_script(&mut self, address: &str) {
        let address = address.trim();
        if self.scripts.len() < MAX_SCRIPTS && !address.is_empty() && !address.starts_with("data:")
        {
            self.scripts.insert(address.to_owned());
        }
    }
}

/// What follows the next mark; nothing when there is none.
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.find(mark).map_or("", |at| &text[at + mark.len()..])
}

/// Splits where a script ends (HTML, section 13.2.5.15: `</script` in any case).
fn script(text: &str) -> (&str, &str) {
    const END: &[u8] = b"script";
    let ends = |at: &usize| {
        let name = text.as_bytes().get(at + 2..at + 2 + END.len());
        name.is_some_and(|name| name.eq_ignore_ascii_case(END))
    };
    let end = text.match_indices("</").map(|(at, _)| at).find(ends);
    text.split_at(end.unwrap_or(text.len()))
}

/// Attributes of one tag by name, as they are written.
#[derive(Default)]
struct Attributes<'a>(Vec<(&'a str, &'a str)>);

impl Attributes<'_> {
    /// The first attribute of this name counts.
    fn get(&self, name: &str) -> Option<String> {
        let mut values = self.0.iter();
        let (_, value) = values.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        // Of the entities only this one stands in addresses.
        (value.len() <= MAX_VALUE).then(|| value.trim().replace("&amp;", "&"))
    }

    fn preloads_a_script(&self) -> bool {
        match self
            .get("rel")
            .unwrap_or_default()
            .to_ascii_lowercase()
            .as_str()
        {
            "modulepreload" => true,
            "preload" | "prefetch" => self.get("as").is_some_and(|kind| kind == "script"),
            _ => false,
        }
    }
}

/// Reads attributes up to the end of their tag, and gives what stands behind it.
fn attributes(mut text: &str) -> (Attributes<'_>, &str) {
    let mut attributes = Attributes::default();
    loop {
        text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if text.is_empty() {
            return (attributes, "");
        }
        if let Some(behind) = text.strip_prefix('>') {
            return (attributes, behind);
        }
        // A stray `=` begins a name: everything is taken, so that every turn gets on.
        let length = text
            .char_indices()
            .skip(1)
            .find(|(_, c)| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))
            .map_or(text.len(), |(at, _)| at);
        let (name, behind) = text.split_at(length);
        text = behind.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let mut value = "";
        if let Some(behind) = text.strip_prefix('=') {
            (value, text) =
                self::value(behind.trim_start_matches(|c: char| c.is_ascii_whitespace()));
        }
        if attributes.0.len() < MAX_ATTRIBUTES {
            attributes.0.push((name, value));
        }
    }
}

/// A value with or without quotation marks, and what stands behind it.
fn value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>');
    text.split_at(end.unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    const LEDGER: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";
    const II: &str = "rdmx6-jaaaa-aaaaa-aaadq-cai";

    fn scripts(html: &str) -> Vec<String> {
        mine(html).scripts.into_iter().collect()
    }

    #[test]
    fn scripts_are_found_however_they_are_written() {
        let html = r#"<!doctype html><HTML><head>
            <script src="/a.js"></script><SCRIPT defer SRC='b.js?x=1&amp;y=2' ></SCRIPT >
            <script type=module src=/c.mjs async></script>
            <link rel="modulepreload" crossorigin href="/d.js"><link rel=preload as=script href=e.js>
            <link rel=preload as=style href=/style.css><link rel=stylesheet href=/x.js>
            <script type="importmap">{"imports":{"f":"/f.js"}}</script>
            <script>import("./g.js")</script>
            <!-- <script src="/hidden.js"></script> -->
            <script src=""></script><script src="data:text/javascript,1"></script>"#;
        assert_eq!(
            scripts(html),
            [
                "./g.js",
                "/a.js",
                "/c.mjs",
                "/d.js",
                "/f.js",
                "b.js?x=1&y=2",
                "e.js"
            ]
        );
    }

    #[test]
    fn declared_canisters_and_inline_json_are_found() {
        let html = format!(
            r#"<meta name="ic:canister-id" content=" {LEDGER} "><meta name="ic:canister-id" content="aaaaa-aa">
            <meta content="{LEDGER}" name="ic:canister-id"><meta name="other" content="{II}">
            <script type="application/json">{{"backendCanisterId":"{II}"}}</script>"#
        );
        let page = mine(&html);
        assert_eq!(page.declared, [CanisterId::parse(LEDGER).unwrap()]);
        let named = page.mentions.iter().find(|mention| mention.name.is_some());
        assert_eq!(named.unwrap().id.to_string(), II);
    }

    #[test]
    fn tags_inside_scripts_are_text() {
        let html = "<script>'<script src=\"/no.js\">'</script><script src=/yes.js></script>";
        assert!(scripts(html).contains(&"/yes.js".to_owned()));
        assert_eq!(
            scripts("<script>\"<meta name='ic:canister-id'"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn hostile_pages_cost_no_more_than_their_length() {
        let size = 1 << 20;
        for part in [
            "<",
            "<a ",
            "<a b=",
            "<a b='",
            "<!--",
            "<script>",
            "</",
            "</script",
            "<script src=",
            "='\"",
            "<a/",
            "/>",
            ".js\"",
            "\".js",
            "\"a.js?",
            "-cai",
            "aaaaa-",
            "<meta name=",
            "<div>",
            "&amp;",
            "\u{202e}",
        ] {
            let html = part.repeat(size / part.len());
            let started = Instant::now();
            let page = mine(&html);
            // Quadratic work would take hours.
            assert!(started.elapsed() < Duration::from_secs(10), "{part}");
            assert!(page.scripts.len() <= MAX_SCRIPTS);
        }
    }

    proptest! {
        #[test]
        fn any_page_is_read(html in "(<script|</script>|<meta |<link |src=|>|=|'|\"|<!--|-->|\\PC){0,60}") {
            let page = mine(&html);
            prop_assert!(page.scripts.iter().all(|address| address.len() <= MAX_VALUE));
        }

        #[test]
        fn a_script_is_found_between_anything_that_is_closed(
            before in "(<p>|</div>|text|<!-- x -->|<br/>|<a href='x'>){0,10}", name in "[a-z]{1,10}",
        ) {
            let html = format!("{before}<script src=\"/{name}.js\"></script>");
            prop_assert_eq!(scripts(&html), [format!("/{name}.js")]);
        }
    }
}
