use askama::Template;
use http::StatusCode;

use super::{Policy, nonce, render};
use crate::body::Response;

#[derive(Template)]
#[template(path = "error.html")]
struct Page<'a> {
    nonce: &'a str,
    title: &'static str,
    text: &'a str,
}

/// Says what happened and what to do.
pub(crate) fn error(status: StatusCode, text: &str) -> Response {
    let title = match status {
        StatusCode::UNAUTHORIZED => "Sign-in is needed",
        StatusCode::FORBIDDEN => "This is not allowed",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        StatusCode::SERVICE_UNAVAILABLE => "Not available right now",
        _ if status.is_server_error() => "Something went wrong here",
        _ => "This link does not work",
    };
    let nonce = nonce();
    let page = Page {
        nonce: &nonce,
        title,
        text,
    };
    render(status, &page, &nonce, &Policy::default())
}
