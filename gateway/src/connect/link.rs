use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::json;
use url::form_urlencoded::Serializer;

use crate::{body::Response, instance::Instance, oauth::no_store_json};

/// Life of the grant that Internet Identity proposes to the person, who may choose another.
pub(super) const PROPOSED_SECONDS: u64 = 24 * 3600;

/// Where the browser goes to sign in. Everything stands in the fragment: it reaches the page and no server. Without a
/// registration key it is a link of the handshake `key-request`.
pub(super) fn to_internet_identity(
    instance: &Instance,
    state: &str,
    registration_key_der: Option<&[u8]>,
) -> String {
    let mut fragment = Serializer::new(String::new());
    fragment
        .append_pair("callback", &instance.callback())
        .append_pair("state", state)
        .append_pair("ttl", &PROPOSED_SECONDS.to_string());
    if let Some(key) = registration_key_der {
        fragment.append_pair("registration_key", &URL_SAFE_NO_PAD.encode(key));
    }
    let fragment = fragment.finish();
    let base = instance.ii_url.as_str().trim_end_matches('/');
    format!("{base}/mcp#{fragment}")
}

/// `/.well-known/ii-auth-callbacks`: Internet Identity sends nobody to a callback of this origin that is not
/// listed here, letter by letter.
pub(crate) fn callbacks(instances: &[Instance]) -> Response {
    let callbacks: Vec<_> = instances.iter().map(Instance::callback).collect();
    no_store_json(StatusCode::OK, &json!({ "callbacks": callbacks }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::instances;

    #[test]
    fn the_link_carries_the_pinned_callback_and_the_key() {
        let [_, prod] = instances("http://127.0.0.1:8000");
        assert_eq!(
            to_internet_identity(&prod, "s", Some(&[0xFB, 0xFF])),
            "https://id.example/mcp#callback=http%3A%2F%2F127.0.0.1%3A8000%2Fprod%2Foauth%2Fconnect%2Fcallback\
             &state=s&ttl=86400&registration_key=-_8"
        );
        assert!(to_internet_identity(&prod, "s", None).ends_with("&state=s&ttl=86400"));
    }
}
