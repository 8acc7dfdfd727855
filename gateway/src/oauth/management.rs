//! Management of a registration by whoever made it (RFC 7592).
//!
//! A change gives a new registration access token, and the one before works until the new one is presented: a lost
//! answer locks nobody out, and a token that was read somewhere along the way ends at the next change.

use http::{Method, StatusCode, request::Parts};
use serde_json::Value;

use super::{
    Server,
    answer::{Code, Refusal, no_store_json},
    credential::{Credential, Prefix},
    gate,
    redirect::AllowList,
    registration,
    routes::Route,
    server::json_request,
};
use crate::{
    body::{self, Response},
    instance::Instance,
    store::{Digest, Managed, Moment, records::Client},
};

/// Members that only the server says (section 2.2).
const OURS: [&str; 4] = [
    "registration_access_token",
    "registration_client_uri",
    "client_id_issued_at",
    "client_secret_expires_at",
];

/// What a request wants done.
enum Wish<'a> {
    Read,
    Change(&'a [u8]),
    Remove,
}

/// What is done.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Show,
    Change(Client),
    Remove,
}

impl Server {
    /// Answers a request to the address of a registration.
    pub(super) async fn manage(
        &self,
        instance: &Instance,
        parts: &Parts,
        body: &[u8],
    ) -> Result<Response, Refusal> {
        let presented = gate::bearer(&parts.headers)
            .ok()
            .and_then(|text| Credential::parse(Prefix::Registration, text))
            .ok_or_else(unknown)?;
        let id = Route::registered_client(parts.uri.path());
        // A first look, so that a stranger does not take the one place of those who write.
        authentic(self.store.managed_client(id).await?, &presented.digest())?;
        let wish = match parts.method {
            Method::PUT => {
                json_request(&parts.headers)?;
                Wish::Change(body)
            }
            Method::DELETE => Wish::Remove,
            _ => Wish::Read,
        };
        let now = Moment::now();
        let mut transaction = self.store.begin().await?;
        let digest = presented.digest();
        let managed = authentic(transaction.managed_client(id).await?, &digest)?;
        let answer = match decide(&managed, wish, &self.allowed, self.limits.client_bytes)? {
            Verdict::Show => {
                if digest.matches(&managed.token) && managed.former.is_some() {
                    transaction.set_management_token(id, &digest, None).await?;
                }
                described(&managed.client, instance, &presented)
            }
            Verdict::Change(client) => {
                let client = registration::as_offered(client, self.device_grant)?;
                let next = Credential::mint(Prefix::Registration);
                transaction.change_client(&client, now).await?;
                transaction
                    .set_management_token(id, &next.digest(), Some(&digest))
                    .await?;
                described(&client, instance, &next)
            }
            Verdict::Remove => {
                transaction.remove_client(id, now).await?;
                tracing::info!(client = id, "a client was removed by whoever registered it");
                let mut response = Response::new(body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
        };
        self.commit(transaction).await?;
        Ok(answer)
    }
}

fn described(client: &Client, instance: &Instance, token: &Credential) -> Response {
    no_store_json(
        StatusCode::OK,
        &registration::describe(client, instance, token),
    )
}

/// The client, if this is its token. Whether there is such a client at all is nobody's business.
fn authentic(managed: Option<Managed>, presented: &Digest) -> Result<Managed, Refusal> {
    managed
        .filter(|managed| {
            presented.matches(&managed.token)
                || managed
                    .former
                    .is_some_and(|former| presented.matches(&former))
        })
        .ok_or_else(unknown)
}

fn decide(
    managed: &Managed,
    wish: Wish<'_>,
    allowed: &AllowList,
    kept: usize,
) -> Result<Verdict, Refusal> {
    let body = match wish {
        Wish::Read => return Ok(Verdict::Show),
        Wish::Remove => return Ok(Verdict::Remove),
        Wish::Change(body) => body,
    };
    let members = registration::members(body)?;
    if OURS.iter().any(|name| members.contains_key(*name)) {
        return Err(bad(
            "registration_access_token, registration_client_uri, client_id_issued_at and client_secret_expires_at \
             are the server's to say; leave them out.",
        ));
    }
    if members.get("client_id").and_then(Value::as_str) != Some(managed.client.id.as_str()) {
        return Err(bad("client_id must be there and be this client's."));
    }
    if members.contains_key("client_secret") {
        return Err(bad("This client has no secret."));
    }
    let before = &managed.client;
    let client = registration::client(before.id.clone(), members, allowed, before.created_at)?;
    registration::bounded(client, kept).map(Verdict::Change)
}

fn unknown() -> Refusal {
    Refusal::new(
        Code::InvalidToken,
        "There is no registration that this token manages. Register again.",
    )
}

const fn bad(description: &'static str) -> Refusal {
    Refusal::new(Code::InvalidClientMetadata, description)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn managed() -> Managed {
        Managed {
            client: Client {
                id: "icg_client_x".to_owned(),
                name: Some("before".to_owned()),
                redirect_uris: vec!["http://127.0.0.1/cb".to_owned()],
                may_refresh: true,
                may_use_device: false,
                created_at: Moment::from_seconds(7),
            },
            token: Digest::of("new"),
            former: Some(Digest::of("old")),
        }
    }

    fn change(body: &Value) -> Result<Verdict, Refusal> {
        let body = body.to_string();
        let wish = Wish::Change(body.as_bytes());
        decide(&managed(), wish, &AllowList::new(Vec::new()), 4_096)
    }

    #[test]
    fn only_its_own_tokens_open_a_registration() {
        for (token, opens) in [("new", true), ("old", true), ("other", false)] {
            let found = authentic(Some(managed()), &Digest::of(token));
            assert_eq!(found.is_ok(), opens, "{token}");
        }
        let nobody = authentic(None, &Digest::of("new")).unwrap_err();
        assert_eq!(
            nobody,
            authentic(Some(managed()), &Digest::of("x")).unwrap_err()
        );
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn a_change_replaces_everything_but_the_id_and_the_date() {
        let body = json!({
            "client_id": "icg_client_x",
            "redirect_uris": ["http://127.0.0.1/other"],
            "grant_types": ["authorization_code"],
        });
        let Ok(Verdict::Change(client)) = change(&body) else {
            panic!("refused");
        };
        assert_eq!(client.id, "icg_client_x");
        assert_eq!(client.created_at, Moment::from_seconds(7));
        assert_eq!(client.name, None, "what is left out is taken away");
        assert_eq!(client.redirect_uris, ["http://127.0.0.1/other"]);
        assert!(!client.may_refresh);
    }

    #[test]
    fn a_change_is_refused_that_the_standard_does_not_allow() {
        let good = json!({"client_id": "icg_client_x", "redirect_uris": ["http://127.0.0.1/cb"]});
        assert!(change(&good).is_ok());
        for (member, value) in [
            ("client_id", json!("another")),
            ("client_id", json!(null)),
            ("client_secret", json!("x")),
            ("registration_access_token", json!("x")),
            ("registration_client_uri", json!("x")),
            ("client_id_issued_at", json!(7)),
            ("client_secret_expires_at", json!(0)),
            ("redirect_uris", json!(["https://evil.example/cb"])),
            ("redirect_uris", json!([])),
            ("grant_types", json!(["client_credentials"])),
        ] {
            let mut body = good.clone();
            body[member] = value;
            let refusal = change(&body).unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{body}");
        }
        assert!(change(&json!([])).is_err());
    }
}
