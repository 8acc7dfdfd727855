//! What an app declares about where its users are derived.

use url::Url;

use super::super::{
    DOCUMENT,
    answer::{frontend, is_html},
    manifest::{Manifest, ManifestError},
};
use crate::{
    fetch::{Answer, Bounds, FetchError, Visit},
    ic::CanisterId,
    origin::{OriginError, TargetOrigin},
};

const ONE_LINE: &str = "/.well-known/ii-derivation-origin";
const MANIFEST: &str = "/.well-known/ic-app.json";
const ALTERNATIVES: &str = "/.well-known/ii-alternative-origins";
/// Longest line that declares an origin, in bytes.
const MAX_LINE: usize = 512;
/// Alternative origins that are looked at. Internet Identity itself allows ten.
const MAX_ALTERNATIVES: usize = 100;
/// The document with the one line; a longer one is another document.
const LINE: Bounds = Bounds {
    bytes: 4 << 10,
    ..DOCUMENT
};

/// What a site declares.
pub(super) struct Declared {
    /// The origin and the document that names it.
    pub(super) origin: Option<(TargetOrigin, &'static str)>,
    /// The canister that serves the site, by the header of either answer.
    pub(super) frontend: Option<CanisterId>,
}

/// Why a declaration that is there, or may be there, cannot be used; reads on after the document's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("could not be fetched: {0}")]
    Fetch(FetchError),
    #[error("was answered with status {0}")]
    Status(u16),
    #[error("was answered by another site, to which the app's redirects")]
    Elsewhere,
    #[error("is longer than it may be")]
    Length,
    #[error("does not hold exactly one line with an https origin")]
    Line,
    #[error("names an origin that cannot be used: it {0}")]
    Origin(#[from] OriginError),
    #[error("cannot be used: it {0}")]
    Manifest(#[from] ManifestError),
}

/// Asks a site for its declarations. That there is none is an answer; that it cannot be known is a failure, since
/// another origin would make the user another person.
pub(super) async fn declared(
    visit: &Visit,
    home: &Url,
    dev: bool,
) -> Result<Declared, (&'static str, Unreadable)> {
    let (line, manifest) = tokio::join!(
        document(visit, home, ONE_LINE, LINE),
        document(visit, home, MANIFEST, DOCUMENT),
    );
    let line = line.map_err(|error| (ONE_LINE, error))?;
    let serves = line.frontend;
    if let Some(text) = line.text {
        let origin = one_line(&text, dev).map_err(|error| (ONE_LINE, error))?;
        return Ok(Declared {
            origin: Some((origin, ONE_LINE)),
            frontend: serves,
        });
    }
    let manifest = manifest.map_err(|error| (MANIFEST, error))?;
    let origin = match manifest.text {
        Some(text) => in_manifest(&text, dev).map_err(|error| (MANIFEST, error))?,
        None => None,
    };
    Ok(Declared {
        origin: origin.map(|origin| (origin, MANIFEST)),
        frontend: serves.or(manifest.frontend),
    })
}

/// Whether the site at a derivation origin lets an app derive there (Internet Identity's own rule for browsers).
pub(super) async fn allows(
    visit: &Visit,
    derivation: &TargetOrigin,
    app: &TargetOrigin,
    dev: bool,
) -> Result<bool, Unreadable> {
    let home = derivation.url()?;
    let found = document(visit, &home, ALTERNATIVES, DOCUMENT).await?;
    Ok(found.text.is_some_and(|text| lists(&text, app, dev)))
}

/// A document that authorizes something, and who served it.
struct Found {
    /// None when the site has no such document.
    text: Option<String>,
    frontend: Option<CanisterId>,
}

async fn document(
    visit: &Visit,
    home: &Url,
    path: &str,
    bounds: Bounds,
) -> Result<Found, Unreadable> {
    let url = home.join(path).map_err(|_| OriginError::Malformed)?;
    let answer = visit.get(&url, bounds).await.map_err(Unreadable::Fetch)?;
    Ok(Found {
        frontend: frontend(&answer, home),
        text: said(answer, home)?,
    })
}

/// What an answer says, if it is the document and not the page that sites of one page give for every address.
fn said(answer: Answer, home: &Url) -> Result<Option<String>, Unreadable> {
    match answer.status.as_u16() {
        404 | 410 => return Ok(None),
        200 if !answer.is_of(home) => return Err(Unreadable::Elsewhere),
        200 if is_html(&answer) => return Ok(None),
        200 if !answer.whole => return Err(Unreadable::Length),
        200 => {}
        status => return Err(Unreadable::Status(status)),
    }
    Ok(Some(answer.text().into_owned()))
}

/// The origin in a text of exactly one line.
fn one_line(text: &str, dev: bool) -> Result<TargetOrigin, Unreadable> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(Unreadable::Line);
    };
    let schemed = line.starts_with("https://") || (dev && line.starts_with("http://"));
    if line.len() > MAX_LINE || !schemed {
        return Err(Unreadable::Line);
    }
    Ok(TargetOrigin::parse(line, dev)?)
}

