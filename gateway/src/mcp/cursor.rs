//! Lists a page at a time.

use super::{arguments::Arguments, failure::Failure};

/// Where a page begins. Opaque to callers: they send back what they got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor(usize);

impl Cursor {
    /// Takes the argument `cursor`; the beginning when it is left out.
    pub(super) fn take(arguments: &mut Arguments) -> Result<Self, Failure> {
        let Some(text) = arguments.optional_text("cursor")? else {
            return Ok(Self(0));
        };
        let digits = text.strip_prefix('p').filter(|digits| digits.len() <= 9);
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(at) => Ok(Self(at)),
            None => Err(Failure::argument(
                "cursor",
                "must be the `next_cursor` of the page before; leave it out for the first page",
            )),
        }
    }

    /// The page that begins here, and the cursor of the next one if there is more.
    pub(super) fn page<T>(self, all: &[T], most: usize) -> (&[T], Option<String>) {
        let start = self.0.min(all.len());
        let end = all.len().min(start + most);
        (&all[start..end], next(end, all.len()))
    }

    /// The same of a text, counted in bytes and ending with a line where there is one to end with.
    pub(super) fn part(self, all: &str, most: usize) -> (&str, Option<String>) {
        let start = all.floor_char_boundary(self.0.min(all.len()));
        let mut end = all.floor_char_boundary((start + most).min(all.len()));
        if end < all.len()
            && let Some(line) = all[start..end].rfind('\n')
        {
            end = start + line + 1;
        }
        (&all[start..end], next(end, all.len()))
    }
}

fn next(end: usize, length: usize) -> Option<String> {
    (end < length).then(|| format!("p{end}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor(text: &str) -> Result<Cursor, Failure> {
        let arguments = serde_json::json!({ "cursor": text });
        Cursor::take(&mut Arguments::new(arguments.as_object().cloned()))
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let all = [1, 2, 3, 4, 5];
        let (page, next) = Cursor(0).page(&all, 2);
        assert_eq!(page, [1, 2]);
        let (page, next) = cursor(&next.unwrap()).unwrap().page(&all, 3);
        assert_eq!((page, next), (&[3, 4, 5][..], None));
        assert_eq!(cursor("p99").unwrap().page(&all, 2), (&[][..], None));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "0", "p", "p-1", "px", "p99999999999999999999", "P1"] {
            assert!(cursor(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parts_of_a_text_are_the_text(text in "(\n|ä|\\PC){0,100}", most in 4_usize..20) {
            let (mut whole, mut at) = (String::new(), Cursor(0));
            loop {
                let (part, next) = at.part(&text, most);
                whole.push_str(part);
                let Some(next) = next else { break };
                at = cursor(&next).unwrap();
            }
            prop_assert_eq!(whole, text);
        }
    }
}
