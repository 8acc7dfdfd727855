//! Fetches from a site on loopback, with resolvers that say what an attacker's would.

mod site;
mod visit;

use std::{
    collections::VecDeque,
    io,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use url::Url;

pub(crate) use self::site::{Page, Site};
use super::{Bounds, FetchError, Fetcher, Reach, Resolver};

const BOUNDS: Bounds = Bounds {
    bytes: 64,
    time: Duration::from_secs(10),
};

/// Gives its answers one after the other; the last one stays.
pub(crate) struct Script(Mutex<VecDeque<io::Result<Vec<IpAddr>>>>);

impl Script {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers
            .iter()
            .map(|answer| Ok(answer.iter().map(|text| text.parse().unwrap()).collect()))
            .collect();
        Arc::new(Self(Mutex::new(answers)))
    }

    fn failing() -> Arc<Self> {
        let error = io::Error::other("no such name");
        Arc::new(Self(Mutex::new([Err(error)].into())))
    }

    fn left(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[async_trait]
impl Resolver for Script {
    async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
        let answer = self.0.lock().unwrap().pop_front();
        answer.expect("the name is asked for once")
    }
}

fn in_development() -> Fetcher {
    Fetcher::new(Reach::Development)
}

async fn fetch(fetcher: &Fetcher, url: &str) -> Result<String, FetchError> {
    let url: Url = url.parse().unwrap();
    let document = fetcher.document(&url, BOUNDS).await?;
    Ok(document.text)
}

async fn answer_of(page: Page) -> Result<String, FetchError> {
    let site = Site::start().await;
    site.put("/it", page);
    fetch(&in_development(), &site.url("/it")).await
}

#[tokio::test]
async fn a_document_is_fetched_with_its_headers() {
    let site = Site::start().await;
    site.put("/it", Page::json("{}").header("cache-control", "max-age=5"));
    let url: Url = site.url("/it").parse().unwrap();
    let document = in_development().document(&url, BOUNDS).await.unwrap();
    assert_eq!(document.text, "{}");
    assert_eq!(document.headers["cache-control"], "max-age=5");
    let request = site.last_request().to_ascii_lowercase();
    assert!(request.contains("accept: application/json"), "{request}");
    for unwanted in ["cookie", "authorization", "referer", "accept-encoding"] {
        assert!(!request.contains(unwanted), "{request}");
    }
}

#[tokio::test]
async fn only_a_plain_200_with_json_in_utf8_counts() {
    for kind in ["application/json; charset=utf-8", "Application/Client+JSON"] {
        let page = Page::new("200 OK", kind, "{}");
        assert_eq!(answer_of(page).await.as_deref(), Ok("{}"), "{kind}");
    }
    for kind in [
        "text/html",
        "text/json",
        "application/+json",
        "application/jsonp",
        "",
    ] {
        let page = Page::new("200 OK", kind, "{}");
        assert_eq!(
            answer_of(page).await,
            Err(FetchError::ContentType),
            "{kind}"
        );
    }
    let twice = Page::json("{}").header("content-type", "text/html");
    assert_eq!(answer_of(twice).await, Err(FetchError::ContentType));
    let coded = Page::json("{}").header("content-encoding", "gzip");
    assert_eq!(answer_of(coded).await, Err(FetchError::Coding));
    let latin = Page::new("200 OK", "application/json", b"\"\xe9\"");
    assert_eq!(answer_of(latin).await, Err(FetchError::NotUtf8));
}

#[tokio::test]
async fn other_statuses_are_about_the_url_or_about_the_moment() {
    for status in [201, 203, 204, 301, 302, 304, 307, 401, 403, 404, 410] {
        let error = answer_of(Page::new(&format!("{status} X"), "application/json", "{}"))
            .await
            .unwrap_err();
        assert!(error.is_about_the_url(), "{status}: {error}");
    }
    for status in [408, 421, 425, 429, 500, 502, 503, 504] {
        let error = answer_of(Page::new(&format!("{status} X"), "application/json", "{}"))
            .await
            .unwrap_err();
        assert!(matches!(error, FetchError::Later(_)), "{status}: {error}");
        assert!(!error.is_about_the_url());
    }
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let site = Site::start().await;
    site.put("/to", Page::json("{}"));
    let away = Page::new("302 Found", "application/json", "{}").header("location", "/to");
    site.put("/from", away);
    let error = fetch(&in_development(), &site.url("/from"))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Status(_)), "{error}");
    assert_eq!(site.requests(), 1);
}

#[tokio::test]
async fn one_byte_more_than_allowed_is_too_much() {
    let most = "x".repeat(BOUNDS.bytes);
    assert_eq!(answer_of(Page::json(&most)).await.as_deref(), Ok(&*most));
    let more = format!("{most}x");
    assert_eq!(
        answer_of(Page::json(&more)).await,
        Err(FetchError::TooLarge)
    );
    // However it is announced.
    let endless = Page::json(&"x".repeat(1 << 20)).without_length();
    assert_eq!(answer_of(endless).await, Err(FetchError::TooLarge));
}

