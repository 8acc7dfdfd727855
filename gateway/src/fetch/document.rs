use std::time::Duration;

use http::{HeaderMap, header};
use reqwest::StatusCode;
use tokio::time::timeout;
use url::Url;

use super::{FetchError, Fetcher, Target, body};

/// How much a document may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Longest body, in bytes.
    pub bytes: usize,
    /// For everything together, the look-up of the name included.
    pub time: Duration,
}

/// A JSON document as its own address answered it.
#[derive(Debug, Clone)]
pub struct Document {
    /// The text; that it is JSON only its content type says so far.
    pub text: String,
    /// The answer's headers, for its freshness.
    pub headers: HeaderMap,
}

impl Fetcher {
    /// Fetches one JSON document that authorizes something: only what the URL itself answers counts, with exactly
    /// status 200, whole and in time.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn document(&self, url: &Url, bounds: Bounds) -> Result<Document, FetchError> {
        let _place = self.places.take(url.host_str().unwrap_or_default(), None)?;
        timeout(bounds.time, self.strictly(url, bounds.bytes))
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    async fn strictly(&self, url: &Url, most: usize) -> Result<Document, FetchError> {
        let target = Target::find(url, self.reach, &*self.resolver).await?;
        let response = Self::client(&target, 0)?
            .get(url.clone())
            .header(header::ACCEPT, "application/json")
            .send()
            .await
            .map_err(FetchError::unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::of_status(response.status()));
        }
        if !is_json(response.headers()) {
            return Err(FetchError::ContentType);
        }
        let headers = response.headers().clone();
        let body = body::read(response, most).await?;
        let text = String::from_utf8(body).map_err(|_| FetchError::NotUtf8)?;
        Ok(Document { text, headers })
    }
}

/// `application/json` or a type with its suffix (RFC 6839 section 3.1), parameters aside; said once.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let kind = value.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json"
        || kind
            .strip_prefix("application/")
            .and_then(|subtype| subtype.strip_suffix("+json"))
            .is_some_and(|name| !name.is_empty())
}
