//! Errors in the form that whoever asked can read.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::{
    body::{self, Response},
    pages,
};

/// Who reads an answer, as the request's Accept tells (RFC 9110 section 12.5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// A person in front of a browser, which asks for `text/html` by name.
    Person,
    /// Anything else.
    Program,
}

impl Reader {
    pub(crate) fn of(request_headers: &HeaderMap) -> Self {
        let asks_for_pages = request_headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|accept| accept.contains("text/html"));
        if asks_for_pages {
            Reader::Person
        } else {
            Reader::Program
        }
    }

    /// A page for a person, `error` and `error_description` for a program. No cache keeps it: the next reader may be
    /// of the other kind.
    pub(crate) fn error(self, status: StatusCode, error: &str, description: &str) -> Response {
        match self {
            Reader::Person => pages::error(status, description),
            Reader::Program => {
                let mut response = body::json(
                    status,
                    &json!({ "error": error, "error_description": description }),
                );
                response
                    .headers_mut()
                    .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
        }
    }
}
