use askama::Template;
use http::StatusCode;

use super::{Policy, info::identity_host, nonce, render};
use crate::{
    body::Response,
    instance::Instance,
    scope::{Scope, Scopes},
};

/// What a consent page shows and carries.
pub(crate) struct Consent<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) client_name: Option<&'a str>,
    /// Host of the client's metadata document, if it has one.
    pub(crate) described_by: Option<String>,
    pub(crate) redirect_host: String,
    /// Whether the answer stays on the person's computer.
    pub(crate) local: bool,
    /// Whether the other instance points at the same Internet Identity, so that the two share one grant.
    pub(crate) shared_identity: bool,
    pub(crate) offered: Scopes,
    pub(crate) ticked: Scopes,
    /// The authorization request, carried through the form.
    pub(crate) query: &'a str,
    pub(crate) csrf: String,
    /// What was wrong with the form that was just sent.
    pub(crate) problem: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "consent.html")]
struct Page<'a> {
    nonce: &'a str,
    client_name: &'a str,
    described_by: Option<&'a str>,
    redirect_host: &'a str,
    local: bool,
    shared_identity: bool,
    identity_host: String,
    action: String,
    query: &'a str,
    csrf: &'a str,
    choices: Vec<Choice>,
    problem: Option<&'static str>,
}

/// A scope as the person may tick it.
pub(super) struct Choice {
    pub(super) scope: Scope,
    pub(super) ticked: bool,
    pub(super) title: &'static str,
    pub(super) detail: &'static str,
}

/// Asks the person before the browser leaves for Internet Identity.
pub(crate) fn consent(consent: &Consent<'_>) -> Response {
    let nonce = nonce();
    let page = Page {
        nonce: &nonce,
        client_name: consent.client_name.unwrap_or("an unnamed app"),
        described_by: consent.described_by.as_deref(),
        redirect_host: &consent.redirect_host,
        local: consent.local,
        shared_identity: consent.shared_identity,
        identity_host: identity_host(consent.instance),
        action: consent.instance.endpoint("oauth/authorize"),
        query: consent.query,
        csrf: &consent.csrf,
        choices: choices(consent.offered, consent.ticked),
        problem: consent.problem,
    };
    render(
        StatusCode::OK,
        &page,
        &nonce,
        &leads_to_identity(consent.instance),
    )
}

/// The form's answer leads to Internet Identity, and browsers hold redirects to the policy too.
pub(super) fn leads_to_identity(instance: &Instance) -> Policy {
    Policy {
        form_action: Some(format!(
            "'self' {}",
            instance.ii_url.origin().ascii_serialization()
        )),
        referrer: Some("same-origin"),
        script: false,
    }
}

/// What the person may tick, as it stands beforehand.
pub(super) fn choices(offered: Scopes, ticked: Scopes) -> Vec<Choice> {
    offered
        .iter()
        .map(|scope| choice(scope, ticked.contains(scope)))
        .collect()
}

fn choice(scope: Scope, ticked: bool) -> Choice {
    let (title, detail) = match scope {
        Scope::Read => (
            "Read",
            "Look things up and ask apps questions, as you where you have an account.",
        ),
        Scope::Write => (
            "Act",
            "Make changes in apps as you: send, post, transfer, vote.",
        ),
        Scope::Manage => (
            "Manage canisters",
            "Install, stop and delete canisters; together with Read and Act, also create them and pay for them.",
        ),
    };
    Choice {
        scope,
        ticked,
        title,
        detail,
    }
}
