//! Answers of the authorization server: RFC JSON for programs, a page for people.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::{
    body::{self, BodyError, Response},
    pages,
    reader::Reader,
    store::StoreError,
    throttle::TooMany,
};

/// An error code of RFC 6749, 6750, 7591, 8628 or 8707.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidRequest,
    InvalidClient,
    InvalidToken,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    InvalidScope,
    InvalidTarget,
    InvalidRedirectUri,
    InvalidClientMetadata,
    AccessDenied,
    AuthorizationPending,
    SlowDown,
    ExpiredToken,
    TemporarilyUnavailable,
    ServerError,
}

impl Code {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Code::InvalidRequest => "invalid_request",
            Code::InvalidClient => "invalid_client",
            Code::InvalidToken => "invalid_token",
            Code::InvalidGrant => "invalid_grant",
            Code::UnauthorizedClient => "unauthorized_client",
            Code::UnsupportedGrantType => "unsupported_grant_type",
            Code::UnsupportedResponseType => "unsupported_response_type",
            Code::InvalidScope => "invalid_scope",
            Code::InvalidTarget => "invalid_target",
            Code::InvalidRedirectUri => "invalid_redirect_uri",
            Code::InvalidClientMetadata => "invalid_client_metadata",
            Code::AccessDenied => "access_denied",
            Code::AuthorizationPending => "authorization_pending",
            Code::SlowDown => "slow_down",
            Code::ExpiredToken => "expired_token",
            Code::TemporarilyUnavailable => "temporarily_unavailable",
            Code::ServerError => "server_error",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Code::InvalidClient | Code::InvalidToken => StatusCode::UNAUTHORIZED,
            Code::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A request that is refused: a code for the program, a sentence for whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) description: &'static str,
    /// When to try again, in seconds.
    retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) const fn new(code: Code, description: &'static str) -> Self {
        Self {
            status: code.status(),
            code,
            description,
            retry_after: match code {
                Code::TemporarilyUnavailable => Some(5),
                _ => None,
            },
        }
    }

    pub(crate) const fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// As RFC 6749 section 5.2 wants it.
    pub(crate) fn into_json(self) -> Response {
        let mut response = no_store_json(
            self.status,
            &json!({"error": self.code.as_str(), "error_description": self.description}),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = match self.code {
                Code::InvalidToken => "Bearer error=\"invalid_token\"",
                _ => "Basic realm=\"icgate\"",
            };
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        self.say_when(response)
    }

    /// `Retry-After` (RFC 9110 section 10.2.3).
    fn say_when(&self, mut response: Response) -> Response {
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// A page for a browser, JSON for everything else.
    pub(crate) fn into_negotiated(self, request_headers: &HeaderMap) -> Response {
        self.into_answer(Reader::of(request_headers))
    }

    /// The same for a reader who is known.
    pub(crate) fn into_answer(self, reader: Reader) -> Response {
        match reader {
            Reader::Person => self.say_when(pages::error(self.status, self.description)),
            Reader::Program => self.into_json(),
        }
    }
}

/// A request that is not what its endpoint takes (RFC 6749 section 5.2).
pub(super) const fn bad(description: &'static str) -> Refusal {
    Refusal::new(Code::InvalidRequest, description)
}

/// RFC 6585 section 4, with the code OAuth has for a server that takes no more right now.
impl From<TooMany> for Refusal {
    fn from(too_many: TooMany) -> Self {
        Self {
            retry_after: Some(too_many.seconds()),
            ..Self::new(
                Code::TemporarilyUnavailable,
                "Too many requests have come from your network address or your app. Wait a minute and try again.",
            )
            .with_status(StatusCode::TOO_MANY_REQUESTS)
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        Refusal::new(
            Code::ServerError,
            "The server could not reach its own records; try again in a few seconds.",
        )
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let (status, description) = match error {
            BodyError::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request body is too large. Start again from your app.",
            ),
            BodyError::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "The request body did not arrive in time. Send it again.",
            ),
            BodyError::Disconnected => (
                StatusCode::BAD_REQUEST,
                "The request body is incomplete. Send it again.",
            ),
        };
        Refusal::new(Code::InvalidRequest, description).with_status(status)
    }
}

/// JSON that no cache may keep (RFC 6749 section 5.1).
pub(crate) fn no_store_json(status: StatusCode, value: &serde_json::Value) -> Response {
    let mut response = body::json(status, value);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// Sends the browser elsewhere with a GET; the address holds values that are for that place only.
pub(crate) fn see_other(location: &str) -> Result<Response, Refusal> {
    let location = HeaderValue::from_str(location)
        .map_err(|_| Refusal::new(Code::InvalidRequest, "The redirect address cannot be sent."))?;
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    Ok(response)
}

/// 405 with the methods there are (RFC 9110 section 15.5.6).
pub(crate) fn method_not_allowed(allow: &'static str, request_headers: &HeaderMap) -> Response {
    let mut response = Refusal::new(
        Code::InvalidRequest,
        "This address is not for that kind of request. Start again from your app.",
    )
    .with_status(StatusCode::METHOD_NOT_ALLOWED)
    .into_negotiated(request_headers);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}
