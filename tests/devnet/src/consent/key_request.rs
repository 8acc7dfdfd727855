//! The handshake `key-request`, as II's page did it before there were registration delegations: it
//! fetches a session key from the server, has the user register it, tells the server, and sends the
//! browser where the server said.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use candid::Principal;
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN,
    },
    redirect::Policy,
};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use url::Url;

use super::{Consent, ConsentError, ConsentFault, Deployment, link::Link};
use crate::{
    canisters::{
        Mode,
        ii::wire::{McpRegistration, Permissions},
    },
    clock::SECOND,
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The server's answer to the request for a key.
#[derive(Deserialize)]
struct Given {
    public_key: String,
    #[serde(default)]
    finish_url: Option<String>,
}

impl Deployment {
    /// Plays the page from the user's consent on.
    pub(super) async fn register_key(
        &self,
        link: &Link,
        device: Principal,
        consent: &Consent,
        seconds: u64,
        fault: Option<ConsentFault>,
    ) -> Result<String, ConsentError> {
        let page = Page::new(&self.origin, &link.callback_text)?;
        if fault == Some(ConsentFault::LostKey) {
            page.post(&json!({ "state": link.state })).await?;
        }
        let answer = page.post(&json!({ "state": link.state })).await?;
        let given: Given = answer
            .json()
            .await
            .map_err(|error| refused(format!("the answer is no key: {error}")))?;
        let key = URL_SAFE_NO_PAD
            .decode(&given.public_key)
            .map_err(|_| refused("`public_key` is not unpadded base64url"))?;
        // All of it is checked before anything is registered.
        let finish = finish_url(given.finish_url, &link.callback)?;

        let (registered,): (Result<McpRegistration, String>,) = self.call(
            Mode::Update,
            device,
            "mcp_register",
            (
                consent.anchor,
                ByteBuf::from(key),
                seconds * SECOND,
                Some(consent.access),
            ),
        )?;
        let registered = registered.map_err(ConsentError::Canister)?;
        if fault != Some(ConsentFault::LostCompletion) {
            let permissions = match consent.access {
                Permissions::Queries => "queries",
                Permissions::All => "all",
            };
            let notice = json!({
                "state": link.state,
                "expiration": registered.expiration.to_string(),
                "permissions": permissions,
            });
            if let Err(error) = page.post(&notice).await {
                tracing::warn!(%error, "the server did not take the notice");
            }
        }
        Ok(finish.map_or_else(|| format!("{}/mcp", self.origin), String::from))
    }
}

/// A page's `fetch` of another origin, with the checks that a browser makes.
struct Page<'a> {
    http: Client,
    origin: &'a str,
    callback: &'a str,
}

impl<'a> Page<'a> {
    fn new(origin: &'a str, callback: &'a str) -> Result<Self, ConsentError> {
        let http = Client::builder()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(refused)?;
        Ok(Self {
            http,
            origin,
            callback,
        })
    }

    /// POST of JSON, without credentials; a redirect is an error.
    async fn post(&self, body: &Value) -> Result<Response, ConsentError> {
        self.preflight().await?;
        let answer = self
            .http
            .post(self.callback)
            .header(ORIGIN, self.origin)
            .json(body)
            .send()
            .await
            .map_err(refused)?;
        self.shared(&answer)?;
        if !answer.status().is_success() {
            return Err(refused(format!("it answers {}", answer.status())));
        }
        Ok(answer)
    }

    /// JSON is nothing a page may send to another origin unasked.
    async fn preflight(&self) -> Result<(), ConsentError> {
        let answer = self
            .http
            .request(Method::OPTIONS, self.callback)
            .header(ORIGIN, self.origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(ACCESS_CONTROL_REQUEST_HEADERS, "content-type")
            .send()
            .await
            .map_err(refused)?;
        self.shared(&answer)?;
        let lists = |name: HeaderName, wanted: &str| {
            let value = answer
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok());
            value.is_some_and(|list| {
                list.split(',')
                    .any(|entry| entry.trim().eq_ignore_ascii_case(wanted))
            })
        };
        if answer.status() == StatusCode::NO_CONTENT
            && lists(ACCESS_CONTROL_ALLOW_METHODS, "POST")
            && lists(ACCESS_CONTROL_ALLOW_HEADERS, "content-type")
        {
            Ok(())
        } else {
            Err(refused("the preflight fails"))
        }
    }

    fn shared(&self, answer: &Response) -> Result<(), ConsentError> {
        let allowed = answer
            .headers()
            .get(ACCESS_CONTROL_ALLOW_ORIGIN)
            .and_then(|value| value.to_str().ok());
        if allowed == Some("*") || allowed == Some(self.origin) {
            Ok(())
        } else {
            Err(refused("its answers may not be read by this page"))
        }
    }
}

/// Absent, null and empty mean none; anything else must lead to the callback's origin.
fn finish_url(text: Option<String>, callback: &Url) -> Result<Option<Url>, ConsentError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let url = Url::parse(&text).map_err(|_| refused("`finish_url` is not an absolute URL"))?;
    if url.origin() == callback.origin() {
        Ok(Some(url))
    } else {
        Err(refused("`finish_url` leads to another origin"))
    }
}

fn refused(reason: impl std::fmt::Display) -> ConsentError {
    ConsentError::KeyRequest(reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_is_sent_to_the_callbacks_origin_or_nowhere() {
        let callback: Url = "http://127.0.0.1:8000/oauth/connect/callback"
            .parse()
            .unwrap();
        let check = |text: &str| finish_url(Some(text.to_owned()), &callback);
        assert!(finish_url(None, &callback).unwrap().is_none());
        assert!(check("").unwrap().is_none());
        assert!(
            check("http://127.0.0.1:8000/oauth/finish?id=1")
                .unwrap()
                .is_some()
        );
        for wrong in [
            "/oauth/finish",
            "http://127.0.0.1:8001/",
            "javascript:alert(1)",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
