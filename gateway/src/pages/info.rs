use askama::Template;
use http::StatusCode;

use super::{Policy, nonce, render};
use crate::{
    body::Response,
    instance::{Instance, InstanceName},
};

#[derive(Template)]
#[template(path = "info.html")]
struct Page<'a> {
    nonce: &'a str,
    endpoints: Vec<Endpoint>,
}

struct Endpoint {
    title: &'static str,
    name: &'static str,
    url: String,
    identity_host: String,
}

/// What this server is and how to connect to it.
pub(crate) fn info(instances: &[Instance]) -> Response {
    let nonce = nonce();
    let endpoints = instances
        .iter()
        .map(|instance| Endpoint {
            title: match instance.name {
                InstanceName::Beta => "Address",
                InstanceName::Prod => "Address with production Internet Identity",
            },
            name: connection_name(instance),
            url: instance.resource(),
            identity_host: identity_host(instance),
        })
        .collect();
    let page = Page {
        nonce: &nonce,
        endpoints,
    };
    render(StatusCode::OK, &page, &nonce, &Policy::default())
}

/// What a client calls its connection to an instance.
pub(super) fn connection_name(instance: &Instance) -> &'static str {
    match instance.name {
        InstanceName::Beta => "icgate",
        InstanceName::Prod => "icgate-prod",
    }
}

/// The Internet Identity deployment as people know it.
pub(super) fn identity_host(instance: &Instance) -> String {
    instance.ii_url.host_str().unwrap_or_default().to_owned()
}
