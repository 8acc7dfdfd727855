use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Map, Value};

use super::DocumentAddress;
use crate::{
    oauth::{
        device::GRANT_TYPE,
        redirect::{AllowList, Redirect},
        registration::clean_name,
    },
    store::{Moment, records::Client},
};

const MAX_REDIRECTS: usize = 16;

/// Why a document describes no client of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("it is not a JSON object with members of the right types")]
    Malformed,
    #[error("its client_id is not its address")]
    OtherClient,
    #[error("the client authenticates with a secret or key")]
    Secret,
    #[error("the client does without the authorization code grant")]
    Grants,
    #[error("none of its redirect URIs is accepted, or there are too many")]
    Redirects,
}

/// The members that mean something here. A member that is there must have its type: null is not "absent".
#[derive(Debug, Deserialize)]
struct Members {
    client_id: String,
    redirect_uris: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    client_name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    client_secret: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    client_secret_expires_at: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "present")]
    token_endpoint_auth_method: Option<String>,
    #[serde(default, deserialize_with = "present")]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    grant_types: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    response_types: Option<Vec<String>>,
}

impl Members {
    fn read(text: &str) -> serde_json::Result<Self> {
        // An object first: the derived reader would also take an array of the values. Then the text itself, in which
        // the derived reader notices a member that occurs twice.
        serde_json::from_str::<Map<String, Value>>(text)?;
        serde_json::from_str(text)
    }

    /// Public clients only. The plural is what a client that could do more says it can also do.
    fn is_public(&self) -> bool {
        let none = |method: &String| method == "none";
        let supported = self.token_endpoint_auth_methods_supported.as_deref();
        self.client_secret.is_none()
            && self.client_secret_expires_at.is_none()
            && (self.token_endpoint_auth_method.as_ref().is_none_or(none)
                || supported.is_some_and(|methods| methods.iter().any(none)))
    }
}

fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Decides about a document that was fetched from `address`.
pub(super) fn client(
    text: &str,
    address: &DocumentAddress,
    allowed: &AllowList,
    now: Moment,
) -> Result<Client, DocumentError> {
    let members = Members::read(text).map_err(|_| DocumentError::Malformed)?;
    if members.client_id != address.as_str() {
        return Err(DocumentError::OtherClient);
    }
    if !members.is_public() {
        return Err(DocumentError::Secret);
    }
    let has = |list: &Option<Vec<String>>, wanted: &str| {
        list.as_ref()
            .is_none_or(|list| list.iter().any(|entry| entry == wanted))
    };
    if !has(&members.grant_types, "authorization_code") || !has(&members.response_types, "code") {
        return Err(DocumentError::Grants);
    }
    let mut redirect_uris = members.redirect_uris;
    if redirect_uris.len() > MAX_REDIRECTS {
        return Err(DocumentError::Redirects);
    }
    redirect_uris.retain(|uri| is_the_clients(uri, address, allowed));
    if redirect_uris.is_empty() {
        return Err(DocumentError::Redirects);
    }
    Ok(Client {
        id: members.client_id,
        name: members.client_name.as_deref().and_then(clean_name),
        may_refresh: has(&members.grant_types, "refresh_token"),
        may_use_device: members.grant_types.is_some() && has(&members.grant_types, GRANT_TYPE),
        redirect_uris,
        created_at: now,
    })
}

