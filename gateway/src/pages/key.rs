use askama::Template;
use http::StatusCode;
use serde_json::json;

use super::{Policy, connections::may, info::connection_name, nonce, render, when};
use crate::{body::Response, instance::Instance, scope::Scopes, store::Moment};

/// A key that was just made.
pub(crate) struct NewKey<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) name: &'a str,
    /// The key itself.
    pub(crate) text: &'a str,
    pub(crate) scopes: Scopes,
    pub(crate) expires_at: Moment,
    /// Where the connections page is.
    pub(crate) back: &'a str,
}

#[derive(Template)]
#[template(path = "key.html")]
struct Page<'a> {
    nonce: &'a str,
    key: &'a NewKey<'a>,
    may: String,
    until: String,
    claude_code: String,
    cursor: String,
    vs_code: String,
    url: String,
}

/// Shows a key this once, with the line that connects each client.
pub(crate) fn new_key(key: &NewKey<'_>) -> Response {
    let nonce = nonce();
    let (name, url) = (connection_name(key.instance), key.instance.resource());
    let header = format!("Bearer {}", key.text);
    let servers =
        json!({ "mcpServers": { name: { "url": url, "headers": { "Authorization": header } } } });
    let server =
        json!({ "name": name, "type": "http", "url": url, "headers": { "Authorization": header } });
    let page = Page {
        nonce: &nonce,
        key,
        may: may(key.scopes),
        until: when::at(key.expires_at),
        claude_code: format!(
            "claude mcp add --transport http {name} {url} --header \"Authorization: {header}\""
        ),
        cursor: format!("{servers:#}"),
        vs_code: format!("code --add-mcp '{server}'"),
        url,
    };
    render(StatusCode::OK, &page, &nonce, &Policy::default())
}
