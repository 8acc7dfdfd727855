//! `/healthz`: whether this process and its signer can serve.

use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode, header};
use icgate_proto::SignerClient;
use serde_json::json;
use tokio::sync::Mutex;

use crate::{
    app::is_read,
    body::{self, Response},
    reader::Reader,
};

/// The endpoint takes no token, so a signer that serves is asked at most this often however often it is called.
/// One that does not is asked each time: whoever waits for it learns at once that it is back.
const FRESH: Duration = Duration::from_secs(1);

/// Answers `/healthz`.
pub(crate) struct Health {
    signer: SignerClient,
    served: Mutex<Option<Instant>>,
}

impl Health {
    /// Asks this signer.
    pub(crate) fn new(signer: SignerClient) -> Self {
        Self {
            signer,
            served: Mutex::default(),
        }
    }

    /// 200 when all is well, 503 when the signer does not serve.
    pub(crate) async fn answer(&self, method: &Method, reader: Reader) -> Response {
        if !is_read(method) {
            let mut response = reader.error(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "The state of this server can only be read: ask with GET.",
            );
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        if self.signer_serves().await {
            body::json(StatusCode::OK, &json!({ "status": "ok", "signer": "ok" }))
        } else {
            body::json(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({ "status": "degraded", "signer": "unreachable" }),
            )
        }
    }

    async fn signer_serves(&self) -> bool {
        let mut served = self.served.lock().await;
        if served.is_some_and(|at| at.elapsed() < FRESH) {
            return true;
        }
        let serves = self.signer.is_serving().await;
        *served = serves.then(Instant::now);
        serves
    }
}
