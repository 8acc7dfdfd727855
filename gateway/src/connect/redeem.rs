use http::{HeaderMap, StatusCode, header};
use icgate_proto::{Reason, v1};
use serde::Deserialize;
use serde_json::json;

use super::{
    arrival::{self, Landing},
    failure::Failure,
    key_request, reference,
};
use crate::{
    body::Response,
    instance::Instance,
    oauth::{Cookie, Credential, Prefix, Server, has_content_type, is_foreign, no_store_json},
    store::{Digest, Moment, records::PendingConnect},
};

/// Longest redeem request that is read, in bytes: a chain of 64 KiB, escaped, and its state.
pub(crate) const MAX_BODY: usize = 80 * 1024;
const MAX_CHAIN: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redeem {
    state: String,
    /// Of the handshake `registration-delegation`.
    delegation: Option<String>,
    /// Of the handshake `key-request`.
    finish: Option<String>,
}

/// Takes what Internet Identity sent the browser back with, completes the connection and says where the
/// browser goes with its code. The same request again gives the same answer until the code is used.
pub(crate) async fn redeem(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let answer = if is_foreign(headers, instance) {
        Err(Failure::foreign())
    } else {
        finish(server, instance, headers, body).await
    };
    match answer {
        Ok(landing) => {
            let mut response =
                no_store_json(StatusCode::OK, &json!({ "redirect": landing.location }));
            if let Some(cookie) = landing.cookie {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(failure) => failure.into_response(),
    }
}

async fn finish(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Landing, Failure> {
    if !has_content_type(headers, "application/json") {
        return Err(Failure::new("The content type must be application/json."));
    }
    let redeem: Redeem = serde_json::from_slice(body)
        .map_err(|_| Failure::new("The request is not what the callback page sends."))?;
    let state = Digest::of(&redeem.state);
    // A second request of the same sign-in waits here and then finds the first one's result.
    let _turn = server.turnstile.pass(state).await;
    let connect = server
        .store
        .pending_connect(instance.name, &state)
        .await?
        .filter(|connect| Moment::now() < connect.expires_at)
        .ok_or_else(Failure::too_late)?;
    let cookie = same_browser(instance, headers, &connect)?;
    if let Some(sealed) = &connect.sealed_code {
        return arrival::again(server, instance, &connect, &cookie, sealed).await;
    }
    let request = brought(&connect, &cookie, redeem)?;
    arrival::expected(server, instance, &connect).await?;
    let completed = match server.signer.complete(request).await {
        Err(error)
            if error.reason == Reason::ConnectionPending && connect.key_request.is_some() =>
        {
            return Err(Failure::not_yet());
        }
        answer => answer?,
    };
    let own = server.session(instance, headers).await?;
    let own = own.map(|session| session.connection.id);
    arrival::land(server, instance, &connect, &cookie, own, completed).await
}

/// What the signer needs of what the browser brought.
fn brought(
    connect: &PendingConnect,
    cookie: &Credential,
    redeem: Redeem,
) -> Result<v1::CompleteRequest, Failure> {
    let mut request = v1::CompleteRequest {
        connection: Some(reference(connect, cookie)),
        ..v1::CompleteRequest::default()
    };
    match (redeem.delegation, redeem.finish) {
        (Some(chain), None) if !chain.is_empty() && chain.len() <= MAX_CHAIN => {
            request.delegation_chain = chain;
        }
        (None, Some(finish)) => {
            request.registered_key = Some(key_request::registered(connect, &finish)?);
        }
        _ => {
            return Err(Failure::new(
                "What Internet Identity sent is empty or too large.",
            ));
        }
    }
    Ok(request)
}

/// The cookie proves that this browser began the sign-in; what it brings proves that the person consented in it.
pub(super) fn same_browser(
    instance: &Instance,
    headers: &HeaderMap,
    connect: &PendingConnect,
) -> Result<Credential, Failure> {
    Cookie::connect(instance, &connect.state)
        .read(headers)
        .and_then(|text| Credential::parse(Prefix::ConnectCookie, text))
        .filter(|cookie| cookie.digest().matches(&connect.cookie))
        .ok_or_else(|| {
            Failure::new(
                "This sign-in was started in a different browser. Start the connection again from your app and \
                 finish it in the browser it opens.",
            )
        })
}
