//! The HTTP message types between the edge and everything behind it.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};

/// A streamed body, either way.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;
/// A request as the edge hands it on.
pub type Request = http::Request<Body>;
/// An answer as the edge takes it.
pub type Response = http::Response<Body>;

/// Why a body ended before its end.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the receiver allows; answered 413.
    #[error("the body is too large")]
    TooLarge,
    /// The sender paused for too long or needed too long in all; answered 408.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The other side went away.
    #[error("the connection was closed")]
    Disconnected,
}

/// A body that is at hand in full.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body without bytes.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// An answer in JSON.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// See [`BodyError`].
pub async fn read(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Err(error) => Err(error
            .downcast()
            .map_or(BodyError::Disconnected, |error| *error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_over_the_limit_is_too_large() {
        assert_eq!(read(full("1234"), 4).await.unwrap(), "1234");
        assert!(matches!(
            read(full("12345"), 4).await,
            Err(BodyError::TooLarge)
        ));
    }
}
