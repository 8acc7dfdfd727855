//! What clients read before anything else: RFC 8414 and RFC 9728 metadata.

use http::{HeaderMap, header};
use serde_json::{Value, json};

use super::{
    answer::{Code, Refusal},
    device,
};
use crate::{
    instance::{Instance, InstanceName, PublicUrl},
    scope::Scopes,
};

/// What a server may offer or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offered {
    /// Whether anybody may introspect.
    pub(crate) introspection: bool,
    /// Whether devices are served.
    pub(crate) device_grant: bool,
    /// Whether clients may describe themselves with a metadata document.
    pub(crate) documents: bool,
}

/// RFC 8414 authorization server metadata.
pub(crate) fn server(instance: &Instance, offered: Offered) -> Value {
    let mut document = json!({
        "issuer": instance.issuer(),
        "authorization_endpoint": instance.endpoint("oauth/authorize"),
        "token_endpoint": instance.endpoint("oauth/token"),
        "registration_endpoint": instance.endpoint("oauth/register"),
        "revocation_endpoint": instance.endpoint("oauth/revoke"),
        "scopes_supported": scopes(instance),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
        "service_documentation": instance.public_url.as_str(),
    });
    if offered.documents {
        document["client_id_metadata_document_supported"] = true.into();
    }
    if offered.device_grant {
        document["device_authorization_endpoint"] =
            instance.endpoint("oauth/device_authorization").into();
        document["grant_types_supported"] =
            json!(["authorization_code", "refresh_token", device::GRANT_TYPE]);
    }
    if offered.introspection {
        document["introspection_endpoint"] = instance.endpoint("oauth/introspect").into();
        document["introspection_endpoint_auth_methods_supported"] = json!(["client_secret_basic"]);
    }
    document
}

/// RFC 9728 protected resource metadata, as seen through the host that was asked.
pub(crate) fn resource(instance: &Instance, headers: &HeaderMap) -> Value {
    json!({
        "resource": format!("{}{}", asked_origin(&instance.public_url, headers), instance.name.mcp_path()),
        "authorization_servers": [instance.issuer()],
        "scopes_supported": scopes(instance),
        "bearer_methods_supported": ["header"],
        "resource_name": "icgate",
        "resource_documentation": instance.public_url.as_str(),
    })
}

/// Where the resource metadata of an MCP endpoint lies, for a challenge.
pub(crate) fn resource_address(
    public_url: &PublicUrl,
    name: InstanceName,
    headers: &HeaderMap,
) -> String {
    format!(
        "{}/.well-known/oauth-protected-resource{}",
        asked_origin(public_url, headers),
        name.mcp_path()
    )
}

/// What a request may say of `resource` (RFC 8707): nothing, or this server.
pub(super) fn check_resource(instance: &Instance, resource: Option<&str>) -> Result<(), Refusal> {
    if resource.is_some_and(|resource| !is_our_resource(instance, resource)) {
        return Err(Refusal::new(
            Code::InvalidTarget,
            "resource names another server than this one.",
        ));
    }
    Ok(())
}

/// What is offered of the scopes that a request asks for (RFC 6749 section 3.3); all of them when it names none.
pub(super) fn check_scope(instance: &Instance, asked: Option<&str>) -> Result<Scopes, Refusal> {
    let offered = asked.map_or(instance.scopes, |asked| {
        Scopes::parse_lenient(asked).intersection(instance.scopes)
    });
    if offered.is_empty() {
        return Err(Refusal::new(
            Code::InvalidScope,
            "scope names nothing that this server offers; its metadata says what it does.",
        ));
    }
    Ok(offered)
}

/// Whether a `resource` parameter (RFC 8707) means this instance's MCP endpoint. Clients also send it with a
/// trailing slash, as the bare origin or, on loopback, under the other loopback name.
pub(crate) fn is_our_resource(instance: &Instance, resource: &str) -> bool {
    let resource = resource.strip_suffix('/').unwrap_or(resource);
    origins(&instance.public_url).iter().any(|origin| {
        resource
            .strip_prefix(origin.as_str())
            .is_some_and(|path| path.is_empty() || path == instance.name.mcp_path())
    })
}

fn scopes(instance: &Instance) -> Vec<&'static str> {
    instance.scopes.iter().map(|scope| scope.as_str()).collect()
}

/// On loopback a client believes only metadata that names the host it asked; elsewhere the origin is canonical.
fn asked_origin(public_url: &PublicUrl, headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    origins(public_url)
        .into_iter()
        .find(|origin| origin.split_once("://").is_some_and(|(_, at)| at == host))
        .unwrap_or_else(|| public_url.as_str().to_owned())
}

