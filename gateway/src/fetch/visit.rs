use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, header};
use reqwest::{Client, Response, StatusCode};
use tokio::{
    sync::{OnceCell, Semaphore},
    time::{Instant, timeout_at},
};
use url::Url;

use super::{Bounds, FetchError, Fetcher, Target, next_hop, places::Place};

/// Redirects that are followed for one fetch.
const MAX_REDIRECTS: usize = 10;

/// How much all fetches of a visit may cost together.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// Of all bodies, in bytes.
    pub bytes: usize,
    /// From the visit's beginning to its end.
    pub time: Duration,
    /// Fetches at once.
    pub at_once: usize,
}

/// Several fetches for one purpose, like looking at a website. Other than a strict fetch it follows redirects within
/// a site, gives answers of any status and type, and waits for a place. A name is looked up and judged once in a
/// visit; all its connections go where that said.
pub struct Visit {
    fetcher: Fetcher,
    asker: Option<Arc<str>>,
    ends_at: Instant,
    bytes_left: AtomicUsize,
    at_once: Semaphore,
    kept: usize,
    clients: Mutex<HashMap<String, Arc<OnceCell<Client>>>>,
}

/// What a site answered.
#[derive(Debug)]
pub struct Answer {
    /// Whose answer it is: another URL than the one asked when a redirect was followed.
    pub url: Url,
    /// Any status; a redirect that is not followed included.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to the bounds.
    pub body: Vec<u8>,
    /// Whether that is all of the body.
    pub whole: bool,
}

impl Fetcher {
    /// Begins a visit; its time runs from now.
    pub fn visit(&self, allowance: Allowance) -> Visit {
        Visit {
            fetcher: self.clone(),
            asker: None,
            ends_at: Instant::now() + allowance.time,
            bytes_left: AtomicUsize::new(allowance.bytes),
            at_once: Semaphore::new(allowance.at_once),
            kept: allowance.at_once,
            clients: Mutex::default(),
        }
    }
}

impl Visit {
    /// The visit of somebody who has a share of all fetches at once.
    pub fn asked_by(mut self, asker: impl Into<Arc<str>>) -> Self {
        self.asker = Some(asker.into());
        self
    }

    /// Fetches one URL. A body beyond the bound in bytes is cut, not an error.
    ///
    /// # Errors
    /// See [`FetchError`]; never for a status or a content type.
    pub async fn get(&self, url: &Url, bounds: Bounds) -> Result<Answer, FetchError> {
        let (answer, late) = self.fetch(url, bounds).await?;
        if late {
            return Err(FetchError::Timeout);
        }
        Ok(answer)
    }

    /// The same for what is of use in part: a body that takes too long is cut too.
    ///
    /// # Errors
    /// See [`FetchError`]; never for a status or a content type.
    pub async fn get_what_comes(&self, url: &Url, bounds: Bounds) -> Result<Answer, FetchError> {
        Ok(self.fetch(url, bounds).await?.0)
    }

    /// An answer, and whether its body was cut because it took too long.
    async fn fetch(&self, url: &Url, bounds: Bounds) -> Result<(Answer, bool), FetchError> {
        let late = |_| FetchError::Timeout;
        let permit = timeout_at(self.ends_at, self.at_once.acquire());
        let _permit = permit.await.map_err(late)?;
        let ends_at = self.ends_at.min(Instant::now() + bounds.time);
        let (url, response, _place) = timeout_at(ends_at, self.follow(url.clone()))
            .await
            .map_err(late)??;
        self.read(url, response, bounds.bytes, ends_at).await
    }

    async fn follow(&self, mut url: Url) -> Result<(Url, Response, Place), FetchError> {
        let mut hops = 0;
        loop {
            if self.bytes_left.load(Ordering::Relaxed) == 0 {
                return Err(FetchError::Spent);
            }
            let host = url.host_str().unwrap_or_default();
            let place = self.fetcher.places.wait(host, self.asker.as_ref()).await;
            let response = self
                .client(&url)
                .await?
                .get(url.clone())
                .header(header::ACCEPT, "*/*")
                .send()
                .await
                .map_err(FetchError::unreachable)?;
            match self.redirect(&url, &response) {
                Some(next) if hops < MAX_REDIRECTS => url = next,
                _ => return Ok((url, response, place)),
            }
            hops += 1;
        }
    }

    fn redirect(&self, from: &Url, response: &Response) -> Option<Url> {
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
        next_hop(from, location, self.fetcher.reach)
    }

    /// The client for a URL's origin, made when the origin is first needed.
    async fn client(&self, url: &Url) -> Result<Client, FetchError> {
        let cell = {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(
                clients
                    .entry(url.origin().ascii_serialization())
                    .or_default(),
            )
        };
        let find = async {
            let fetcher = &self.fetcher;
            let target = Target::find(url, fetcher.reach, &*fetcher.resolver).await?;
            Fetcher::client(&target, self.kept)
        };
        cell.get_or_try_init(|| find).await.cloned()
    }

    async fn read(
        &self,
        url: Url,
        mut response: Response,
        most: usize,
        ends_at: Instant,
    ) -> Result<(Answer, bool), FetchError> {
        if response.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(FetchError::Coding);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        let (mut whole, mut late) = (true, false);
        loop {
            let Ok(chunk) = timeout_at(ends_at, response.chunk()).await else {
                (whole, late) = (false, true);
                break;
            };
            let Some(chunk) = chunk.map_err(FetchError::unreachable)? else {
                break;
            };
            let granted = self.spend(chunk.len().min(most - body.len()));
            body.extend_from_slice(&chunk[..granted]);
            if granted < chunk.len() {
                whole = false;
                break;
            }
        }
        let answer = Answer {
            url,
            status,
            headers,
            body,
            whole,
        };
        Ok((answer, late))
    }

    /// Takes so many bytes from the allowance, or what is left of it.
    fn spend(&self, wanted: usize) -> usize {
        let take = |left: usize| Some(left - left.min(wanted));
        self.bytes_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .unwrap_or_default()
            .min(wanted)
    }
}

impl Answer {
    /// Whether the origin that was asked answered itself. What a redirect's target answers authorizes nothing.
    pub fn is_of(&self, asked: &Url) -> bool {
        self.url.origin() == asked.origin()
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Where it redirects to without being followed, as an origin.
    pub fn leads_to(&self) -> Option<String> {
        if !self.status.is_redirection() {
            return None;
        }
        let location = self.headers.get(header::LOCATION)?.to_str().ok()?;
        let to = self.url.join(location).ok()?;
        to.has_host().then(|| to.origin().ascii_serialization())
    }
}
