use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{Client, StatusCode, header::CONTENT_TYPE, redirect::Policy};
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
        .redirect(Policy::none())
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
                    IcError::Busy if retries < MAX_RETRIES => {
                        retries += 1;
                        tokio::time::sleep(RETRY_PAUSE).await;
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A boundary node that gives the same bytes to every connection and counts them.
    async fn node(answer: &'static str) -> (Boundary, tokio::sync::mpsc::UnboundedReceiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (seen, requests) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = seen.send(());
            }
        });
        (
            Boundary::new(http_client().unwrap(), base.parse().unwrap()),
            requests,
        )
    }

    async fn posted(boundary: &Boundary) -> Result<Option<Bytes>, IcError> {
        let canister = CanisterId::parse("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap();
        boundary
            .post(Endpoint::Call, canister, b"envelope".to_vec())
            .await
    }

    #[tokio::test]
    async fn every_answer_is_told_from_the_others() {
        let answers: [(&str, Result<Option<Bytes>, IcError>); 6] = [
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
                Ok(Some("ok".into())),
            ),
            (
                "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                Ok(None),
            ),
            (
                "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno",
                Err(IcError::Refused(400, "no".to_owned())),
            ),
            (
                "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                Err(IcError::AnswerLost),
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut",
                Err(IcError::AnswerLost),
            ),
            ("", Err(IcError::AnswerLost)),
        ];
        for (answer, outcome) in answers {
            let (boundary, _requests) = node(answer).await;
            assert_eq!(posted(&boundary).await, outcome, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_busy_node_is_asked_again_a_few_times() {
        let busy = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let (boundary, mut requests) = node(busy).await;
        assert_eq!(posted(&boundary).await, Err(IcError::Busy));
        let mut count = 0;
        while requests.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 1 + MAX_RETRIES);
    }

    #[tokio::test]
    async fn nobody_there_means_that_nothing_was_sent() {
        let gone = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let base = format!("http://{gone}").parse().unwrap();
        let boundary = Boundary::new(http_client().unwrap(), base);
        assert_eq!(posted(&boundary).await, Err(IcError::Unreachable));
    }
}
