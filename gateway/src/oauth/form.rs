//! Parameters of queries and `application/x-www-form-urlencoded` bodies.

use std::borrow::Cow;

use url::form_urlencoded;

/// More parameters than any request of OAuth has.
const MAX_PARAMETERS: usize = 64;

/// The parameters of one request in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// Why a form cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    #[error("too many parameters")]
    TooMany,
    #[error("a parameter occurs twice")]
    Duplicate,
}

impl<'a> Form<'a> {
    /// Reads a form in which no parameter may occur twice (RFC 6749 section 3.1).
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, FormError> {
        let form = Self::parse_lists(bytes)?;
        for (position, (name, _)) in form.0.iter().enumerate() {
            if form.0[..position]
                .iter()
                .any(|(earlier, _)| earlier == name)
            {
                return Err(FormError::Duplicate);
            }
        }
        Ok(form)
    }

    /// Reads a form in which a parameter may occur several times, as checkboxes do.
    pub(crate) fn parse_lists(bytes: &'a [u8]) -> Result<Self, FormError> {
        let pairs: Vec<_> = form_urlencoded::parse(bytes)
            .take(MAX_PARAMETERS + 1)
            .collect();
        if pairs.len() > MAX_PARAMETERS {
            return Err(FormError::TooMany);
        }
        Ok(Self(pairs))
    }

    /// A parameter's value; an empty one counts as absent (RFC 6749 section 3.1).
    pub(crate) fn get<'s>(&'s self, name: &'s str) -> Option<&'s str> {
        self.all(name).next()
    }

    /// All values of a parameter that are not empty.
    pub(crate) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.0
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| &**value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn empty_values_are_absent_and_duplicates_refused() {
        let form = Form::parse(b"a=1&b=&c=%20x%2B+").unwrap();
        assert_eq!(form.get("a"), Some("1"));
        assert_eq!(form.get("b"), None);
        assert_eq!(form.get("c"), Some(" x+ "));
        assert_eq!(Form::parse(b"a=1&a=1").unwrap_err(), FormError::Duplicate);
        assert_eq!(Form::parse(b"a=1&%61=").unwrap_err(), FormError::Duplicate);
        let many = "x&".repeat(MAX_PARAMETERS + 1);
        assert_eq!(
            Form::parse_lists(many.as_bytes()).unwrap_err(),
            FormError::TooMany
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = Form::parse(&bytes);
        }

        #[test]
        fn what_was_encoded_is_read_back(pairs in proptest::collection::btree_map("[a-z]{1,8}", "\\PC{1,16}", 0..8)) {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let form = Form::parse(body.as_bytes()).unwrap();
            for (name, value) in &pairs {
                prop_assert_eq!(form.get(name), Some(value.as_str()));
            }
        }
    }
}