/// Anybody may name any address in a document: what counts is the person's computer, and the place the document
/// itself comes from.
fn is_the_clients(uri: &str, address: &DocumentAddress, allowed: &AllowList) -> bool {
    match allowed.check(uri) {
        Ok(Redirect::Loopback(_)) => true,
        Ok(Redirect::Hosted(url)) => url.origin() == address.url().origin(),
        Ok(Redirect::App(_)) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ADDRESS: &str = "https://claude.ai/oauth/client";

    fn read(text: &str) -> Result<Client, DocumentError> {
        let address = DocumentAddress::parse(ADDRESS, false).unwrap();
        client(
            text,
            &address,
            &AllowList::new(Vec::new()),
            Moment::from_seconds(7),
        )
    }

    fn with(changes: &Value) -> Result<Client, DocumentError> {
        let mut document = json!({"client_id": ADDRESS, "redirect_uris": ["http://localhost/cb"]});
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        read(&document.to_string())
    }

    #[test]
    fn what_real_clients_publish_is_accepted() {
        let client = with(&json!({
            "client_name": "Claude Code\u{202E}",
            "client_uri": "https://claude.ai",
            "logo_uri": null,
            "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }))
        .unwrap();
        assert_eq!(client.id, ADDRESS);
        assert_eq!(client.name.as_deref(), Some("Claude Code"));
        assert_eq!(client.redirect_uris.len(), 2);
        assert!(client.may_refresh);
        let able = with(&json!({
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        }));
        assert!(able.is_ok());
        let once = with(&json!({"grant_types": ["authorization_code"]})).unwrap();
        assert!(!once.may_refresh);
    }

    #[test]
    fn only_redirects_to_loopback_and_to_the_documents_own_origin_are_kept() {
        let client = with(&json!({"redirect_uris": [
            "https://claude.ai/api/mcp/auth_callback",
            "https://claude.com/api/mcp/auth_callback",
            "https://chatgpt.com/connector/oauth/x",
            "https://evil.example/cb",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "javascript:alert(1)",
            "http://[::1]/cb",
        ]}));
        assert_eq!(
            client.unwrap().redirect_uris,
            ["https://claude.ai/api/mcp/auth_callback", "http://[::1]/cb"]
        );
        for none in [
            json!([]),
            json!(["https://claude.com/api/mcp/auth_callback"]),
            json!(["https://claude.ai/elsewhere"]),
            json!(vec!["http://localhost/cb"; MAX_REDIRECTS + 1]),
        ] {
            let refused = with(&json!({"redirect_uris": none}));
            assert_eq!(refused.unwrap_err(), DocumentError::Redirects);
        }
    }

    #[test]
    fn each_rule_of_the_draft_is_held() {
        for (change, error) in [
            (
                json!({"client_id": "https://claude.ai/oauth/other"}),
                DocumentError::OtherClient,
            ),
            (
                json!({"client_id": "https://Claude.ai/oauth/client"}),
                DocumentError::OtherClient,
            ),
            (json!({"client_id": null}), DocumentError::Malformed),
            (json!({"client_secret": "s"}), DocumentError::Secret),
            (json!({"client_secret": null}), DocumentError::Secret),
            (
                json!({"client_secret_expires_at": 0}),
                DocumentError::Secret,
            ),
            (
                json!({"token_endpoint_auth_method": "client_secret_post"}),
                DocumentError::Secret,
            ),
            (
                json!({"token_endpoint_auth_method": null}),
                DocumentError::Malformed,
            ),
            (
                json!({
                    "token_endpoint_auth_method": "private_key_jwt",
                    "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                }),
                DocumentError::Secret,
            ),
            (
                json!({"grant_types": ["client_credentials"]}),
                DocumentError::Grants,
            ),
            (json!({"grant_types": null}), DocumentError::Malformed),
            (json!({"response_types": ["token"]}), DocumentError::Grants),
            (json!({"response_types": "code"}), DocumentError::Malformed),
            (json!({"redirect_uris": null}), DocumentError::Malformed),
            (json!({"redirect_uris": [7]}), DocumentError::Malformed),
            (json!({"client_name": null}), DocumentError::Malformed),
        ] {
            assert_eq!(with(&change).unwrap_err(), error, "{change}");
        }
        let twice = format!(
            r#"{{"client_id":"x","client_id":"{ADDRESS}","redirect_uris":["http://localhost/cb"]}}"#
        );
        for text in ["", "[]", "null", "{}", "{", &twice] {
            assert_eq!(read(text).unwrap_err(), DocumentError::Malformed, "{text}");
        }
        let array = json!([ADDRESS, ["http://localhost/cb"]]).to_string();
        assert_eq!(read(&array).unwrap_err(), DocumentError::Malformed);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,256}") {
            let _ = read(&text);
        }
    }
}
