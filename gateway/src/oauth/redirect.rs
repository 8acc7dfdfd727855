//! Where an authorization answer may be sent: loopback addresses, the callbacks of known hosted clients, and what
//! the operator added.

use url::{Host, Url};

/// Longest redirect URI that is looked at, in bytes.
pub(crate) const MAX_LEN: usize = 2_048;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pin {
    /// The path itself or anything below it.
    Prefix,
    /// The path itself.
    Exact,
}

/// Hosted clients: domain (and its subdomains, for prefixes), path, how the path is pinned.
const HOSTED: &[(&str, &str, Pin)] = &[
    ("antigravity.google", "/oauth-callback", Pin::Prefix),
    ("chatgpt.com", "/connector/oauth/", Pin::Prefix),
    (
        "chatgpt.com",
        "/connector_platform_oauth_redirect",
        Pin::Exact,
    ),
    ("claude.ai", "/api/mcp/auth_callback", Pin::Prefix),
    ("claude.com", "/api/mcp/auth_callback", Pin::Prefix),
    ("cursor.com", "/agents/mcp/oauth/callback", Pin::Prefix),
    ("grok.com", "/connector/oauth/", Pin::Prefix),
    ("grok.com", "/connectors-oauth-exchange-code/", Pin::Prefix),
    ("grok.com", "/mcp/callback", Pin::Prefix),
    (
        "perplexity.ai",
        "/rest/connections/oauth_callback",
        Pin::Prefix,
    ),
    (
        "perplexity.com",
        "/rest/connections/oauth_callback",
        Pin::Prefix,
    ),
    ("vscode.dev", "/redirect", Pin::Exact),
];

/// Redirect URIs of installed apps that are no web addresses, as a whole.
const APPS: &[&str] = &["cursor://anysphere.cursor-mcp/oauth/callback"];

/// Which redirect URIs clients may have.
#[derive(Debug, Clone)]
pub(crate) struct AllowList {
    extra: Vec<Url>,
}

/// A redirect URI that the allow-list has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// An app on the user's computer, by http.
    Loopback(Url),
    /// A hosted client, by https.
    Hosted(Url),
    /// An installed app with a scheme of its own.
    App(&'static str),
}

/// Why a redirect URI is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedirectError {
    #[error(
        "it is not an absolute URI in canonical form without fragment, user and encoded characters"
    )]
    Malformed,
    #[error("its address is not one this server sends answers to")]
    NotAllowed,
}

impl AllowList {
    /// The built-in list and the operator's prefixes (`https://host/path`).
    pub(crate) fn new(extra: Vec<Url>) -> Self {
        Self { extra }
    }

    /// Checks one redirect URI.
    pub(crate) fn check(&self, text: &str) -> Result<Redirect, RedirectError> {
        if let Some(app) = APPS.iter().find(|app| **app == text) {
            return Ok(Redirect::App(app));
        }
        let url = parse(text)?;
        match url.scheme() {
            "http" if is_loopback(&url) => Ok(Redirect::Loopback(url)),
            "https" if self.is_hosted(&url) => Ok(Redirect::Hosted(url)),
            _ => Err(RedirectError::NotAllowed),
        }
    }

    /// Whether a host is on or under one of the list's domains: its word about itself is listened to.
    pub(crate) fn has_host(&self, host: &str) -> bool {
        let extra = self.extra.iter().filter_map(Url::host_str);
        HOSTED
            .iter()
            .map(|(domain, ..)| *domain)
            .chain(extra)
            .any(|domain| is_under(host, domain))
    }

    fn is_hosted(&self, url: &Url) -> bool {
        let Some(Host::Domain(host)) = url.host() else {
            return false;
        };
        // Codes travel in the query; a client's own parameters there only serve confusion.
        if url.port().is_some() || url.query().is_some() || url.path().contains('%') {
            return false;
        }
        let built_in = HOSTED.iter().any(|(domain, path, pin)| match pin {
            Pin::Exact => host == *domain && url.path() == *path,
            Pin::Prefix => is_under(host, domain) && continues(url.path(), path),
        });
        built_in
            || self.extra.iter().any(|prefix| {
                prefix.host_str() == Some(host) && continues(url.path(), prefix.path())
            })
    }
}

impl Redirect {
    /// Where the answer goes, for the person to judge.
    pub(crate) fn host(&self) -> String {
        match self {
            Redirect::Loopback(url) | Redirect::Hosted(url) => {
                url.host_str().unwrap_or_default().to_owned()
            }
            Redirect::App(app) => app
                .split_once("://")
                .map_or(*app, |(scheme, _)| scheme)
                .to_owned(),
        }
    }

    /// Whether the answer stays on the person's computer.
    pub(crate) fn is_local(&self) -> bool {
        !matches!(self, Redirect::Hosted(_))
    }

    /// Whether a request's redirect URI is the registered one; loopback ports do not count (RFC 8252 section 7.3).
    pub(crate) fn matches(&self, registered: &str) -> bool {
        match self {
            Redirect::App(app) => *app == registered,
            Redirect::Hosted(url) => url.as_str() == registered,
            Redirect::Loopback(url) => parse(registered).is_ok_and(|registered| {
                is_loopback(&registered)
                    && registered.scheme() == url.scheme()
                    && registered.host() == url.host()
                    && registered.path() == url.path()
                    && registered.query() == url.query()
            }),
        }
    }
}

