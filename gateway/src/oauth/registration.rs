//! Dynamic client registration (RFC 7591).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    answer::{Code, Refusal},
    credential::{Credential, random_name},
    device,
    redirect::AllowList,
};
use crate::{
    candid::foreign::is_plain,
    instance::Instance,
    store::{Moment, records::Client},
};

/// What the id of a registered client begins with; 128 random bits follow.
const ID_PREFIX: &str = "icg_client_";
/// Longest registration that is read, in bytes. Less of it is kept: clients also send keys, logos and statements.
pub(crate) const MAX_BODY: usize = 64 * 1024;
const MAX_REDIRECTS: usize = 16;
/// Longest client name that is kept, in characters.
const MAX_NAME: usize = 80;

/// The metadata members that mean something here; what else a client sends is ignored (section 2).
#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(default)]
    redirect_uris: Option<Vec<String>>,
    #[serde(default)]
    client_name: Option<String>,
    #[serde(default)]
    grant_types: Option<Vec<String>>,
    #[serde(default)]
    response_types: Option<Vec<String>>,
}

/// Whether an id was given by registration, so that only the client it was given to knows it.
pub(crate) fn gave(client_id: &str) -> bool {
    client_id.starts_with(ID_PREFIX)
}

/// Decides about a registration of which at most `kept` bytes are kept.
pub(crate) fn register(
    body: &[u8],
    allowed: &AllowList,
    kept: usize,
    now: Moment,
) -> Result<Client, Refusal> {
    let id = format!("{ID_PREFIX}{}", random_name());
    bounded(client(id, members(body)?, allowed, now)?, kept)
}

/// The members of a registration. An object first: the derived reader would also take an array of the values.
pub(super) fn members(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    serde_json::from_slice(body).map_err(|_| not_metadata())
}

/// What anybody may have kept is bounded.
pub(super) fn bounded(client: Client, kept: usize) -> Result<Client, Refusal> {
    let uris: usize = client.redirect_uris.iter().map(String::len).sum();
    if uris + client.name.as_ref().map_or(0, String::len) > kept {
        return Err(bad_redirect(
            "The redirect URIs together are longer than this server keeps; register fewer or shorter ones.",
        ));
    }
    Ok(client)
}

/// The client that these members describe, when the rules allow it.
pub(super) fn client(
    id: String,
    members: Map<String, Value>,
    allowed: &AllowList,
    now: Moment,
) -> Result<Client, Refusal> {
    let metadata: Metadata = serde_json::from_value(members.into()).map_err(|_| not_metadata())?;
    let grants = metadata.grant_types.as_deref();
    let asks = |grant: &str| grants.is_none_or(|types| types.iter().any(|kind| kind == grant));
    let may_use_device = grants.is_some() && asks(device::GRANT_TYPE);
    let may_use_code = asks("authorization_code");
    if !may_use_code && !may_use_device {
        return Err(bad_metadata(
            "The grant type authorization_code or that of the device grant is needed; refresh_token is the other one \
             offered.",
        ));
    }
    let redirect_uris = if may_use_code {
        redirect_uris(metadata.redirect_uris.unwrap_or_default(), allowed)?
    } else {
        // Nothing is ever sent there.
        Vec::new()
    };
    if let Some(types) = &metadata.response_types
        && may_use_code
        && !types.iter().any(|kind| kind == "code")
    {
        return Err(bad_metadata("Only the response type code is offered."));
    }
    Ok(Client {
        id,
        name: metadata.client_name.as_deref().and_then(clean_name),
        may_refresh: asks("refresh_token"),
        may_use_device,
        redirect_uris,
        created_at: now,
    })
}

/// The client with the grants that this server offers.
pub(crate) fn as_offered(client: Client, device_grant: bool) -> Result<Client, Refusal> {
    if device_grant {
        return Ok(client);
    }
    if client.redirect_uris.is_empty() {
        return Err(bad_metadata(
            "This server does not offer the device grant; register for authorization_code.",
        ));
    }
    Ok(Client {
        may_use_device: false,
        ..client
    })
}

fn redirect_uris(redirect_uris: Vec<String>, allowed: &AllowList) -> Result<Vec<String>, Refusal> {
    if redirect_uris.is_empty() {
        return Err(bad_redirect("At least one redirect URI is needed."));
    }
    if redirect_uris.len() > MAX_REDIRECTS {
        return Err(bad_redirect("At most 16 redirect URIs are accepted."));
    }
    if redirect_uris.iter().any(|uri| allowed.check(uri).is_err()) {
        return Err(bad_redirect(
            "A redirect URI is malformed or not on this server's list: loopback addresses by http, and the \
             callback addresses of known hosted clients. The operator can add others.",
        ));
    }
    Ok(redirect_uris)
}

/// What the client is told (RFC 7591 section 3.2.1, RFC 7592 section 3); members that are not set are left out.
pub(crate) fn describe(client: &Client, instance: &Instance, token: &Credential) -> Value {
    let may_use_code = !client.redirect_uris.is_empty();
    let grant_types: Vec<_> = [
        ("authorization_code", may_use_code),
        ("refresh_token", client.may_refresh),
        (device::GRANT_TYPE, client.may_use_device),
    ]
    .into_iter()
    .filter_map(|(grant, has)| has.then_some(grant))
    .collect();
    let response_types: &[&str] = if may_use_code { &["code"] } else { &[] };
    let mut answer = json!({
        "client_id": client.id,
        "client_id_issued_at": client.created_at.seconds(),
        "token_endpoint_auth_method": "none",
        "grant_types": grant_types,
        "response_types": response_types,
        "registration_access_token": *token.text(),
        "registration_client_uri": instance.endpoint(&format!("oauth/register/{}", client.id)),
    });
    if may_use_code {
        answer["redirect_uris"] = client.redirect_uris.clone().into();
    }
    if let Some(name) = &client.name {
        answer["client_name"] = name.as_str().into();
    }
    answer
}

