//! Visits: redirects, bounds, and names that change under way.

use std::{sync::Arc, time::Duration};

use super::{super::*, Page, Script, Site};

const ALLOWANCE: Allowance = Allowance {
    bytes: 1_000,
    time: Duration::from_secs(10),
    at_once: 4,
};
const BOUNDS: Bounds = Bounds {
    bytes: 600,
    time: Duration::from_secs(5),
};

fn visit() -> Visit {
    Fetcher::new(Reach::Development).visit(ALLOWANCE)
}

fn to(location: &str) -> Page {
    Page::new("302 Found", "text/plain", "moved").header("location", location)
}

async fn get(visit: &Visit, url: &str) -> Result<Answer, FetchError> {
    visit.get(&url.parse().unwrap(), BOUNDS).await
}

#[tokio::test]
async fn redirects_within_a_host_are_followed_and_the_last_origin_is_told() {
    let (first, second) = (Site::start().await, Site::start().await);
    first.put("/a", to("/b#part"));
    first.put("/b", to(&second.url("/c")));
    second.put("/c", Page::json("here"));
    let answer = get(&visit(), &first.url("/a")).await.unwrap();
    assert_eq!(answer.text(), "here");
    assert_eq!(answer.url.as_str(), second.url("/c"));
    assert!(!answer.is_of(&first.url("/a").parse().unwrap()));
    assert!(answer.is_of(&second.url("/").parse().unwrap()));
}

#[tokio::test]
async fn a_redirect_elsewhere_is_the_answer() {
    let site = Site::start().await;
    for location in [
        "http://localhost:1/",
        "https://other.example/",
        "http://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[2001:0:a00:1::]/",
        "http://[::1]/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://user@127.0.0.1/",
        "//",
    ] {
        site.put("/from", to(location));
        let answer = get(&visit(), &site.url("/from")).await.unwrap();
        assert_eq!(answer.status, 302, "{location}");
        assert_eq!(answer.text(), "moved");
    }
    site.put("/from", to("https://other.example:444/x"));
    let answer = get(&visit(), &site.url("/from")).await.unwrap();
    assert_eq!(
        answer.leads_to().as_deref(),
        Some("https://other.example:444")
    );
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let site = Site::start().await;
    site.put("/round", to("/round"));
    let answer = get(&visit(), &site.url("/round")).await.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(site.requests(), 11);
}

#[test]
fn where_redirects_may_lead() {
    let from: url::Url = "https://site.example/a/b".parse().unwrap();
    for (location, expected) in [
        ("../c", Some("https://site.example/c")),
        (
            "https://site.example:8443/",
            Some("https://site.example:8443/"),
        ),
        ("https://1.1.1.1/", Some("https://1.1.1.1/")),
        (
            "https://[2606:4700::1]/x#y",
            Some("https://[2606:4700::1]/x"),
        ),
        ("http://site.example/", None),
        ("https://www.site.example/", None),
        ("https://site.example.evil.example/", None),
        ("https://me@site.example/", None),
        ("https://2130706433/", None),
        ("https://0x7f.1/", None),
        ("https://[::ffff:7f00:1]/", None),
        ("javascript:alert(1)", None),
    ] {
        let hop = next_hop(&from, location, Reach::Public);
        assert_eq!(hop.as_ref().map(url::Url::as_str), expected, "{location}");
    }
    // Development opens http and loopback, and does not let https fall back to http.
    assert!(next_hop(&from, "http://site.example/", Reach::Development).is_none());
    let local: url::Url = "http://127.0.0.1:1/".parse().unwrap();
    assert!(next_hop(&local, "http://127.0.0.1:2/", Reach::Development).is_some());
    assert!(next_hop(&local, "http://127.0.0.2:2/", Reach::Development).is_none());
}