/// Reads a URI that says the same to every parser: canonical, no user, no fragment, printable ASCII.
fn parse(text: &str) -> Result<Url, RedirectError> {
    if text.len() > MAX_LEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(RedirectError::Malformed);
    }
    let url = Url::parse(text).map_err(|_| RedirectError::Malformed)?;
    // `http://127.0.0.1:5000` is what some clients send; the canonical form has the slash.
    let canonical =
        url.as_str() == text || (url.path() == "/" && url.as_str() == format!("{text}/"));
    let plain = url.has_host()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && !text.contains(['\\', '"', '<', '>']);
    (canonical && plain)
        .then_some(url)
        .ok_or(RedirectError::Malformed)
}

fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http" && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

fn is_under(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether a path is the prefix or goes on below it.
fn continues(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list() -> AllowList {
        AllowList::new(vec![Url::parse("https://agent.example/cb").unwrap()])
    }

    #[test]
    fn what_clients_really_use_is_allowed() {
        for uri in [
            "http://localhost:22954/oauth/callback",
            "http://127.0.0.1:33418",
            "http://127.0.0.1:33418/",
            "http://[::1]:9/cb?x=1",
            "https://claude.ai/api/mcp/auth_callback",
            "https://claude.com/api/mcp/auth_callback",
            "https://chatgpt.com/connector/oauth/abc",
            "https://chatgpt.com/connector_platform_oauth_redirect",
            "https://vscode.dev/redirect",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.perplexity.ai/rest/connections/oauth_callback",
            "https://agent.example/cb/x",
        ] {
            assert!(list().check(uri).is_ok(), "{uri}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for uri in [
            "javascript:alert(1)",
            "data:text/html,x",
            "https://claude.ai/",
            "https://claude.ai/api/mcp/auth_callback2",
            "https://claude.ai/api/mcp/auth_callback/%2e%2e/x",
            "https://claude.ai/api/mcp/auth_callback/../../x",
            "https://claude.ai/api/mcp/auth_callback?next=x",
            "https://claude.ai/api/mcp/auth_callback#f",
            "https://claude.ai:8443/api/mcp/auth_callback",
            "https://claude.ai@evil.example/api/mcp/auth_callback",
            "https://evilclaude.ai/api/mcp/auth_callback",
            "https://claude.ai.evil.example/api/mcp/auth_callback",
            "http://claude.ai/api/mcp/auth_callback",
            "HTTPS://claude.ai/api/mcp/auth_callback",
            "https://sub.vscode.dev/redirect",
            "https://vscode.dev/redirect/x",
            "https://chatgpt.com/g/x",
            "https://agent.example/cbx",
            "https://sub.agent.example/cb",
            "http://127.0.0.2/cb",
            "http://localhost.evil.example/cb",
            "http://user@localhost/cb",
            "http://localhost\\@evil.example/cb",
            "http://local\thost/cb",
            "http://2130706433/cb",
            "https://127.0.0.1/cb",
            "cursor://anysphere.cursor-mcp/oauth/callback/x",
            "cursor://other/oauth/callback",
            "/relative",
            "",
        ] {
            assert!(list().check(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn hosts_on_and_under_the_domains_are_known() {
        for host in [
            "claude.ai",
            "www.claude.ai",
            "vscode.dev",
            "agent.example",
            "a.agent.example",
        ] {
            assert!(list().has_host(host), "{host}");
        }
        for host in [
            "evilclaude.ai",
            "ai",
            "claude.ai.evil.example",
            "example",
            "localhost",
            "",
        ] {
            assert!(!list().has_host(host), "{host}");
        }
    }

    #[test]
    fn loopback_ports_do_not_count_and_all_else_does() {
        let asked = list().check("http://localhost:5555/cb").unwrap();
        assert!(asked.matches("http://localhost/cb"));
        assert!(asked.matches("http://localhost:1/cb"));
        for other in [
            "http://127.0.0.1:5555/cb",
            "http://localhost:5555/cb/",
            "http://localhost:5555/cb?x",
            "https://localhost:5555/cb",
        ] {
            assert!(!asked.matches(other), "{other}");
        }
        let hosted = list()
            .check("https://chatgpt.com/connector/oauth/a")
            .unwrap();
        assert!(!hosted.matches("https://chatgpt.com/connector/oauth/b"));
    }

    proptest! {
        #[test]
        fn nothing_allowed_leads_elsewhere(text in "\\PC{0,64}") {
            if let Ok(Redirect::Hosted(url)) = list().check(&text) {
                prop_assert_eq!(url.as_str(), text);
            }
        }

        #[test]
        fn near_misses_of_a_hosted_callback_never_pass(
            head in "[a-z0-9.@:/\\\\-]{1,12}", tail in "[a-z0-9.%@:?#\\\\-]{1,12}"
        ) {
            let before = format!("https://{head}claude.ai/api/mcp/auth_callback");
            if let Ok(Redirect::Hosted(url)) = list().check(&before) {
                prop_assert!(is_under(url.host_str().unwrap(), "claude.ai"));
            }
            let after = format!("https://claude.ai/api/mcp/auth_callback{tail}");
            prop_assert!(list().check(&after).is_err());
        }

        #[test]
        fn any_loopback_port_matches(port in 1u16.., registered in 1u16..) {
            let asked = list().check(&format!("http://127.0.0.1:{port}/cb")).unwrap();
            let registered = format!("http://127.0.0.1:{registered}/cb");
            prop_assert!(asked.matches(&registered));
        }
    }
}
