//! Limits on Candid text, held before any parser sees it.
//!
//! The parser, the type checker and the destructors of what they build are recursive, so hostile text has to be
//! stopped by its shape alone. Comments are cut out on the way: the parser then reads exactly the tokens that
//! were counted here, whatever its own idea of a comment is, and its lexer, which recurses once per comment in a
//! row, meets none.

use std::borrow::Cow;

/// Longest text, in bytes.
pub const MAX_TEXT: usize = 1 << 20;
/// Deepest nesting: open brackets plus the `opt` and `vec` prefixes that wait for their value or type.
pub const MAX_DEPTH: usize = 128;
/// Most `type` definitions; the checker's time grows with their square.
pub const MAX_TYPES: usize = 1024;
/// Longest number, in characters; converting one takes time that grows with its square.
pub const MAX_NUMBER: usize = 10_000;
/// From this length on, in bytes, a line is broken after the next separator: the parser of interfaces looks for the
/// end of the line at every token, so that a megabyte in one line would take it half a minute.
const LINE: usize = 1024;

/// Why a text is not given to the parser.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// More than [`MAX_TEXT`] bytes.
    #[error("the text is {0} bytes long; at most {MAX_TEXT} are read")]
    TooLong(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the text is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// More than [`MAX_TYPES`] definitions.
    #[error("the text has more than {MAX_TYPES} type definitions")]
    TooManyTypes,
    /// A number longer than [`MAX_NUMBER`].
    #[error("the text has a number of more than {MAX_NUMBER} characters")]
    NumberTooLong,
    /// A hexadecimal number with a capital X, which the parser cannot read.
    #[error("write hexadecimal numbers with a small x, as in 0x1f")]
    CapitalHex,
    /// A block comment that never ends.
    #[error("a /* comment is not closed")]
    OpenComment,
    /// A string that never ends.
    #[error("a string is not closed with \"")]
    OpenString,
}

/// Text within every limit, without comments.
#[derive(Debug, Clone)]
pub struct Guarded<'a> {
    text: Cow<'a, str>,
    depth: usize,
}

impl Guarded<'_> {
    /// What the parser may read.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The deepest nesting, never less than the parser's.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The same text, owned.
    pub fn into_owned(self) -> Guarded<'static> {
        Guarded {
            text: Cow::Owned(self.text.into_owned()),
            depth: self.depth,
        }
    }
}