#[tokio::test]
async fn bodies_are_cut_at_their_bound_and_at_the_visits() {
    let site = Site::start().await;
    site.put("/long", Page::json(&"x".repeat(1 << 20)).without_length());
    let visit = visit();
    let first = get(&visit, &site.url("/long")).await.unwrap();
    assert_eq!((first.body.len(), first.whole), (600, false));
    let second = get(&visit, &site.url("/long")).await.unwrap();
    assert_eq!((second.body.len(), second.whole), (400, false));
    let third = get(&visit, &site.url("/long")).await.unwrap_err();
    assert_eq!(third, FetchError::Spent);
    site.put("/fits", Page::json(&"x".repeat(600)));
    let fits = get(&self::visit(), &site.url("/fits")).await.unwrap();
    assert_eq!((fits.body.len(), fits.whole), (600, true));
}

#[tokio::test]
async fn a_name_is_judged_once_in_a_visit_and_never_asked_again() {
    let site = Site::start().await;
    site.put("/a", to("/b"));
    site.put("/b", Page::json("{}"));
    let script = Script::new(&[&["127.0.0.1"], &["10.0.0.1"], &["169.254.169.254"]]);
    let fetcher = Fetcher::with_resolver(Reach::Development, script.clone());
    let visit = fetcher.visit(ALLOWANCE);
    let url = format!("http://rebinding.example:{}/a", site.port());
    for _ in 0..3 {
        assert_eq!(get(&visit, &url).await.unwrap().text(), "{}");
    }
    assert_eq!(script.left(), 2);
    // The next visit asks anew, and judges what it hears.
    let error = get(&fetcher.visit(ALLOWANCE), &url).await.unwrap_err();
    assert_eq!(error, FetchError::NotPublic);
}

#[tokio::test]
async fn a_visit_ends_in_time_whatever_waits() {
    let site = Site::start().await;
    site.put("/silent", Page::silent());
    let allowance = Allowance {
        time: Duration::from_millis(60),
        at_once: 1,
        ..ALLOWANCE
    };
    let visit = Arc::new(Fetcher::new(Reach::Development).visit(allowance));
    let both = (0..2).map(|_| {
        let (visit, url) = (Arc::clone(&visit), site.url("/silent"));
        tokio::spawn(async move { get(&visit, &url).await.unwrap_err() })
    });
    for one in both.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), FetchError::Timeout);
    }
    assert_eq!(site.requests(), 1);
}

#[tokio::test]
async fn what_is_of_use_in_part_is_given_when_its_time_is_over() {
    let site = Site::start().await;
    let page = Page::new("200 OK", "text/html", "<p>it begins");
    site.put("/stuck", page.header("x-from", "here").stuck());
    site.put("/silent", Page::silent());
    let bounds = Bounds {
        time: Duration::from_millis(200),
        ..BOUNDS
    };
    let stuck = site.url("/stuck").parse().unwrap();
    let answer = visit().get_what_comes(&stuck, bounds).await.unwrap();
    assert_eq!(
        (&answer.headers["x-from"], answer.whole),
        (&"here".parse().unwrap(), false)
    );
    let error = visit().get(&stuck, bounds).await.unwrap_err();
    assert_eq!(error, FetchError::Timeout);
    let silent = site.url("/silent").parse().unwrap();
    let error = visit().get_what_comes(&silent, bounds).await.unwrap_err();
    assert_eq!(error, FetchError::Timeout);
}

#[tokio::test]
async fn who_asked_gives_every_place_back() {
    let site = Site::start().await;
    site.put("/it", Page::json("{}"));
    let visit = visit().asked_by("somebody");
    for _ in 0..20 {
        get(&visit, &site.url("/it")).await.unwrap();
    }
}

#[tokio::test]
async fn any_status_is_an_answer() {
    let site = Site::start().await;
    site.put("/gone", Page::new("410 Gone", "text/html", "x"));
    let answer = get(&visit(), &site.url("/gone")).await.unwrap();
    assert_eq!(answer.status, 410);
    site.put(
        "/coded",
        Page::json("{}").header("content-encoding", "gzip"),
    );
    let error = get(&visit(), &site.url("/coded")).await.unwrap_err();
    assert_eq!(error, FetchError::Coding);
}
