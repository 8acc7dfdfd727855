use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
    redirect::Policy,
};
use url::Url;

use super::{CanisterId, IcError, MAX_ANSWER};

/// Requests that a boundary node was too busy for are made again this many times.
const MAX_RETRIES: u32 = 3;
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// Where a boundary node names the cause of an error.
const ERROR_CAUSE: &str = "x-ic-error-cause";
/// Causes with which no replica has the request. With the others, 429 and 503 also follow a call that a replica took
/// before the connection to it failed or its answer came too late: a boundary node tries several replicas and passes on
/// what the last of them said.
const NOT_DELIVERED: [&str; 3] = ["no_healthy_nodes", "load_shed", "service_unavailable"];

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

/// What came of an envelope that was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Posted {
    /// Nothing when it was accepted without an answer (202).
    pub(super) answer: Option<Bytes>,
    /// Whether an earlier copy may have arrived: then a refusal of this one proves nothing.
    pub(super) doubt: bool,
}

/// An answer as it came.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// One client for all requests, so that connections are reused.
pub(super) fn http_client() -> Result<Client, IcError> {
    Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(45))
        .tcp_nodelay(true)
        .redirect(Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(64)
        .build()
        .map_err(|error| IcError::Unexpected(format!("no HTTP client: {error}")))
}

impl Boundary {
    pub(super) fn new(http: Client, base: Url) -> Self {
        Self { http, base }
    }

    /// Posts an envelope, again when the boundary node is busy: copies of one envelope are executed once.
    pub(super) async fn post(
        &self,
        endpoint: Endpoint,
        canister: CanisterId,
        envelope: Vec<u8>,
    ) -> Result<Posted, IcError> {
        let (version, name) = match endpoint {
            Endpoint::Call => ("v4", "call"),
            Endpoint::ReadState => ("v3", "read_state"),
        };
        let url = self
            .base
            .join(&format!("api/{version}/canister/{canister}/{name}"))
            .map_err(|error| IcError::Unexpected(error.to_string()))?;
        let envelope = Bytes::from(envelope);
        let (mut retries, mut doubt) = (0, false);
        loop {
            let (error, busy) = match self.send(url.clone(), envelope.clone()).await {
                Ok(Answer { status, body, .. }) if status == StatusCode::OK => {
                    let answer = Some(body);
                    return Ok(Posted { answer, doubt });
                }
                Ok(answer) if answer.status == StatusCode::ACCEPTED => {
                    let answer = None;
                    return Ok(Posted { answer, doubt });
                }
                Ok(answer) => (answer.error(endpoint), answer.is_busy()),
                Err(error) => (error, false),
            };
            doubt |= error == IcError::AnswerLost;
            if !busy || retries == MAX_RETRIES {
                return Err(if doubt { IcError::AnswerLost } else { error });
            }
            retries += 1;
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn send(&self, url: Url, envelope: Bytes) -> Result<Answer, IcError> {
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
        Ok(Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
        })
    }
}

impl Answer {
    fn is_busy(&self) -> bool {
        matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        )
    }

    fn error(&self, endpoint: Endpoint) -> IcError {
        let cause = self.headers.get(ERROR_CAUSE);
        let delivered =
            !cause.is_some_and(|cause| NOT_DELIVERED.iter().any(|known| cause == known));
        if endpoint == Endpoint::Call && self.is_busy() && delivered {
            return IcError::AnswerLost;
        }
        IcError::of_status(self.status.as_u16(), &self.body)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::{
        super::scripted::{Requests, node},
        *,
    };

    const BUSY: &str = "HTTP/1.1 429 Busy\r\nx-ic-error-cause: load_shed\r\ncontent-length: 0\r\n\
                        connection: close\r\n\r\n";
    const UNCLEAR: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const REFUSED: &str =
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";
    const REPLIED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

    async fn posted(endpoint: Endpoint, answers: &[&str]) -> (Result<Posted, IcError>, Requests) {
        let (url, requests) = node(answers.iter().map(|answer| (*answer).into()).collect()).await;
        let boundary = Boundary::new(http_client().unwrap(), url);
        let canister = CanisterId::parse("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap();
        let posted = boundary.post(endpoint, canister, b"envelope".to_vec());
        (posted.await, requests)
    }

    async fn called(answers: &[&str]) -> Result<Posted, IcError> {
        posted(Endpoint::Call, answers).await.0
    }

    #[tokio::test]
    async fn every_answer_is_told_from_the_others() {
        let took = |answer: Option<&'static str>| {
            let answer = answer.map(Bytes::from);
            Ok(Posted {
                answer,
                doubt: false,
            })
        };
        for (answer, outcome) in [
            (REPLIED, took(Some("ok"))),
            (
                "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                took(None),
            ),
            (REFUSED, Err(IcError::Refused(400, "no".to_owned()))),
            (
                "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                Err(IcError::AnswerLost),
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut",
                Err(IcError::AnswerLost),
            ),
            ("", Err(IcError::AnswerLost)),
        ] {
            assert_eq!(called(&[answer]).await, outcome, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_busy_node_is_asked_again_a_few_times() {
        let (outcome, mut requests) = posted(Endpoint::Call, &[BUSY]).await;
        assert_eq!(outcome, Err(IcError::Busy));
        let mut count = 0;
        while requests.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, 1 + MAX_RETRIES);
    }

    #[tokio::test]
    async fn only_a_call_that_was_kept_back_certainly_did_not_arrive() {
        for status in ["429", "503"] {
            let unclear = UNCLEAR.replace("503", status);
            assert_eq!(
                called(&[&unclear]).await,
                Err(IcError::AnswerLost),
                "{status}"
            );
            for (cause, outcome) in [
                ("no_healthy_nodes", IcError::Busy),
                ("load_shed", IcError::Busy),
                ("service_unavailable", IcError::Busy),
                ("rate_limited", IcError::AnswerLost),
                ("replica_error", IcError::AnswerLost),
            ] {
                let said = format!("x-ic-error-cause: {cause}\r\ncontent-length: 0");
                let answer = unclear.replace("content-length: 0", &said);
                assert_eq!(called(&[&answer]).await, Err(outcome), "{status} {cause}");
            }
            // Reading can be done again whatever happened to it.
            let (outcome, _) = posted(Endpoint::ReadState, &[&unclear]).await;
            assert_eq!(outcome, Err(IcError::Busy), "{status}");
        }
    }

    #[tokio::test]
    async fn nothing_that_follows_an_unclear_answer_takes_the_doubt_away() {
        for next in [BUSY, REFUSED] {
            let outcome = called(&[UNCLEAR, next]).await;
            assert_eq!(outcome, Err(IcError::AnswerLost), "{next}");
        }
        let taken = called(&[UNCLEAR, REPLIED]).await.unwrap();
        assert!(taken.doubt && taken.answer.is_some());
        let taken = called(&[BUSY, REPLIED]).await.unwrap();
        assert!(!taken.doubt);
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
        let canister = CanisterId::parse("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap();
        let posted = boundary.post(Endpoint::Call, canister, b"envelope".to_vec());
        assert_eq!(posted.await, Err(IcError::Unreachable));
    }
}