fn in_manifest(text: &str, dev: bool) -> Result<Option<TargetOrigin>, Unreadable> {
    let declared = Manifest::app(text)?.derivation_origin;
    let origin = declared.map(|origin| TargetOrigin::parse(&origin, dev));
    Ok(origin.transpose()?)
}

/// Whether `ii-alternative-origins` lists an app. Entries that are no origin are passed over.
fn lists(text: &str, app: &TargetOrigin, dev: bool) -> bool {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Alternatives {
        alternative_origins: Vec<serde_json::Value>,
    }
    let Ok(document) = serde_json::from_str::<Alternatives>(text) else {
        return false;
    };
    let mut origins = document
        .alternative_origins
        .iter()
        .take(MAX_ALTERNATIVES)
        .filter_map(serde_json::Value::as_str)
        .filter_map(|origin| TargetOrigin::parse(origin, dev).ok());
    origins.any(|origin| origin == *app)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_line_with_an_origin_declares_it() {
        for text in ["https://main.example", "\n  https://main.example/ \r\n\n"] {
            assert_eq!(
                one_line(text, false).unwrap().as_str(),
                "https://main.example"
            );
        }
        let long = format!("https://{}", "a.".repeat(300));
        for text in [
            "",
            "\n\n",
            "main.example",
            "http://main.example",
            "https://a.example\nhttps://b.example",
            "HTTPS://main.example",
            &long,
        ] {
            assert_eq!(one_line(text, false), Err(Unreadable::Line), "{text}");
        }
        for text in [
            "https://me@main.example",
            "https://main.example/path",
            "https://main.example?q",
            "https://main.example#f",
            "https://",
        ] {
            let error = one_line(text, false).unwrap_err();
            assert!(matches!(error, Unreadable::Origin(_)), "{text}: {error}");
        }
    }

    #[test]
    fn only_a_listed_app_may_derive_elsewhere() {
        let app = TargetOrigin::parse("https://app.example", false).unwrap();
        for (text, allowed) in [
            (r#"{"alternativeOrigins":["https://app.example"]}"#, true),
            (
                r#"{"alternativeOrigins":[7,null,"x y","https://APP.example:443/"]}"#,
                true,
            ),
            (
                r#"{"alternativeOrigins":["https://app.example.evil.example"]}"#,
                false,
            ),
            (
                r#"{"alternativeOrigins":["https://app.example:444"]}"#,
                false,
            ),
            (r#"{"alternativeOrigins":"https://app.example"}"#, false),
            (r#"["https://app.example"]"#, false),
            ("", false),
        ] {
            assert_eq!(lists(text, &app, false), allowed, "{text}");
        }
        let late = vec!["\"https://x.example\""; MAX_ALTERNATIVES].join(",");
        let text = format!(r#"{{"alternativeOrigins":[{late},"https://app.example"]}}"#);
        assert!(!lists(&text, &app, false));
    }

    proptest! {
        #[test]
        fn any_line_is_read_and_what_it_declares_has_https(text in "(https://|http://|\n|/|\\PC){0,20}") {
            if let Ok(origin) = one_line(&text, false) {
                prop_assert!(origin.as_str().starts_with("https://"));
            }
        }
    }
}
