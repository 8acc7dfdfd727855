use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use url::Url;

use super::{CanisterId, IcError, MAX_ANSWER};

/// Submissions that a boundary node turned away unread are made again this many times.
const MAX_RETRIES: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The HTTPS interface of the Internet Computer, as far as the agent library does not cover it.
#[derive(Debug)]
pub(super) struct Boundary {
    http: Client,
    base: Url,
}

/// What is asked of a canister's subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A synchronous update call.
    Call,
    /// A part of the certified state.
    ReadState,
}

/// One client for all requests, so that connections are reused.
pub(super) fn http_client() -> Result<Client, IcError> {
    Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(45))
        .tcp_nodelay(true)
        .pool_max_idle_per_host(64)
        .build()
        .map_err(|error| IcError::Unexpected(format!("no HTTP client: {error}")))
}

impl Boundary {
    pub(super) fn new(http: Client, base: Url) -> Self {
        Self { http, base }
    }

    /// Posts an envelope. Nothing when it was accepted without an answer (202).
    pub(super) async fn post(
        &self,
        endpoint: Endpoint,
        canister: CanisterId,
        envelope: Vec<u8>,
    ) -> Result<Option<Bytes>, IcError> {
        let (version, name) = match endpoint {
            Endpoint::Call => ("v4", "call"),
            Endpoint::ReadState => ("v3", "read_state"),
        };
        let url = self
            .base
            .join(&format!("api/{version}/canister/{canister}/{name}"))
            .map_err(|error| IcError::Unexpected(error.to_string()))?;
        let envelope = Bytes::from(envelope);
        let mut retries = 0;
        loop {
            let (status, body) = self.send(url.clone(), envelope.clone()).await?;
            match status {
                StatusCode::OK => return Ok(Some(body)),
                StatusCode::ACCEPTED => return Ok(None),
                status => match IcError::of_status(status.as_u16(), &body) {
                    IcError::Busy
                        if status != StatusCode::GATEWAY_TIMEOUT && retries < MAX_RETRIES =>
                    {
                        retries += 1;
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                    // A gateway that gave up waiting may have delivered the request.
                    IcError::Busy if status == StatusCode::GATEWAY_TIMEOUT => {
                        return Err(IcError::AnswerLost);
                    }
                    error => return Err(error),
                },
            }
        }
    }

    async fn send(&self, url: Url, envelope: Bytes) -> Result<(StatusCode, Bytes), IcError> {
        let sent = self
            .http
            .post(url)
            .header(CONTENT_TYPE, "application/cbor")
            .body(envelope)
            .send()
            .await;
        let mut response = sent.map_err(|error| {
            tracing::debug!(%error, "a boundary node did not answer");
            if error.is_connect() {
                IcError::Unreachable
            } else {
                IcError::AnswerLost
            }
        })?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| IcError::AnswerLost)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(IcError::AnswerLost);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status(), body.freeze()))
    }
}