/// Checks a text against every limit.
///
/// # Errors
/// The first limit that the text breaks.
pub fn guard(text: &str) -> Result<Guarded<'_>, GuardError> {
    if text.len() > MAX_TEXT {
        return Err(GuardError::TooLong(text.len()));
    }
    let mut scan = Scan::new(text);
    while let Some(&byte) = scan.bytes.get(scan.at) {
        match byte {
            b'"' => scan.string()?,
            b'/' => scan.slash()?,
            b'(' | b'{' => scan.open()?,
            b')' | b'}' => scan.close(),
            b';' | b',' => scan.separator(),
            b'\n' => {
                scan.at += 1;
                scan.line = scan.at;
            }
            b'0'..=b'9' | b'.' => scan.number()?,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => scan.word()?,
            _ => scan.at += 1,
        }
    }
    Ok(scan.finish())
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Where the line began.
    line: usize,
    /// The text without comments and with broken lines, up to `copied`; stays empty while it is the text itself.
    kept: String,
    copied: usize,
    /// What each open bracket added to the depth; at most [`MAX_DEPTH`] entries.
    open: Vec<usize>,
    depth: usize,
    /// Prefixes since the last separator that still wait for what they belong to.
    pending: usize,
    deepest: usize,
    types: usize,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            line: 0,
            kept: String::new(),
            copied: 0,
            open: Vec::new(),
            depth: 0,
            pending: 0,
            deepest: 0,
            types: 0,
        }
    }

    fn open(&mut self) -> Result<(), GuardError> {
        let added = self.pending + 1;
        self.open.push(added);
        self.depth += added;
        self.pending = 0;
        self.at += 1;
        self.measure()
    }

    /// A closing bracket; what stood before the opening one waits again, since `opt func (…) -> (…)` goes on.
    fn close(&mut self) {
        if let Some(added) = self.open.pop() {
            self.depth -= added;
            self.pending = added - 1;
        }
        self.at += 1;
    }

    fn separator(&mut self) {
        self.pending = 0;
        self.at += 1;
        if self.at - self.line > LINE {
            self.keep('\n');
            self.line = self.at;
        }
    }

    /// Keeps what was not kept yet of the text so far, and a character more.
    fn keep(&mut self, more: char) {
        self.kept.push_str(&self.text[self.copied..self.at]);
        self.kept.push(more);
        self.copied = self.at;
    }

    fn measure(&mut self) -> Result<(), GuardError> {
        self.deepest = self.deepest.max(self.depth + self.pending);
        if self.deepest > MAX_DEPTH {
            Err(GuardError::TooDeep)
        } else {
            Ok(())
        }
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().take_while(|byte| belongs(**byte)).count();
        self.at += length;
        &rest[..length]
    }

    fn word(&mut self) -> Result<(), GuardError> {
        match self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            b"opt" | b"vec" => {
                self.pending += 1;
                self.measure()
            }
            b"type" => {
                self.types += 1;
                if self.types > MAX_TYPES {
                    return Err(GuardError::TooManyTypes);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn number(&mut self) -> Result<(), GuardError> {
        let number = self.run(|byte| byte.is_ascii_hexdigit() || b"_.xX".contains(&byte));
        if number.len() > MAX_NUMBER {
            Err(GuardError::NumberTooLong)
        } else if number.starts_with(b"0X") {
            Err(GuardError::CapitalHex)
        } else {
            Ok(())
        }
    }

    fn string(&mut self) -> Result<(), GuardError> {
        self.at += 1;
        loop {
            match self.bytes.get(self.at) {
                None => return Err(GuardError::OpenString),
                Some(b'"') => break self.at += 1,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        Ok(())
    }

    fn slash(&mut self) -> Result<(), GuardError> {
        let start = self.at;
        match self.bytes.get(start + 1) {
            Some(b'/') => {
                self.run(|byte| byte != b'\n');
            }
            Some(b'*') => self.block_comment()?,
            _ => {
                self.at += 1;
                return Ok(());
            }
        }
        self.kept.push_str(&self.text[self.copied..start]);
        self.kept.push(' ');
        self.copied = self.at;
        Ok(())
    }

    fn block_comment(&mut self) -> Result<(), GuardError> {
        let mut nesting = 0usize;
        loop {
            match self.bytes.get(self.at..self.at + 2) {
                None => return Err(GuardError::OpenComment),
                Some(b"/*") => {
                    nesting += 1;
                    self.at += 2;
                }
                Some(b"*/") => {
                    nesting -= 1;
                    self.at += 2;
                }
                Some(_) => self.at += 1,
            }
            if nesting == 0 {
                return Ok(());
            }
        }
    }

    fn finish(mut self) -> Guarded<'a> {
        let text = if self.copied == 0 {
            Cow::Borrowed(self.text)
        } else {
            self.kept.push_str(&self.text[self.copied..]);
            Cow::Owned(self.kept)
        };
        Guarded {
            text,
            depth: self.deepest,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn depth(text: &str) -> usize {
        guard(text).unwrap().depth()
    }

    #[test]
    fn depth_counts_brackets_and_waiting_prefixes() {
        assert_eq!(depth("(1, 2)"), 1);
        assert_eq!(depth("(opt opt record { a = vec { opt 1 } })"), 7);
        assert_eq!(depth("type t = opt func (opt nat) -> (opt nat)"), 3);
        assert_eq!(depth("(\"((((\")"), 1);
    }

    #[test]
    fn a_quote_in_a_comment_hides_nothing() {
        let hidden = format!("(/* \" */ {} )", "opt ".repeat(MAX_DEPTH + 1));
        assert_eq!(guard(&hidden).unwrap_err(), GuardError::TooDeep);
        let hidden = format!("// \"\n({})", "opt ".repeat(MAX_DEPTH + 1));
        assert_eq!(guard(&hidden).unwrap_err(), GuardError::TooDeep);
    }

    #[test]
    fn comments_are_cut_out_and_strings_are_not() {
        assert_eq!(
            guard("(1/* a /* b */ c */,2)// end").unwrap().as_str(),
            "(1 ,2) "
        );
        assert_eq!(guard("(\"// no\")").unwrap().as_str(), "(\"// no\")");
        assert_eq!(guard("(/** doc **/ 1)").unwrap().as_str(), "(  1)");
        let many = "//\n".repeat(200_000);
        assert!(!guard(&many).unwrap().as_str().contains('/'));
    }

    #[test]
    fn long_lines_are_broken_between_tokens_only() {
        let text = format!("(\"{}\", {})", "a;".repeat(2 * LINE), "1;2,".repeat(LINE));
        let guarded = guard(&text).unwrap();
        assert_eq!(guarded.as_str().replace('\n', ""), text);
        let mut lines = guarded.as_str().lines();
        assert!(lines.next().unwrap().contains(&"a;".repeat(2 * LINE)));
        assert!(lines.all(|line| line.len() <= LINE + 2));
        let short = "1;\n".repeat(LINE);
        assert_eq!(guard(&short).unwrap().as_str(), short);
    }

    #[test]
    fn every_limit_holds() {
        assert_eq!(
            guard(&" ".repeat(MAX_TEXT + 1)).unwrap_err(),
            GuardError::TooLong(MAX_TEXT + 1)
        );
        assert!(guard(&"(".repeat(MAX_DEPTH)).is_ok());
        assert_eq!(
            guard(&"(".repeat(MAX_DEPTH + 1)).unwrap_err(),
            GuardError::TooDeep
        );
        assert_eq!(
            guard(&"vec ".repeat(MAX_DEPTH + 1)).unwrap_err(),
            GuardError::TooDeep
        );
        let types = "type a = nat; ";
        assert!(guard(&types.repeat(MAX_TYPES)).is_ok());
        assert_eq!(
            guard(&types.repeat(MAX_TYPES + 1)).unwrap_err(),
            GuardError::TooManyTypes
        );
        assert_eq!(
            guard(&"9".repeat(MAX_NUMBER + 1)).unwrap_err(),
            GuardError::NumberTooLong
        );
        assert_eq!(guard("(0X1F)").unwrap_err(), GuardError::CapitalHex);
        assert_eq!(guard("(/* /* */").unwrap_err(), GuardError::OpenComment);
        assert_eq!(guard("(\"a\\\"").unwrap_err(), GuardError::OpenString);
    }

    fn fragments() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "(", ")", "{", "}", ";", ",", "opt ", "vec ", "record ", "variant ", "func ", "\"",
            "\\", "//", "/*", "*/", "\n", "1", "0x", "a", "=", ":", " -> ", "type ", "service ",
            "null", "é",
        ]);
        prop::collection::vec(pieces, 0..400).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// What the parser accepts is never nested deeper than what was counted, and nothing that passes
        /// overflows a small stack.
        #[test]
        fn what_passes_parses_on_a_small_stack(text in fragments()) {
            if let Ok(guarded) = guard(&text) {
                let text = guarded.as_str().to_owned();
                let counted = guarded.depth();
                let worker = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
                    let depth = candid_parser::parse_idl_args(&text)
                        .map_or(0, |args| args.args.iter().map(value_depth).max().unwrap_or(0));
                    let _ = text.parse::<candid_parser::IDLProg>();
                    depth
                });
                prop_assert!(worker.unwrap().join().unwrap() <= counted);
            }
        }
    }

    fn value_depth(value: &candid_parser::IDLValue) -> usize {
        use candid_parser::IDLValue;
        match value {
            IDLValue::Opt(inner) => 1 + value_depth(inner),
            IDLValue::Vec(items) => 1 + items.iter().map(value_depth).max().unwrap_or(0),
            IDLValue::Record(fields) => {
                1 + fields
                    .iter()
                    .map(|field| value_depth(&field.val))
                    .max()
                    .unwrap_or(0)
            }
            IDLValue::Variant(variant) => 1 + value_depth(&variant.0.val),
            _ => 0,
        }
    }
}
