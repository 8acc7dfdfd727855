//! Clients that describe themselves with a metadata document (draft-ietf-oauth-client-id-metadata-document): their
//! `client_id` is the document's address.
//!
//! Only addresses at domains on the redirect allow-list are fetched: a stranger cannot make this server speak to
//! places of the stranger's choice, and the operator's list says whose word counts.

mod address;
mod content;
mod freshness;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::StatusCode;
use moka::{Expiry, future::Cache};

pub(crate) use self::address::DocumentAddress;
use self::content::DocumentError;
use super::{
    answer::{Code, Refusal},
    redirect::AllowList,
};
use crate::{
    config::Config,
    fetch::{Bounds, FetchError, Fetcher},
    store::{Moment, records::Client},
};

/// How long it is remembered that an address has no good document.
const BAD_FOR: Duration = Duration::from_secs(60);
const BOUNDS: Bounds = Bounds {
    bytes: 8 * 1024,
    time: Duration::from_secs(5),
};

/// The clients' documents, fetched when needed and kept as long as their sites allow.
pub(crate) struct Documents {
    fetcher: Fetcher,
    remembered: Cache<DocumentAddress, Remembered>,
    hosts: Hosts,
}

/// Whose documents are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// Nobody's: no `client_id` is an address.
    None,
    /// Those of the redirect allow-list.
    Allowed,
    /// Anybody's, as far as the fetcher goes; for development.
    Any,
}

impl Hosts {
    pub(crate) const fn of(config: &Config) -> Self {
        match (config.client_documents, config.dev) {
            (false, _) => Hosts::None,
            (true, false) => Hosts::Allowed,
            (true, true) => Hosts::Any,
        }
    }
}

#[derive(Clone)]
struct Remembered {
    outcome: Result<Arc<Client>, Bad>,
    keep: Duration,
}

/// Why an address has no good document.
#[derive(Debug, Clone, thiserror::Error)]
enum Bad {
    #[error(transparent)]
    Fetch(FetchError),
    #[error(transparent)]
    Content(#[from] DocumentError),
}

/// Entries live as long as each of them says.
struct AsSaid;

impl Expiry<DocumentAddress, Remembered> for AsSaid {
    fn expire_after_create(
        &self,
        _: &DocumentAddress,
        value: &Remembered,
        _: Instant,
    ) -> Option<Duration> {
        Some(value.keep)
    }
}

impl Documents {
    /// `remembered` says how many documents, good and bad ones, are kept.
    pub(crate) fn new(fetcher: Fetcher, hosts: Hosts, remembered: u32) -> Self {
        Self {
            fetcher,
            remembered: Cache::builder()
                .max_capacity(remembered.into())
                .expire_after(AsSaid)
                .build(),
            hosts,
        }
    }

    /// Whether there is anybody whose documents are fetched.
    pub(crate) fn are_read(&self) -> bool {
        self.hosts != Hosts::None
    }

    /// Reads a `client_id` as a document's address; none when it is not one.
    pub(crate) fn address(&self, client_id: &str) -> Option<DocumentAddress> {
        match self.hosts {
            Hosts::None => None,
            Hosts::Allowed => DocumentAddress::parse(client_id, false),
            Hosts::Any => DocumentAddress::parse(client_id, true),
        }
    }

    /// Whether asking for this document fetches nothing.
    pub(crate) fn remembers(&self, address: &DocumentAddress) -> bool {
        self.remembered.contains_key(address)
    }

    /// The client that a document describes. Of several requests at once only one fetches; failures of the moment
    /// are not remembered.
    pub(crate) async fn client(
        &self,
        address: &DocumentAddress,
        allowed: &AllowList,
    ) -> Result<Client, Refusal> {
        if self.hosts != Hosts::Any && !allowed.has_host(&address.host()) {
            return Err(Refusal::new(
                Code::InvalidClient,
                "The app's client metadata document is not at a domain that this server trusts. Ask its operator to \
                 add the app's redirect address to OAUTH_ALLOWED_REDIRECT_PREFIXES.",
            )
            .with_status(StatusCode::FORBIDDEN));
        }
        let fetching = self.fetch(address, allowed);
        let remembered = self
            .remembered
            .try_get_with_by_ref(address, Box::pin(fetching))
            .await
            .map_err(|error| later(&error))?;
        match remembered.outcome {
            Ok(client) => Ok(Client::clone(&client)),
            Err(bad) => Err(bad.into()),
        }
    }

