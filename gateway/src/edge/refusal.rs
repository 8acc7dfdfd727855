//! What the edge itself answers: the status its standard names, and a page for a person or one small JSON body.

use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::{body::Response, reader::Reader};

/// Why a request does not reach the handler, or the handler's answer does not reach the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// RFC 9112 section 3 and RFC 9113 section 8.1.1: not a request.
    Malformed,
    /// Plain HTTP from somewhere it is not served to.
    PlainHttp,
    /// A name that is not ours; DNS rebinding.
    Host,
    /// A page that may not call the MCP endpoint; MCP 2025-11-25, transports, security warning.
    Origin,
    /// CONNECT, which only proxies serve.
    Method,
    /// RFC 9110 section 15.5.9.
    TooSlow,
    /// RFC 9110 section 15.5.14.
    BodyTooLarge,
    /// RFC 9110 section 15.5.18.
    Expectation,
    /// RFC 6585 section 5.
    HeaderTooLarge,
    /// The handler failed.
    Failed,
    /// The handler needed too long.
    Overdue,
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Refusal::Malformed => StatusCode::BAD_REQUEST,
            Refusal::PlainHttp | Refusal::Host | Refusal::Origin => StatusCode::FORBIDDEN,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Expectation => StatusCode::EXPECTATION_FAILED,
            Refusal::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Overdue => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn text(self) -> (&'static str, &'static str) {
        match self {
            Refusal::Malformed => ("bad_request", "This is not a well-formed HTTP request."),
            Refusal::PlainHttp => ("https_required", "Use https to reach this server."),
            Refusal::Host => (
                "host_not_allowed",
                "This server does not go by that name. Use the address it was announced with.",
            ),
            Refusal::Origin => (
                "origin_not_allowed",
                "Pages of this origin may not call the MCP endpoint. Ask the operator to allow the origin.",
            ),
            Refusal::Method => ("method_not_allowed", "This server is not a proxy."),
            Refusal::TooSlow => (
                "request_timeout",
                "The request did not arrive in time. Send it again.",
            ),
            Refusal::BodyTooLarge => (
                "content_too_large",
                "The request body is larger than this server takes. Send less.",
            ),
            Refusal::Expectation => (
                "expectation_failed",
                "Only `Expect: 100-continue` is understood.",
            ),
            Refusal::HeaderTooLarge => (
                "header_too_large",
                "The request header is larger than this server takes. Delete the cookies of this site, or send less.",
            ),
            Refusal::Failed => ("internal_error", "The server failed to answer. Try again."),
            Refusal::Overdue => (
                "timeout",
                "The server could not answer in time. Try again later.",
            ),
        }
    }

    pub(super) fn response(self, reader: Reader) -> Response {
        let (error, description) = self.text();
        let mut response = reader.error(self.status(), error, description);
        if self == Refusal::Overdue {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if self == Refusal::Method {
            response.headers_mut().insert(
                header::ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS"),
            );
        }
        response
    }

    /// The whole answer for a connection on which no request could be read.
    pub(super) fn http1(self) -> Vec<u8> {
        let (error, description) = self.text();
        let body = json!({ "error": error, "error_description": description }).to_string();
        let status = self.status();
        let mut answer = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default(),
            body.len(),
        )
        .into_bytes();
        answer.extend_from_slice(body.as_bytes());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body;

    #[tokio::test]
    async fn a_person_gets_a_page_and_a_program_json() {
        for refusal in [
            Refusal::Malformed,
            Refusal::PlainHttp,
            Refusal::Host,
            Refusal::Origin,
            Refusal::Method,
            Refusal::TooSlow,
            Refusal::BodyTooLarge,
            Refusal::Expectation,
            Refusal::HeaderTooLarge,
            Refusal::Failed,
            Refusal::Overdue,
        ] {
            let page = refusal.response(Reader::Person);
            let json = refusal.response(Reader::Program);
            for (answer, kind) in [
                (&page, "text/html; charset=utf-8"),
                (&json, "application/json"),
            ] {
                assert_eq!(answer.status(), refusal.status());
                assert_eq!(answer.headers()[header::CONTENT_TYPE], kind, "{refusal:?}");
                for name in [header::ALLOW, header::RETRY_AFTER] {
                    assert_eq!(page.headers().get(&name), json.headers().get(&name));
                }
            }
            let json = body::read(json.into_body(), 1 << 10).await.unwrap();
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(json["error"], refusal.text().0);
            let page = body::read(page.into_body(), 1 << 16).await.unwrap();
            let page = String::from_utf8(page.to_vec()).unwrap();
            assert!(page.contains(refusal.text().1), "{page}");
        }
    }
}
