use askama::Template;
use http::StatusCode;

use super::{
    Policy,
    consent::{Choice, choices, leads_to_identity},
    nonce, render,
};
use crate::{body::Response, instance::Instance, scope::Scopes};

/// The form for the code that a device shows.
pub(crate) struct DeviceCode {
    pub(crate) status: StatusCode,
    pub(crate) action: String,
    /// As it came with the link.
    pub(crate) user_code: Option<String>,
    pub(crate) csrf: String,
    /// What was wrong with the form that was just sent.
    pub(crate) problem: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "device_code.html")]
struct CodePage<'a> {
    nonce: &'a str,
    device: &'a DeviceCode,
}

/// Asks for the code.
pub(crate) fn device_code(device: &DeviceCode) -> Response {
    let nonce = nonce();
    let page = CodePage {
        nonce: &nonce,
        device,
    };
    let policy = Policy {
        form_action: Some("'self'".to_owned()),
        referrer: Some("same-origin"),
        script: false,
    };
    render(device.status, &page, &nonce, &policy)
}

/// What the person confirms about a device.
pub(crate) struct DeviceConfirm<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) action: String,
    pub(crate) client_name: Option<&'a str>,
    /// Host of the client's metadata document, if it has one.
    pub(crate) described_by: Option<String>,
    pub(crate) user_code: String,
    /// Where the device asked from.
    pub(crate) address: &'a str,
    pub(crate) minutes_ago: u64,
    pub(crate) offered: Scopes,
    pub(crate) ticked: Scopes,
    /// Whether the other instance points at the same Internet Identity, so that the two share one grant.
    pub(crate) shared_identity: bool,
    pub(crate) csrf: String,
    /// What was wrong with the form that was just sent.
    pub(crate) problem: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "device_confirm.html")]
struct ConfirmPage<'a> {
    nonce: &'a str,
    device: &'a DeviceConfirm<'a>,
    client_name: &'a str,
    identity_host: String,
    choices: Vec<Choice>,
}

/// Says who asks, and has the person compare the code once more.
pub(crate) fn device_confirm(device: &DeviceConfirm<'_>) -> Response {
    let nonce = nonce();
    let page = ConfirmPage {
        nonce: &nonce,
        device,
        client_name: device.client_name.unwrap_or("an unnamed app"),
        identity_host: super::info::identity_host(device.instance),
        choices: choices(device.offered, device.ticked),
    };
    render(
        StatusCode::OK,
        &page,
        &nonce,
        &leads_to_identity(device.instance),
    )
}

#[derive(Template)]
#[template(path = "device_notice.html")]
struct NoticePage<'a> {
    nonce: &'a str,
    title: &'static str,
    text: &'static str,
}

/// The end of a device's sign-in in the browser.
pub(crate) fn device_notice(title: &'static str, text: &'static str) -> Response {
    let nonce = nonce();
    let page = NoticePage {
        nonce: &nonce,
        title,
        text,
    };
    render(StatusCode::OK, &page, &nonce, &Policy::default())
}
