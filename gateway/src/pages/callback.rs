use askama::Template;
use http::StatusCode;

use super::{Policy, nonce, render};
use crate::body::Response;

#[derive(Template)]
#[template(path = "callback.html")]
struct Page<'a> {
    nonce: &'a str,
    /// Address of the redeem endpoint, relative to the page's.
    redeem: &'static str,
}

/// The pinned page Internet Identity sends the browser back to: takes the delegation chain out of the fragment,
/// removes it from the address and hands it to the redeem endpoint.
pub(crate) fn callback() -> Response {
    page("redeem")
}

/// The same at the end of the handshake `key-request`: what the browser brings stands in the query. It waits until
/// Internet Identity confirms that the person has registered the key.
pub(crate) fn finish() -> Response {
    page("connect/redeem")
}

fn page(redeem: &'static str) -> Response {
    let nonce = nonce();
    let policy = Policy {
        script: true,
        ..Policy::default()
    };
    let page = Page {
        nonce: &nonce,
        redeem,
    };
    render(StatusCode::OK, &page, &nonce, &policy)
}