#[tokio::test]
async fn slowness_ends_at_the_deadline() {
    let site = Site::start().await;
    site.put("/silent", Page::silent());
    site.put("/stuck", Page::json("{}").stuck());
    let bounds = Bounds {
        time: Duration::from_millis(50),
        ..BOUNDS
    };
    for path in ["/silent", "/stuck"] {
        let url: Url = site.url(path).parse().unwrap();
        let error = in_development().document(&url, bounds).await.unwrap_err();
        assert_eq!(error, FetchError::Timeout, "{path}");
        assert!(!error.is_about_the_url());
    }
}

#[tokio::test]
async fn the_look_up_counts_towards_the_deadline() {
    struct Never;
    #[async_trait]
    impl Resolver for Never {
        async fn resolve(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
            std::future::pending().await
        }
    }
    let fetcher = Fetcher::with_resolver(Reach::Public, Arc::new(Never));
    let bounds = Bounds {
        time: Duration::from_millis(20),
        ..BOUNDS
    };
    let url: Url = "https://slow.example/x".parse().unwrap();
    let error = fetcher.document(&url, bounds).await.unwrap_err();
    assert_eq!(error, FetchError::Timeout);
}

#[tokio::test]
async fn a_name_is_asked_once_and_the_connection_goes_where_it_said_then() {
    let site = Site::start().await;
    site.put("/it", Page::json("{}"));
    // A resolver under the attacker's control answers differently the second time.
    let script = Script::new(&[&["127.0.0.1"], &["10.0.0.1"], &["169.254.169.254"]]);
    let fetcher = Fetcher::with_resolver(Reach::Development, script.clone());
    let url = format!("http://rebinding.example:{}/it", site.port());
    assert_eq!(fetch(&fetcher, &url).await.as_deref(), Ok("{}"));
    assert_eq!(script.left(), 2);
    assert!(site.last_request().contains("rebinding.example"));
}

#[tokio::test]
async fn one_address_that_is_not_public_refuses_the_name() {
    let site = Site::start().await;
    for addresses in [
        &["127.0.0.1"][..],
        &["93.184.215.14", "127.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
        &["169.254.169.254"],
    ] {
        let fetcher = Fetcher::with_resolver(Reach::Public, Script::new(&[addresses]));
        let url = format!("https://inside.example:{}/", site.port());
        let error = fetch(&fetcher, &url).await.unwrap_err();
        assert_eq!(error, FetchError::NotPublic, "{addresses:?}");
    }
    assert_eq!(site.connections(), 0);
}

#[tokio::test]
async fn addresses_in_the_url_are_judged_like_those_of_names() {
    let public = Fetcher::new(Reach::Public);
    for host in [
        "127.0.0.1",
        "10.1.2.3",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "0x7f.1",
        "2130706433",
    ] {
        let error = fetch(&public, &format!("https://{host}/"))
            .await
            .unwrap_err();
        assert_eq!(error, FetchError::NotPublic, "{host}");
    }
    // Development opens loopback and nothing else.
    for host in [
        "10.1.2.3",
        "169.254.169.254",
        "0.0.0.0",
        "[fe80::1]",
        "[::]",
    ] {
        let error = fetch(&in_development(), &format!("http://{host}/"))
            .await
            .unwrap_err();
        assert_eq!(error, FetchError::NotPublic, "{host}");
    }
}

#[tokio::test]
async fn schemes_and_users_are_refused() {
    let public = Fetcher::new(Reach::Public);
    for url in [
        "http://site.example/",
        "ftp://site.example/",
        "data:,x",
        "file:///etc/passwd",
    ] {
        let error = fetch(&public, url).await.unwrap_err();
        assert_eq!(error, FetchError::Scheme, "{url}");
    }
    let error = fetch(&public, "https://user@site.example/").await;
    assert_eq!(error, Err(FetchError::Credentials));
}

#[tokio::test]
async fn what_the_network_does_is_about_the_moment() {
    let fetcher = Fetcher::with_resolver(Reach::Public, Script::failing());
    let error = fetch(&fetcher, "https://gone.example/").await.unwrap_err();
    assert!(matches!(error, FetchError::Unresolved(_)), "{error}");
    let nowhere = Script::new(&[&[]]);
    let fetcher = Fetcher::with_resolver(Reach::Public, nowhere);
    let error = fetch(&fetcher, "https://empty.example/").await.unwrap_err();
    assert!(!error.is_about_the_url(), "{error}");
    // A port where nobody listens.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let error = fetch(&in_development(), &format!("http://127.0.0.1:{port}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, FetchError::Unreachable(_)), "{error}");
    assert!(!error.is_about_the_url());
}

#[tokio::test]
async fn a_host_gets_four_fetches_at_once_and_the_next_is_told_to_come_again() {
    let site = Site::start().await;
    site.put("/silent", Page::silent());
    site.put("/it", Page::json("{}"));
    let fetcher = in_development();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let (fetcher, url) = (fetcher.clone(), site.url("/silent"));
            tokio::spawn(async move { fetch(&fetcher, &url).await })
        })
        .collect();
    site.has_requests(4).await;
    let error = fetch(&fetcher, &site.url("/it")).await.unwrap_err();
    assert_eq!(error, FetchError::Busy);
    assert!(!error.is_about_the_url());
    for task in waiting {
        task.abort();
        let _ = task.await;
    }
    assert_eq!(fetch(&fetcher, &site.url("/it")).await.as_deref(), Ok("{}"));
}
