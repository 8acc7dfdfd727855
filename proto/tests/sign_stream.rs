//! The client's signing stream against a server that answers out of order, late, or not at all.

#![allow(clippy::unwrap_used)]

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use icgate_proto::{
    Reason, SignerClient,
    v1::{
        SignError, SignQueryRequest, SignReadStateRequest, SignStreamReply, SignStreamRequest,
        SignUpdateRequest, SignedRequest,
        sign_stream_reply::Outcome,
        sign_stream_request::Call,
        signing_server::{Signing, SigningServer},
    },
};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// Methods named `hold` wait for the next request, `cut` ends the stream, `cut once` only the first time.
#[derive(Default, Clone)]
struct Double {
    streams: Arc<AtomicUsize>,
    held: Arc<AtomicUsize>,
    cuts: Arc<AtomicUsize>,
}

fn signed(method: &str) -> SignedRequest {
    SignedRequest {
        envelope: method.as_bytes().to_vec(),
        ..SignedRequest::default()
    }
}

#[tonic::async_trait]
impl Signing for Double {
    async fn sign_query(
        &self,
        request: Request<SignQueryRequest>,
    ) -> Result<Response<SignedRequest>, Status> {
        Ok(Response::new(signed(&request.get_ref().method)))
    }

    async fn sign_update(
        &self,
        _: Request<SignUpdateRequest>,
    ) -> Result<Response<SignedRequest>, Status> {
        Err(Status::unimplemented("not part of this double"))
    }

    async fn sign_read_state(
        &self,
        _: Request<SignReadStateRequest>,
    ) -> Result<Response<SignedRequest>, Status> {
        Err(Status::unimplemented("not part of this double"))
    }

    type SignStreamStream = Pin<Box<dyn Stream<Item = Result<SignStreamReply, Status>> + Send>>;

    async fn sign_stream(
        &self,
        request: Request<Streaming<SignStreamRequest>>,
    ) -> Result<Response<Self::SignStreamStream>, Status> {
        self.streams.fetch_add(1, Ordering::SeqCst);
        let (count_held, cuts) = (Arc::clone(&self.held), Arc::clone(&self.cuts));
        let mut requests = request.into_inner();
        let (replies, outgoing) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut held: Vec<(u64, String)> = Vec::new();
            while let Ok(Some(SignStreamRequest {
                id,
                call: Some(Call::Query(query)),
            })) = requests.message().await
            {
                let outcome = match query.method.as_str() {
                    "hold" => {
                        held.push((id, query.method));
                        count_held.fetch_add(1, Ordering::SeqCst);
                        continue;
                    }
                    "cut" => return,
                    "cut once" if cuts.fetch_add(1, Ordering::SeqCst) == 0 => return,
                    "refuse" => Outcome::Error(SignError {
                        code: 7,
                        reason: Reason::ScopeExceeded.as_str().to_owned(),
                        message: "no".to_owned(),
                    }),
                    method => Outcome::Signed(signed(method)),
                };
                let _ = replies
                    .send(Ok(SignStreamReply {
                        id,
                        outcome: Some(outcome),
                    }))
                    .await;
                for (id, method) in held.drain(..) {
                    let outcome = Some(Outcome::Signed(signed(&method)));
                    let _ = replies.send(Ok(SignStreamReply { id, outcome })).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

async fn client(double: Double) -> SignerClient {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        Server::builder()
            .add_service(SigningServer::new(double))
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)),
    );
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    SignerClient::over(endpoint.connect_lazy())
}

/// What is awaited, which has to come within a bound.
async fn in_time<T>(awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), awaited)
        .await
        .expect("what is awaited comes in time")
}

fn query(method: &str) -> Call {
    Call::Query(SignQueryRequest {
        method: method.to_owned(),
        ..SignQueryRequest::default()
    })
}

#[tokio::test]
async fn replies_reach_their_own_callers_in_any_order() {
    let double = Double::default();
    let client = client(double.clone()).await;
    let held = tokio::spawn({
        let client = client.clone();
        async move { client.sign(query("hold")).await }
    });
    // Any later answer releases the held one, whichever of the two reached the stream first.
    in_time(async {
        while !held.is_finished() {
            assert_eq!(client.sign(query("now")).await.unwrap().envelope, b"now");
        }
    })
    .await;
    assert_eq!(held.await.unwrap().unwrap().envelope, b"hold");
    assert_eq!(double.streams.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_refusal_keeps_its_reason_and_the_stream() {
    let double = Double::default();
    let client = client(double.clone()).await;
    assert_eq!(
        client.sign(query("refuse")).await.unwrap_err().reason,
        Reason::ScopeExceeded
    );
    assert!(client.sign(query("after")).await.is_ok());
    assert_eq!(double.streams.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_whose_stream_broke_is_sent_once_more() {
    let double = Double::default();
    let client = client(double.clone()).await;
    // Its own request cuts the stream both times.
    let cut = client.sign(query("cut")).await.unwrap_err();
    assert_eq!(cut.reason, Reason::SignerUnavailable);
    assert_eq!(double.streams.load(Ordering::SeqCst), 2);

    // One that another request's cut took along finds the next stream. There it hangs until its turn is cut off.
    let held = tokio::spawn({
        let client = client.clone();
        async move { client.sign(query("hold")).await }
    });
    let held_times = |times: usize| {
        let held = &double.held;
        in_time(async move {
            while held.load(Ordering::SeqCst) < times {
                tokio::task::yield_now().await;
            }
        })
    };
    held_times(1).await;
    let _ = client.sign(query("cut once")).await;
    held_times(2).await;
    assert!(client.sign(query("now")).await.is_ok());
    let held = in_time(held).await;
    assert_eq!(held.unwrap().unwrap().envelope, b"hold");
}

#[tokio::test]
async fn a_request_too_large_for_the_signer_takes_no_other_along() {
    let double = Double::default();
    let client = client(double.clone()).await;
    assert!(client.sign(query("before")).await.is_ok());
    let large = || {
        Call::Query(SignQueryRequest {
            arg: vec![0; 5 << 20],
            ..SignQueryRequest::default()
        })
    };
    for refused in [client.sign(large()).await, client.sign_unary(large()).await] {
        assert_eq!(refused.unwrap_err().reason, Reason::InvalidArgument);
    }
    assert!(client.sign(query("after")).await.is_ok());
    assert_eq!(double.streams.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stream_and_a_unary_call_answer_alike() {
    let client = client(Double::default()).await;
    let streamed = client.sign(query("same")).await.unwrap();
    assert_eq!(client.sign_unary(query("same")).await.unwrap(), streamed);
}

#[tokio::test]
async fn nobody_listening_is_a_retryable_error() {
    let endpoint = tonic::transport::Endpoint::from_static("http://127.0.0.1:1");
    let client = SignerClient::over(endpoint.connect_lazy());
    assert!(
        client
            .sign(query("x"))
            .await
            .unwrap_err()
            .reason
            .is_retryable()
    );
    assert!(
        client
            .sign_unary(query("x"))
            .await
            .unwrap_err()
            .reason
            .is_retryable()
    );
}

#[tokio::test]
async fn a_signer_without_a_health_service_does_not_serve() {
    assert!(!client(Double::default()).await.is_serving().await);
}
