//! Asking for more scopes when a call needs them (RFC 6750 section 3.1, MCP 2026-07-28, authorization, step-up).
//!
//! Clients learn of it from the status and the challenge, before the call reaches the service. Those that can ask again
//! take the scopes of the challenge, some instead of those they have: so it names both. Those that cannot show the body:
//! so it is the JSON-RPC error of their request, with a sentence for the person.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::WWW_AUTHENTICATE};
use rmcp::model::JsonObject;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{catalog::Catalog, failure::Failure, transport::INVALID_REQUEST};
use crate::{
    body::{self, Response},
    connection::{AccessLevel, Authorized},
    instance::PublicUrl,
    oauth::resource_address,
    scope::{Scope, Scopes},
};

/// Looks at calls before they are served.
pub(super) struct StepUp {
    catalog: Catalog,
    public_url: PublicUrl,
}

/// As much of a request as it takes; what is none of these is the service's to refuse.
#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    arguments: Option<JsonObject>,
}

impl StepUp {
    pub(super) fn new(catalog: Catalog, public_url: PublicUrl) -> Self {
        Self {
            catalog,
            public_url,
        }
    }

    /// Whether the token's scopes are enough for the request. Where the user allowed only questions at Internet
    /// Identity, more scopes are not to be had: the tool itself says so.
    ///
    /// # Errors
    /// The finished answer, 403.
    pub(super) fn check(
        &self,
        authorized: &Authorized,
        request: &Request<Bytes>,
    ) -> Result<(), Box<Response>> {
        let granted = authorized.scopes;
        let everything = Scopes::from_iter(Scope::ALL);
        if granted.covers(everything) || authorized.access_level == AccessLevel::Queries {
            return Ok(());
        }
        let Ok(call) = serde_json::from_slice::<Call<'_>>(request.body()) else {
            return Ok(());
        };
        if call.method != "tools/call" {
            return Ok(());
        }
        match self.catalog.needs(&call.params.name, call.params.arguments) {
            Some(needed) if !granted.covers(needed) => {
                tracing::debug!(tool = %call.params.name, %granted, %needed, connection = %authorized.connection, "more scopes are needed");
                Err(Box::new(
                    self.challenge(authorized, request, call.id, needed),
                ))
            }
            _ => Ok(()),
        }
    }

    fn challenge(
        &self,
        authorized: &Authorized,
        request: &Request<Bytes>,
        id: &RawValue,
        needed: Scopes,
    ) -> Response {
        let granted = authorized.scopes;
        let all = granted.union(needed);
        let metadata = resource_address(&self.public_url, authorized.instance, request.headers());
        let failure = Failure::scope(granted, needed);
        let mut response = body::json(
            StatusCode::FORBIDDEN,
            &json!({
                "jsonrpc": "2.0",
                "id": id,
                "error": {
                    "code": INVALID_REQUEST,
                    "message": failure.message,
                    "data": {
                        "icgate/code": failure.code,
                        "granted": granted.to_string(),
                        "needed": needed.to_string(),
                    },
                },
            }),
        );
        let challenge = format!(
            "Bearer error=\"insufficient_scope\", scope=\"{all}\", resource_metadata=\"{metadata}\", \
             error_description=\"The call needs {needed}. Sign in to this server again and allow it.\""
        );
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
