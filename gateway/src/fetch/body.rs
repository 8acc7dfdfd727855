use http::header;
use reqwest::Response;

use super::FetchError;

/// Reads an answer's whole body of at most `most` bytes.
pub(super) async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, FetchError> {
    if response.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(FetchError::Coding);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(FetchError::unreachable)? {
        // A chunk is no larger than the client's read buffer, so no more than that lies beyond the bound.
        body.extend_from_slice(&chunk);
        if body.len() > most {
            return Err(FetchError::TooLarge);
        }
    }
    Ok(body)
}