    async fn fetch(
        &self,
        address: &DocumentAddress,
        allowed: &AllowList,
    ) -> Result<Remembered, FetchError> {
        let fetched = match self.fetcher.document(address.url(), BOUNDS).await {
            Ok(document) => {
                let keep = freshness::lifetime(&document.headers, SystemTime::now());
                content::client(&document.text, address, allowed, Moment::now())
                    .map(|client| (client, keep))
                    .map_err(Bad::Content)
            }
            Err(error) if error.is_about_the_url() => Err(Bad::Fetch(error)),
            Err(error) => {
                tracing::warn!(document = %address, %error, "a client's document could not be fetched now");
                return Err(error);
            }
        };
        Ok(match fetched {
            Ok((client, keep)) => Remembered {
                outcome: Ok(Arc::new(client)),
                keep,
            },
            Err(bad) => {
                tracing::warn!(document = %address, error = %bad, "a client's document is refused");
                Remembered {
                    outcome: Err(bad),
                    keep: BAD_FOR,
                }
            }
        })
    }
}

/// The app's developer reads more than the person does: what is wrong is said as exactly as it is known.
impl From<Bad> for Refusal {
    fn from(bad: Bad) -> Self {
        let description = match bad {
            Bad::Fetch(FetchError::NotPublic) => {
                "The app's client metadata document lies at an address that is not public."
            }
            Bad::Fetch(FetchError::TooLarge) => {
                "The app's client metadata document is larger than 8 KiB."
            }
            Bad::Fetch(FetchError::ContentType) => {
                "The app's client metadata document has another content type than application/json."
            }
            Bad::Fetch(_) => {
                "The app's client metadata document cannot be had: its address must answer with status 200, without \
                 redirect and uncompressed, in UTF-8."
            }
            Bad::Content(DocumentError::Malformed) => {
                "The app's client metadata document is not a JSON object with the members of RFC 7591."
            }
            Bad::Content(DocumentError::OtherClient) => {
                "The app's client metadata document names another client_id than its own address."
            }
            Bad::Content(DocumentError::Secret) => {
                "The app's client metadata document is of a client with a secret or key; this server wants \
                 token_endpoint_auth_method none."
            }
            Bad::Content(DocumentError::Grants) => {
                "The app's client metadata document leaves out the grant type authorization_code or the response type \
                 code."
            }
            Bad::Content(DocumentError::Redirects) => {
                "The app's client metadata document has no redirect URI that this server sends answers to: loopback \
                 addresses, and allowed ones at the document's own origin; at most 16."
            }
        };
        Refusal::new(Code::InvalidClient, description).with_status(StatusCode::BAD_REQUEST)
    }
}

fn later(error: &FetchError) -> Refusal {
    let description = match error {
        FetchError::Busy => {
            "This server is fetching as many client metadata documents as it does at once; try again in a few seconds."
        }
        _ => {
            "The app's client metadata document cannot be reached right now; try again in a few seconds."
        }
    };
    Refusal::new(Code::TemporarilyUnavailable, description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::{
        Reach,
        tests::{Page, Script, Site},
    };

    fn allowed() -> AllowList {
        AllowList::new(vec!["https://agent.example/cb".parse().unwrap()])
    }

    fn development() -> Documents {
        Documents::new(Fetcher::new(Reach::Development), Hosts::Any, 512)
    }

    fn good(url: &str) -> Page {
        Page::json(&format!(
            r#"{{"client_id":"{url}","redirect_uris":["http://localhost/cb"]}}"#
        ))
    }

    async fn ask(documents: &Documents, url: &str) -> Result<Client, Refusal> {
        let address = documents.address(url).unwrap();
        documents.client(&address, &allowed()).await
    }

    #[tokio::test]
    async fn a_document_is_fetched_once_while_it_is_fresh() {
        let site = Site::start().await;
        let documents = development();
        let url = site.url("/client.json");
        site.put("/client.json", good(&url));
        let (one, other) = tokio::join!(ask(&documents, &url), ask(&documents, &url));
        assert_eq!(one.unwrap().id, url);
        assert_eq!(other.unwrap().redirect_uris, ["http://localhost/cb"]);
        ask(&documents, &url).await.unwrap();
        assert_eq!(site.requests(), 1);

        let url = site.url("/once.json");
        site.put("/once.json", good(&url).header("cache-control", "no-store"));
        ask(&documents, &url).await.unwrap();
        ask(&documents, &url).await.unwrap();
        assert_eq!(site.requests(), 3);
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_url_is_remembered_and_what_is_wrong_now_is_not() {
        let site = Site::start().await;
        let documents = development();
        let url = site.url("/client.json");
        for _ in 0..2 {
            let refusal = ask(&documents, &url).await.unwrap_err();
            assert_eq!(refusal.code, Code::InvalidClient);
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
        }
        assert_eq!(site.requests(), 1);

        let url = site.url("/later.json");
        site.put("/later.json", Page::new("503 X", "application/json", "{}"));
        let refusal = ask(&documents, &url).await.unwrap_err();
        assert_eq!(refusal.code, Code::TemporarilyUnavailable);
        assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
        site.put("/later.json", good(&url));
        ask(&documents, &url).await.unwrap();
    }

    #[tokio::test]
    async fn only_hosts_of_the_redirect_allow_list_are_asked() {
        let script = Script::new(&[&["10.0.0.1"], &["127.0.0.1"], &["::1"]]);
        let fetcher = Fetcher::with_resolver(Reach::Public, script);
        let documents = Documents::new(fetcher, Hosts::Allowed, 512);
        for url in [
            "https://evil.example/client.json",
            "https://evilclaude.ai/client.json",
            "https://claude.ai.evil.example/client.json",
            "https://127.0.0.1/client.json",
            "https://agent.example.evil.example/client.json",
        ] {
            let refusal = ask(&documents, url).await.unwrap_err();
            assert_eq!(refusal.status, StatusCode::FORBIDDEN, "{url}");
        }
        // Even a trusted name that leads inside is not followed there.
        for url in [
            "https://claude.ai/oauth/claude-code-client-metadata",
            "https://sub.chatgpt.com/oauth/codex/client.json",
            "https://agent.example/client.json",
        ] {
            let refusal = ask(&documents, url).await.unwrap_err();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST, "{url}");
            assert!(refusal.description.contains("not public"), "{url}");
        }
    }
}
