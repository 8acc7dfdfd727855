//! The client against something that accepts connections and never says a word.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use icgate_proto::{
    Reason, SignerClient,
    v1::{SignQueryRequest, sign_stream_request::Call},
};
use tokio::net::TcpListener;

#[tokio::test]
async fn nobody_waits_for_a_signer_that_is_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let silence = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let client = SignerClient::over(endpoint.connect_lazy());

    let asked = Instant::now();
    let call = || Call::Query(SignQueryRequest::default());
    let (serving, first, second) = tokio::join!(
        client.is_serving(),
        client.sign(call()),
        client.sign(call())
    );
    assert!(!serving);
    assert_eq!(first.unwrap_err().reason, Reason::SignerUnavailable);
    assert_eq!(second.unwrap_err().reason, Reason::SignerUnavailable);
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    silence.abort();
}
