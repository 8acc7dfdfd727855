use std::{error::Error, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use url::Url;

use super::{IcRequest, IcResponse, MAX_RESPONSE, Transport, TransportError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A synchronous update call is answered within about ten seconds.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The signer's own HTTPS to the configured endpoint.
#[derive(Debug)]
pub struct Direct {
    client: reqwest::Client,
    base: Url,
}

impl Direct {
    /// A transport to an endpoint, such as `https://icp-api.io`.
    ///
    /// # Errors
    /// When the TLS client cannot be set up.
    pub fn new(base: Url) -> Result<Self, TransportError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| unreachable(&error))?;
        Ok(Self { client, base })
    }
}

#[async_trait]
impl Transport for Direct {
    async fn send(&self, request: IcRequest) -> Result<IcResponse, TransportError> {
        let url = self
            .base
            .join(&request.path)
            .map_err(|error| unreachable(&error))?;
        let mut response = self
            .client
            .request(request.method, url)
            .header(CONTENT_TYPE, "application/cbor")
            .body(request.body)
            .send()
            .await
            .map_err(|error| unreachable(&error))?;
        let status = response.status();
        let body = read_body(&mut response).await?;
        Ok(IcResponse { status, body })
    }
}

async fn read_body(response: &mut reqwest::Response) -> Result<Bytes, TransportError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unreachable(&error))?
    {
        if body.len() + chunk.len() > MAX_RESPONSE {
            return Err(TransportError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The whole chain of causes: the outermost alone says nothing useful.
fn unreachable(error: &(dyn Error + 'static)) -> TransportError {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    TransportError::Unreachable(
        causes
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": "),
    )
}
