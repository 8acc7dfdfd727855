//! The device authorization endpoint (RFC 8628 sections 3.1 and 3.2).

use http::StatusCode;
use serde_json::json;

use super::{POLL_SECONDS, WAIT_SECONDS, seal::public_key, user_code::UserCode, verification_uri};
use crate::{
    body::Response,
    instance::Instance,
    oauth::{
        Server,
        answer::{Code, Refusal, bad, no_store_json},
        credential::{Credential, Prefix},
        form::Form,
        metadata, pkce,
        server::unknown_client,
    },
    scope::Scopes,
    store::{
        Moment,
        records::{Client, DeviceRequest},
    },
    throttle::Source,
};

/// `grant_type` of a poll, and of the registration of a client that polls.
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The device code a poll presents.
pub(crate) fn device_code_of(form: &Form<'_>) -> Result<Credential, Refusal> {
    let text = form
        .get("device_code")
        .ok_or_else(|| bad("device_code is missing."))?;
    Credential::parse(Prefix::DeviceCode, text).ok_or_else(|| {
        Refusal::new(
            Code::InvalidGrant,
            "The device code is unknown; start the sign-in again.",
        )
    })
}

/// What a device asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    scopes: Scopes,
    code_challenge: Option<String>,
}

impl Server {
    /// Gives a device its two codes.
    pub(in crate::oauth) async fn authorize_device(
        &self,
        instance: &Instance,
        address: &str,
        body: &[u8],
        source: Option<Source>,
    ) -> Result<Response, Refusal> {
        let form = Form::parse(body)
            .map_err(|_| bad("The body holds a parameter twice or too many of them."))?;
        let client_id = form
            .get("client_id")
            .ok_or_else(|| bad("client_id is missing."))?;
        let client = self
            .known_client(client_id, source)
            .await?
            .ok_or_else(unknown_client)?;
        let asked = check(&form, &client, instance)?;
        let (device_code, user_code) = (Credential::mint(Prefix::DeviceCode), UserCode::mint());
        let now = Moment::now();
        let request = DeviceRequest {
            device_code: device_code.digest(),
            public_key: public_key(&device_code),
            user_code: user_code.digest(instance.name),
            instance: instance.name,
            client_id: client.id,
            client_name: client.name,
            may_refresh: client.may_refresh,
            code_challenge: asked.code_challenge,
            scopes: asked.scopes,
            address: address.to_owned(),
            created_at: now,
            expires_at: now.plus(WAIT_SECONDS),
            poll_seconds: POLL_SECONDS,
            polled_at: None,
            entered: 0,
            denied: false,
            sealed: None,
        };
        let mut transaction = self.store.begin().await?;
        transaction.add_device_request(&request, source).await?;
        self.commit(transaction).await?;
        let verification_uri = verification_uri(instance);
        let answer = json!({
            "device_code": *device_code.text(),
            "user_code": user_code.to_string(),
            "verification_uri": verification_uri,
            "verification_uri_complete": format!("{verification_uri}?user_code={user_code}"),
            "expires_in": WAIT_SECONDS,
            "interval": POLL_SECONDS,
        });
        Ok(no_store_json(StatusCode::OK, &answer))
    }
}

fn check(form: &Form<'_>, client: &Client, instance: &Instance) -> Result<Asked, Refusal> {
    if !client.may_use_device {
        return Err(Refusal::new(
            Code::UnauthorizedClient,
            "The client did not register for the device grant; register with its grant type among grant_types.",
        ));
    }
    metadata::check_resource(instance, form.get("resource"))?;
    let code_challenge = match (
        form.get("code_challenge"),
        form.get("code_challenge_method"),
    ) {
        (None, None) => None,
        (Some(challenge), Some("S256")) if pkce::is_challenge(challenge) => {
            Some(challenge.to_owned())
        }
        _ => {
            return Err(bad(
                "code_challenge must be an S256 challenge with code_challenge_method=S256 beside it, or both absent.",
            ));
        }
    };
    let scopes = metadata::check_scope(instance, form.get("scope"))?;
    Ok(Asked {
        scopes,
        code_challenge,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oauth::tests::instances, scope::Scope};

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn decide(body: &str, may_use_device: bool) -> Result<Asked, Refusal> {
        let [beta, _] = instances("https://gate.example");
        let client = Client {
            id: "c".to_owned(),
            name: None,
            redirect_uris: Vec::new(),
            may_refresh: true,
            may_use_device,
            created_at: Moment::from_seconds(0),
        };
        check(&Form::parse(body.as_bytes()).unwrap(), &client, &beta)
    }

    #[test]
    fn scope_resource_and_challenge_are_optional() {
        let all = Scope::ALL.into_iter().collect();
        let asked = |scopes, code_challenge| {
            Ok(Asked {
                scopes,
                code_challenge,
            })
        };
        assert_eq!(decide("client_id=c", true), asked(all, None));
        let body = format!(
            "scope=ic:read+openid&code_challenge={CHALLENGE}&code_challenge_method=S256\
             &resource=https://gate.example/mcp"
        );
        assert_eq!(
            decide(&body, true),
            asked(Scopes::from_iter([Scope::Read]), Some(CHALLENGE.to_owned()))
        );
    }

    #[test]
    fn what_is_there_must_be_right() {
        for (body, code) in [
            (
                "code_challenge_method=S256".to_owned(),
                Code::InvalidRequest,
            ),
            (format!("code_challenge={CHALLENGE}"), Code::InvalidRequest),
            (
                format!("code_challenge={CHALLENGE}&code_challenge_method=plain"),
                Code::InvalidRequest,
            ),
            (
                "code_challenge=short&code_challenge_method=S256".to_owned(),
                Code::InvalidRequest,
            ),
            ("scope=openid".to_owned(), Code::InvalidScope),
            (
                "resource=https://other.example".to_owned(),
                Code::InvalidTarget,
            ),
        ] {
            assert_eq!(decide(&body, true).unwrap_err().code, code, "{body}");
        }
        assert_eq!(
            decide("", false).unwrap_err().code,
            Code::UnauthorizedClient
        );
    }
}
