//! What a site's answer says beside its text.

use http::header;
use url::Url;

use crate::{fetch::Answer, ic::CanisterId};

/// Names the canister that answered; set by the IC's HTTP gateways on every answer, errors included.
const CANISTER_HEADER: &str = "x-ic-canister-id";

/// The canister that serves a site, when the origin that was asked says so itself. Anybody can send this header: it
/// tells a site on the Internet Computer from one that is not, and proves nothing.
pub(super) fn frontend(answer: &Answer, asked: &Url) -> Option<CanisterId> {
    if !answer.is_of(asked) {
        return None;
    }
    let mut values = answer.headers.get_all(CANISTER_HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    CanisterId::parse(value.to_str().ok()?).ok()
}

/// Whether an answer is a page for people: sites of one page give it for every address they do not know.
pub(super) fn is_html(answer: &Answer) -> bool {
    let kind = answer.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let typed = kind
        .trim_start()
        .to_ascii_lowercase()
        .starts_with("text/html");
    let text = answer.body.trim_ascii_start();
    typed || text.starts_with(b"<") || text.starts_with(b"\xef\xbb\xbf<")
}
