use askama::Template;
use http::StatusCode;

use super::{Policy, nonce, render};
use crate::body::Response;

#[derive(Template)]
#[template(path = "callback.html")]
struct Page<'a> {
    nonce: &'a str,
}

/// The pinned page Internet Identity sends the browser back to: takes the delegation chain out of the fragment,
/// removes it from the address and hands it to the redeem endpoint.
pub(crate) fn callback() -> Response {
    let nonce = nonce();
    let policy = Policy {
        script: true,
        ..Policy::default()
    };
    render(StatusCode::OK, &Page { nonce: &nonce }, &nonce, &policy)
}
