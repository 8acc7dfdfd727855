use askama::Template;
use http::StatusCode;

use super::{Policy, connections::Row, nonce, render};
use crate::{
    body::Response,
    store::{Listed, Moment},
};

/// What the user is asked about the connections beside a new one.
pub(crate) struct Question<'a> {
    pub(crate) action: String,
    /// The sign-in that asks.
    pub(crate) sign_in: &'a str,
    pub(crate) csrf: String,
    /// The client that is being connected.
    pub(crate) client_name: Option<&'a str>,
    pub(crate) others: &'a [Listed],
    /// How long the answer is waited for.
    pub(crate) minutes: u64,
    /// Whether the other instance points at the same Internet Identity, so that the two share one grant.
    pub(crate) shared_identity: bool,
}

#[derive(Template)]
#[template(path = "question.html")]
struct Page<'a> {
    nonce: &'a str,
    question: &'a Question<'a>,
    client_name: &'a str,
    rows: Vec<Row>,
}

/// Asks which of the user's other connections go on.
pub(crate) fn question(question: &Question<'_>) -> Response {
    let nonce = nonce();
    let now = Moment::now();
    let page = Page {
        nonce: &nonce,
        question,
        client_name: question.client_name.unwrap_or("an unnamed app"),
        rows: question
            .others
            .iter()
            .map(|other| Row::of(other, None, now))
            .collect(),
    };
    let policy = Policy {
        form_action: Some("'self'".to_owned()),
        referrer: Some("same-origin"),
        script: false,
    };
    render(StatusCode::OK, &page, &nonce, &policy)
}

#[derive(Template)]
#[template(path = "back_to_app.html")]
struct Back<'a> {
    nonce: &'a str,
    title: &'static str,
    address: &'a str,
}

/// Says what happened and brings the browser to an app's address, by itself and without a script.
pub(crate) fn back_to_app(title: &'static str, address: &str) -> Response {
    let nonce = nonce();
    let page = Back {
        nonce: &nonce,
        title,
        address,
    };
    render(StatusCode::OK, &page, &nonce, &Policy::default())
}
