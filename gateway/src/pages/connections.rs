use askama::Template;
use http::StatusCode;

use super::{
    Policy,
    consent::{Choice, choices, leads_to_identity},
    info::identity_host,
    nonce, render, when,
};
use crate::{
    body::Response,
    connection::AccessLevel,
    instance::Instance,
    oauth::{API_KEY, BROWSER, KEY_DAYS},
    scope::{Scope, Scopes},
    store::{Listed, Moment, records::Connection},
};

/// What the connections page shows.
pub(crate) struct Connections<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) action: String,
    pub(crate) csrf: String,
    /// This browser's own.
    pub(crate) own: &'a Connection,
    pub(crate) listed: &'a [Listed],
    pub(crate) now: Moment,
    /// What was wrong with the form that was just sent.
    pub(crate) problem: Option<&'static str>,
}

/// A connection as a person reads it.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    /// Whether it is the browser that shows the page.
    pub(super) own: bool,
    pub(super) since: String,
    pub(super) used: String,
    pub(super) may: String,
    pub(super) level: &'static str,
    pub(super) until: String,
}

impl Row {
    pub(super) fn of(listed: &Listed, own: Option<&Connection>, now: Moment) -> Self {
        let connection = &listed.connection;
        let name = connection.client_name.as_deref();
        Self {
            id: connection.id.as_str().to_owned(),
            name: name.unwrap_or("An unnamed app").to_owned(),
            kind: match connection.client_id.as_str() {
                BROWSER => "Browser",
                API_KEY => "API key",
                _ => "App",
            },
            own: own.is_some_and(|own| own.id == connection.id),
            since: when::at(connection.created_at),
            used: when::ago(listed.last_used_at, now),
            may: may(connection.scopes),
            level: match connection.access_level {
                AccessLevel::All => "Actions and questions",
                AccessLevel::Queries => "Questions only",
            },
            until: when::at(connection.expires_at),
        }
    }
}

/// Scopes as the consent page names them.
pub(super) fn may(scopes: Scopes) -> String {
    let names: Vec<_> = scopes
        .iter()
        .map(|scope| match scope {
            Scope::Read => "read",
            Scope::Write => "act",
            Scope::Manage => "manage canisters",
        })
        .collect();
    names.join(", ")
}

#[derive(Template)]
#[template(path = "connections.html")]
struct Page<'a> {
    nonce: &'a str,
    action: &'a str,
    csrf: &'a str,
    identity_host: String,
    rows: Vec<Row>,
    choices: Vec<Choice>,
    days: Vec<Days>,
    problem: Option<&'static str>,
}

/// A life that a key may have.
struct Days {
    value: u64,
    title: String,
}

/// Lists the user's connections, each with a button that ends it, and has a form for a new API key.
pub(crate) fn connections(shown: &Connections<'_>) -> Response {
    let nonce = nonce();
    let (own, now) = (shown.own, shown.now);
    let days = KEY_DAYS.into_iter().filter_map(|days| {
        let title = match days {
            0 => format!(
                "As long as this browser, until {}",
                when::at(own.expires_at)
            ),
            _ if now.plus(days * 24 * 3600) >= own.expires_at => return None,
            1 => "One day".to_owned(),
            days => format!("{days} days"),
        };
        Some(Days { value: days, title })
    });
    let rows = shown.listed.iter();
    let mut rows: Vec<_> = rows.map(|listed| Row::of(listed, Some(own), now)).collect();
    // This browser stands first; the others keep their order.
    rows.sort_by_key(|row| !row.own);
    let page = Page {
        nonce: &nonce,
        action: &shown.action,
        csrf: &shown.csrf,
        identity_host: identity_host(shown.instance),
        rows,
        choices: choices(own.scopes, [Scope::Read].into_iter().collect()),
        days: days.collect(),
        problem: shown.problem,
    };
    let policy = Policy {
        form_action: Some("'self'".to_owned()),
        referrer: Some("same-origin"),
        script: false,
    };
    render(StatusCode::OK, &page, &nonce, &policy)
}

#[derive(Template)]
#[template(path = "browser_sign_in.html")]
struct SignIn<'a> {
    nonce: &'a str,
    action: &'a str,
    identity_host: String,
}

/// What a browser without a session sees of the connections page.
pub(crate) fn browser_sign_in(instance: &Instance, action: &str) -> Response {
    let nonce = nonce();
    let page = SignIn {
        nonce: &nonce,
        action,
        identity_host: identity_host(instance),
    };
    render(StatusCode::OK, &page, &nonce, &leads_to_identity(instance))
}