/// The canonical origin, then on loopback the same under the other names of loopback.
fn origins(public_url: &PublicUrl) -> Vec<String> {
    let canonical = public_url.as_str();
    let mut origins = vec![canonical.to_owned()];
    if public_url.is_loopback() {
        let host = public_url.host();
        origins.extend(
            ["127.0.0.1", "localhost"]
                .into_iter()
                .filter(|other| *other != host)
                .map(|other| canonical.replacen(&host, other, 1)),
        );
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oauth::tests::instances,
        scope::{Scope, Scopes},
    };

    const ALL: Offered = Offered {
        introspection: true,
        device_grant: true,
        documents: true,
    };
    const NONE: Offered = Offered {
        introspection: false,
        device_grant: false,
        documents: false,
    };

    fn asked(host: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::HOST, http::HeaderValue::from_static(host))])
    }

    #[test]
    fn issuer_and_resource_have_no_trailing_slash_and_no_null() {
        let [beta, prod] = instances("https://gate.example");
        assert_eq!(server(&beta, ALL)["issuer"], "https://gate.example");
        assert_eq!(server(&prod, ALL)["issuer"], "https://gate.example/prod");
        let resource = resource(&prod, &HeaderMap::new());
        assert_eq!(resource["resource"], "https://gate.example/mcp-prod");
        assert_eq!(
            resource["authorization_servers"][0],
            "https://gate.example/prod"
        );
        assert!(!server(&beta, ALL).to_string().contains("null"));
        assert!(server(&beta, NONE).get("introspection_endpoint").is_none());
        // Clients describe themselves with a document only when they see both.
        assert_eq!(
            server(&beta, ALL)["client_id_metadata_document_supported"],
            true
        );
        assert!(
            server(&beta, NONE)
                .get("client_id_metadata_document_supported")
                .is_none()
        );
        assert_eq!(
            server(&beta, ALL)["token_endpoint_auth_methods_supported"],
            json!(["none"])
        );
    }

    #[test]
    fn only_scopes_that_some_tool_needs_are_named() {
        let [mut beta, _] = instances("https://gate.example");
        let named = |instance: &Instance| {
            let resource = resource(instance, &HeaderMap::new());
            let server = server(instance, NONE);
            assert_eq!(server["scopes_supported"], resource["scopes_supported"]);
            resource["scopes_supported"].clone()
        };
        assert_eq!(named(&beta), json!(["ic:read", "ic:write", "ic:manage"]));
        beta.scopes = Scopes::from_iter([Scope::Read]);
        assert_eq!(named(&beta), json!(["ic:read"]));
    }

    #[test]
    fn the_device_grant_is_named_where_it_is_on() {
        let [beta, prod] = instances("https://gate.example");
        let on = server(&beta, ALL);
        assert_eq!(
            on["device_authorization_endpoint"],
            "https://gate.example/oauth/device_authorization"
        );
        let named = |metadata: &Value| {
            let grants = metadata["grant_types_supported"].as_array().unwrap();
            grants.contains(&device::GRANT_TYPE.into())
        };
        let off = server(&prod, NONE);
        assert!(named(&on) && !named(&off));
        assert!(off.get("device_authorization_endpoint").is_none());
    }

    #[test]
    fn loopback_answers_with_the_host_that_was_asked_and_only_there() {
        let [beta, _] = instances("http://127.0.0.1:8000");
        for (host, expected) in [
            ("localhost:8000", "http://localhost:8000/mcp"),
            ("127.0.0.1:8000", "http://127.0.0.1:8000/mcp"),
            ("evil.example", "http://127.0.0.1:8000/mcp"),
            ("localhost:9", "http://127.0.0.1:8000/mcp"),
        ] {
            let document = resource(&beta, &asked(host));
            assert_eq!(document["resource"], expected, "{host}");
            assert_eq!(
                document["authorization_servers"][0],
                "http://127.0.0.1:8000"
            );
        }
        let [hosted, _] = instances("https://gate.example");
        assert_eq!(
            resource(&hosted, &asked("localhost"))["resource"],
            "https://gate.example/mcp"
        );
    }

    #[test]
    fn tolerated_spellings_of_the_resource_are_ours() {
        let [beta, prod] = instances("http://127.0.0.1:8000");
        for ours in [
            "http://127.0.0.1:8000/mcp",
            "http://127.0.0.1:8000/mcp/",
            "http://127.0.0.1:8000",
            "http://127.0.0.1:8000/",
            "http://localhost:8000/mcp",
        ] {
            assert!(is_our_resource(&beta, ours), "{ours}");
        }
        for foreign in [
            "http://127.0.0.1:8000/mcp-prod",
            "http://127.0.0.1:80000/mcp",
            "http://127.0.0.1:8000/mcp//",
            "http://127.0.0.1:8000.evil.example/mcp",
            "https://127.0.0.1:8000/mcp",
            "https://other.example/mcp",
        ] {
            assert!(!is_our_resource(&beta, foreign), "{foreign}");
        }
        assert!(!is_our_resource(&prod, "http://127.0.0.1:8000/mcp"));
    }
}
