use reqwest::{StatusCode, header};
use tokio::time::timeout;
use url::Url;

use super::{Bounds, FetchError, Fetcher, Target, body};

impl Fetcher {
    /// Fetches one file as the URL itself answers it: exactly status 200, whole, in time, in no content coding. What is
    /// done with it must not depend on the site's word: its hash has to be known beforehand.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn file(&self, url: &Url, bounds: Bounds) -> Result<Vec<u8>, FetchError> {
        let _place = self.places.take(url.host_str().unwrap_or_default(), None)?;
        let fetching = async {
            let target = Target::find(url, self.reach, &*self.resolver).await?;
            let response = Self::client(&target, 0)?
                .get(url.clone())
                .header(
                    header::ACCEPT,
                    "application/wasm, application/octet-stream, */*",
                )
                .send()
                .await
                .map_err(FetchError::unreachable)?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::of_status(response.status()));
            }
            body::read(response, bounds.bytes).await
        };
        timeout(bounds.time, fetching)
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }
}
