use askama::Template;
use http::StatusCode;

use super::{Policy, nonce, render};
use crate::{
    body::Response,
    instance::{Instance, InstanceName},
    oauth::connections_page,
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
    /// Where the person sees what is connected.
    connections: String,
    /// Whether clients that run elsewhere can reach it.
    public: bool,
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
            connections: connections_page(instance),
            public: !instance.public_url.is_loopback(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{body, oauth::tests::instances};

    async fn page(public_url: &str) -> String {
        let response = info(&instances(public_url));
        let html = body::read(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(html.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_client_is_told_how_with_the_address_of_each_instance() {
        let html = page("https://gate.example").await;
        for line in [
            "claude mcp add --transport http icgate https://gate.example/mcp",
            "claude mcp add --transport http icgate-prod https://gate.example/mcp-prod",
            "Add custom connector",
            "\"icgate\": {\n      \"url\": \"https://gate.example/mcp\"\n    }",
            "code --add-mcp '{\"name\":\"icgate-prod\",\"type\":\"http\",\"url\":\"https://gate.example/mcp-prod\"}'",
            "Developer mode",
        ] {
            assert!(html.contains(line), "{line}: {html}");
        }
        assert!(!html.contains("runs elsewhere"));
    }

    #[tokio::test]
    async fn the_connections_of_each_instance_are_one_link_away() {
        let html = page("https://gate.example").await;
        for link in [
            "href=\"https://gate.example/connections\"",
            "href=\"https://gate.example/prod/connections\"",
        ] {
            assert!(html.contains(link), "{link}: {html}");
        }
    }

    #[tokio::test]
    async fn hosted_clients_are_not_sent_to_loopback() {
        let html = page("http://127.0.0.1:8000").await;
        assert!(
            html.contains("Claude.ai runs elsewhere") && html.contains("ChatGPT runs elsewhere")
        );
        assert!(!html.contains("Add custom connector") && !html.contains("Developer mode"));
    }
}