/// A name fit for the consent page: one line, bounded, nothing that reorders or hides text.
pub(super) fn clean_name(name: &str) -> Option<String> {
    let name: String = name
        .chars()
        .filter(|c| is_plain(*c) && !matches!(c, '\n' | '\t'))
        .take(MAX_NAME)
        .collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn not_metadata() -> Refusal {
    bad_metadata("It is not a JSON object with the members of RFC 7591.")
}

fn bad_metadata(description: &'static str) -> Refusal {
    Refusal::new(Code::InvalidClientMetadata, description)
}

fn bad_redirect(description: &'static str) -> Refusal {
    Refusal::new(Code::InvalidRedirectUri, description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::{credential::Prefix, tests::instances};

    const KEPT: usize = 4 << 10;

    fn decide(body: &Value) -> Result<Client, Refusal> {
        register(
            body.to_string().as_bytes(),
            &AllowList::new(Vec::new()),
            KEPT,
            Moment::from_seconds(7),
        )
    }

    fn told(client: &Client) -> Value {
        let [beta, _] = instances("https://gate.example");
        describe(client, &beta, &Credential::mint(Prefix::Registration))
    }

    #[test]
    fn what_clients_send_is_registered_without_null_members() {
        let client = decide(&json!({
            "client_name": "Claude Code\u{202E}\n",
            "redirect_uris": ["http://localhost:4242/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_post",
            "application_type": "native",
            "scope": null,
        }))
        .unwrap();
        let answer = told(&client);
        assert_eq!(answer["client_name"], "Claude Code");
        assert_eq!(answer["token_endpoint_auth_method"], "none");
        assert_eq!(answer["redirect_uris"][0], "http://localhost:4242/callback");
        assert!(!answer.to_string().contains("null"));
        let nameless =
            decide(&json!({"redirect_uris": ["http://127.0.0.1/cb"], "client_name": null}));
        assert!(told(&nameless.unwrap()).get("client_name").is_none());
    }

    #[test]
    fn the_grants_that_were_asked_for_are_honoured() {
        let body = json!({"redirect_uris": ["http://127.0.0.1/cb"], "grant_types": ["authorization_code"]});
        assert!(!decide(&body).unwrap().may_refresh);
        let body = json!({"redirect_uris": ["http://127.0.0.1/cb"], "grant_types": ["client_credentials"]});
        assert_eq!(decide(&body).unwrap_err().code, Code::InvalidClientMetadata);
    }

    #[test]
    fn a_device_needs_no_redirect_uri_and_has_to_ask_for_its_grant() {
        let body =
            json!({"client_name": "tv", "grant_types": [device::GRANT_TYPE, "refresh_token"]});
        let device_only = decide(&body).unwrap();
        assert!(device_only.may_use_device && device_only.may_refresh);
        let answer = told(&device_only);
        assert_eq!(
            answer["grant_types"],
            json!(["refresh_token", device::GRANT_TYPE])
        );
        assert_eq!(answer["response_types"], json!([]));
        assert!(answer.get("redirect_uris").is_none());
        assert_eq!(
            as_offered(device_only, false).unwrap_err().code,
            Code::InvalidClientMetadata
        );
        let silent = decide(&json!({"redirect_uris": ["http://127.0.0.1/cb"]})).unwrap();
        assert!(!silent.may_use_device);
        let both = json!({
            "redirect_uris": ["http://127.0.0.1/cb"],
            "grant_types": ["authorization_code", device::GRANT_TYPE],
        });
        let both = decide(&both).unwrap();
        assert!(both.may_use_device && !as_offered(both, false).unwrap().may_use_device);
    }

    #[test]
    fn bad_redirects_have_the_standard_error() {
        let heavy: Vec<_> = (0..3)
            .map(|n| format!("http://127.0.0.1/{n}{}", "x".repeat(1_500)))
            .collect();
        let many = vec!["http://127.0.0.1/cb"; MAX_REDIRECTS + 1];
        let long = format!("http://127.0.0.1/{}", "x".repeat(2_048));
        for body in [
            json!({}),
            json!({"redirect_uris": []}),
            json!({"redirect_uris": many}),
            json!({"redirect_uris": [long]}),
            json!({"redirect_uris": heavy}),
            json!({"redirect_uris": ["http://127.0.0.1/cb", "https://evil.example/cb"]}),
        ] {
            assert_eq!(decide(&body).unwrap_err().code, Code::InvalidRedirectUri);
        }
        for body in ["", "[]", "{\"redirect_uris\":\"x\"}", "nonsense"] {
            let refusal = register(
                body.as_bytes(),
                &AllowList::new(Vec::new()),
                KEPT,
                Moment::now(),
            );
            assert_eq!(
                refusal.unwrap_err().code,
                Code::InvalidClientMetadata,
                "{body}"
            );
        }
    }
}
