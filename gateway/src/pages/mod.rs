//! Pages people see: one small design without anything from elsewhere.
//!
//! Every page has its own nonce and a policy that allows only what carries it; nothing of a request is written into
//! a page unescaped.

mod callback;
mod connections;
mod consent;
mod device;
mod error;
mod info;
mod key;
mod question;
mod when;

use askama::Template;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};

pub(crate) use callback::{callback, finish};
pub(crate) use connections::{Connections, browser_sign_in, connections};
pub(crate) use consent::{Consent, consent};
pub(crate) use device::{DeviceCode, DeviceConfirm, device_code, device_confirm, device_notice};
pub(crate) use error::error;
pub(crate) use info::info;
pub(crate) use key::{NewKey, new_key};
pub(crate) use question::{Question, back_to_app, question};

use crate::{
    body::{self, Response},
    oauth::random,
};

/// What a page may do besides showing itself.
#[derive(Debug, Default)]
struct Policy {
    /// Whether it has a script of its own, which may call this server.
    script: bool,
    /// Where its form may lead, redirects included; CSP sources.
    form_action: Option<String>,
    /// Value of Referrer-Policy. `no-referrer` makes browsers send `Origin: null` with a form, so a page with a
    /// form says `same-origin`.
    referrer: Option<&'static str>,
}

/// A fresh CSP nonce: 128 random bits in standard base64, the only alphabet CSP level 2 has.
fn nonce() -> String {
    STANDARD.encode(random::<16>())
}

fn render(status: StatusCode, page: &impl Template, nonce: &str, policy: &Policy) -> Response {
    let html = page.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a page could not be rendered");
        String::new()
    });
    let script = if policy.script {
        format!("script-src 'nonce-{nonce}'; connect-src 'self'; ")
    } else {
        String::new()
    };
    let form_action = policy.form_action.as_deref().unwrap_or("'none'");
    let csp = format!(
        "default-src 'none'; {script}style-src 'nonce-{nonce}'; img-src 'self'; base-uri 'none'; \
         form-action {form_action}; frame-ancestors 'none'"
    );
    let mut response = Response::new(body::full(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            header::REFERRER_POLICY,
            policy.referrer.unwrap_or("no-referrer"),
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(csp) = HeaderValue::try_from(csp) {
        headers.insert(header::CONTENT_SECURITY_POLICY, csp);
    }
    response
}
