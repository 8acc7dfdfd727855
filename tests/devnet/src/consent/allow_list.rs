//! The callbacks a server allows: `/.well-known/ii-auth-callbacks` at the callback's origin.

use std::time::Duration;

use reqwest::{header::CONTENT_TYPE, redirect::Policy};
use serde::Deserialize;
use thiserror::Error;
use url::Url;

const MAX_BYTES: usize = 8 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
pub(crate) enum NotAllowed {
    #[error("the callback allow-list cannot be fetched: {0}")]
    Fetch(#[from] reqwest::Error),
    #[error("the callback allow-list is answered with status {0}")]
    Status(u16),
    #[error("the callback allow-list is not application/json")]
    ContentType,
    #[error("the callback allow-list is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the callback allow-list is not an object with an array `callbacks` of strings")]
    Malformed,
    #[error("the callback is not on the server's allow-list")]
    NotListed,
}

#[derive(Deserialize)]
struct Document {
    callbacks: Vec<String>,
}

/// Checks that the server lists `callback`, letter for letter.
pub(crate) async fn check(callback: &str, url: &Url) -> Result<(), NotAllowed> {
    if url.fragment().is_some() {
        return Err(NotAllowed::NotListed);
    }
    let address = format!(
        "{}/.well-known/ii-auth-callbacks",
        url.origin().ascii_serialization()
    );
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .timeout(TIMEOUT)
        .build()?;
    let mut response = client.get(address).send().await?;
    if !response.status().is_success() {
        return Err(NotAllowed::Status(response.status().as_u16()));
    }
    let json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if !json {
        return Err(NotAllowed::ContentType);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BYTES {
            return Err(NotAllowed::TooLarge);
        }
    }
    let document: Document = serde_json::from_slice(&body).map_err(|_| NotAllowed::Malformed)?;
    if document.callbacks.iter().any(|entry| entry == callback) {
        Ok(())
    } else {
        Err(NotAllowed::NotListed)
    }
}
