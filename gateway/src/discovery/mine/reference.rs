use std::collections::BTreeSet;

/// Different scripts that are noted of one text.
const MAX_REFERENCES: usize = 128;
/// Longest reference, in bytes.
const MAX_LENGTH: usize = 512;
/// Longest query of a reference, in bytes: bundlers put a hash there.
const MAX_QUERY: usize = 64;
const ENDINGS: [&str; 2] = [".js", ".mjs"];

/// The scripts that a text names in quotation marks: what it imports at once or later (`import("./chunk.js")`), and
/// lists of parts that bundlers write. As they are written; relative ones are relative to the text's own address.
pub fn references(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("js") {
        if found.len() >= MAX_REFERENCES {
            break;
        }
        if let Some(reference) = reference_around(text, at + "js".len()) {
            found.insert(reference);
        }
    }
    found
}

/// The quoted text around a position that stands after the ending of a script's name.
fn reference_around(text: &str, end_of_name: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut end = end_of_name;
    if bytes.get(end) == Some(&b'?') {
        let is_query =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'.' | b'_' | b'-');
        let query = bytes[end + 1..].iter().take(MAX_QUERY).take_while(is_query);
        end += 1 + query.count();
    }
    let quote = *bytes.get(end)?;
    if !matches!(quote, b'"' | b'\'' | b'`') {
        return None;
    }
    // Stops at any quotation mark, so that all these searches together look at no byte twice.
    let near = &bytes[end.saturating_sub(MAX_LENGTH + 1)..end];
    let breaks = |byte: &u8| {
        matches!(
            byte,
            b'"' | b'\'' | b'`' | b'<' | b'>' | b'{' | b'}' | b'\\'
        ) || byte.is_ascii_whitespace()
    };
    let start = end - near.iter().rev().position(breaks)?;
    if bytes[start - 1] != quote {
        return None;
    }
    let name = text.get(start..end_of_name)?;
    let named = ENDINGS
        .iter()
        .any(|ending| name.len() > ending.len() && name.ends_with(ending));
    named.then_some(text.get(start..end)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn imports_and_lists_of_parts_are_found() {
        let text = r#"import{a}from"./a.js";import '/b.mjs';const c=()=>import(`../c.js`);
            __vite__mapDeps=["assets/d-1a2b.js","assets/e.css"];f("/f.js?v=3");new URL("https://cdn.example/g.js")"#;
        let found: Vec<_> = references(text).into_iter().collect();
        assert_eq!(
            found,
            [
                "../c.js",
                "./a.js",
                "/b.mjs",
                "/f.js?v=3",
                "assets/d-1a2b.js",
                "https://cdn.example/g.js"
            ]
        );
    }

    #[test]
    fn what_is_no_reference_is_passed_over() {
        for text in [
            "js",
            ".js",
            "\".js\"",
            "a.js",
            "\"a.js'",
            "\"a b.js\"",
            "\"<a.js\"",
            "`${x}.js`",
            "\"a.json\"",
            "\"nodejs\"",
            "\"a.js?x y\"",
        ] {
            assert!(references(text).is_empty(), "{text}");
        }
        let long = format!("\"{}.js\"", "a".repeat(MAX_LENGTH));
        assert!(references(&long).is_empty());
        let many: String = (0..1_000).map(|n| format!("\"{n}.js\"")).collect();
        assert_eq!(references(&many).len(), MAX_REFERENCES);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(\"|'|`|\\.js|\\.mjs|\\?|\\PC){0,60}") {
            for reference in references(&text) {
                prop_assert!(text.contains(reference));
                prop_assert!(!reference.contains(['"', '\'', '`', ' ', '<', '>']));
            }
        }
    }
}
