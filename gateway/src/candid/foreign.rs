//! Text written by strangers: canister replies, interfaces, error messages.

/// The text without characters that could steer a terminal or hide what is written, and not longer than `max`
/// characters. Newlines and tabs stay.
pub fn shorten(text: &str, max: usize) -> String {
    let mut kept: String = text.chars().filter(|c| is_plain(*c)).take(max).collect();
    // Byte length bounds the character count from above, so this looks at long texts only.
    if text.len() > max && text.chars().filter(|c| is_plain(*c)).nth(max).is_some() {
        kept.push('…');
    }
    kept
}

/// The same on one line, so that what a stranger wrote cannot look like a sentence of ours.
pub fn one_line(text: &str, max: usize) -> String {
    shorten(text, max).replace(['\n', '\t'], " ")
}

/// Whether a character may be shown as it is.
pub(crate) fn is_plain(c: char) -> bool {
    let steers = c.is_control() && c != '\n' && c != '\t';
    // Embeddings, overrides and isolates reorder what a reader sees; U+FEFF is invisible.
    let hides = matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}');
    !steers && !hides
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn control_characters_go_and_length_is_bounded() {
        assert_eq!(shorten("a\u{1b}[31mb\n\tc\u{202e}", 100), "a[31mb\n\tc");
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äöü…");
        assert_eq!(shorten("abc\0", 3), "abc");
    }
}
