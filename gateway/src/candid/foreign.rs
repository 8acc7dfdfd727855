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
    // Marks, embeddings, overrides and isolates reorder what a reader sees; line and paragraph separators make a
    // line where none is counted; the others are invisible, so that a model reads what a person does not see. The
    // two joiners stay: scripts and emoji need them.
    let hides = matches!(c,
        '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}');
    !steers && !hides
}

#[cfg(test)]
mod tests {
    use super::{one_line, shorten};

    #[test]
    fn control_characters_go_and_length_is_bounded() {
        assert_eq!(shorten("a\u{1b}[31mb\n\tc\u{202e}", 100), "a[31mb\n\tc");
        let smuggled: String = "hi"
            .chars()
            .map(|c| char::from_u32(0xE0000 + c as u32).unwrap())
            .collect();
        assert_eq!(
            shorten(&format!("a{smuggled}\u{200b}\u{2029}\u{61c}b"), 100),
            "ab"
        );
        assert_eq!(one_line("a\n\tb", 100), "a  b");
        assert_eq!(shorten("äöü", 3), "äöü");
        assert_eq!(shorten("äöüß", 3), "äöü…");
        assert_eq!(shorten("abc\0", 3), "abc");
    }
}
