//! The link with which an MCP server sends a browser to II: everything is in the fragment.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;
use url::{Host, Url};

use super::Handshake;

const DEFAULT_TTL: u64 = 3600;
const MIN_TTL: u64 = 600;
const MAX_TTL: u64 = 2_592_000;

#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum BadLink {
    #[error("the link is not an absolute URL with the path /mcp")]
    NotALink,
    #[error("the link has no query; everything belongs into its fragment")]
    Query,
    #[error("the link lacks `{0}`")]
    Missing(&'static str),
    #[error("`registration_key` is not unpadded base64url")]
    RegistrationKey,
    #[error("`callback` must be an https URL, or http on the host 127.0.0.1")]
    Callback,
    #[error("`ttl` is not a positive number of seconds")]
    Ttl,
}

#[derive(Debug)]
pub(crate) struct Link {
    /// The callback as it was written: the allow-list compares exact strings.
    pub(crate) callback_text: String,
    pub(crate) callback: Url,
    pub(crate) state: String,
    /// DER of X; empty in the handshake `key-request`.
    pub(crate) registration_key: Vec<u8>,
    /// Seconds, within II's limits.
    pub(crate) ttl: u64,
}

impl Link {
    pub(crate) fn parse(text: &str, handshake: Handshake) -> Result<Self, BadLink> {
        let url = Url::parse(text).map_err(|_| BadLink::NotALink)?;
        if url.path() != "/mcp" {
            return Err(BadLink::NotALink);
        }
        if url.query().is_some() {
            return Err(BadLink::Query);
        }
        let fragment = url.fragment().unwrap_or("");
        let value = |name: &'static str| {
            url::form_urlencoded::parse(fragment.as_bytes())
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
                .filter(|value| !value.is_empty())
        };
        let required = |name| value(name).ok_or(BadLink::Missing(name));
        let callback_text = required("callback")?;
        Ok(Self {
            callback: parse_callback(&callback_text)?,
            callback_text,
            state: required("state")?,
            registration_key: match handshake {
                Handshake::RegistrationDelegation => URL_SAFE_NO_PAD
                    .decode(required("registration_key")?)
                    .map_err(|_| BadLink::RegistrationKey)?,
                // A stray one means nothing there.
                Handshake::KeyRequest => Vec::new(),
            },
            ttl: parse_ttl(value("ttl"))?,
        })
    }

    /// Whether the callback is on this machine. Such a server has no allow-list to check.
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback_server(&self.callback)
    }

    /// Whether the server at `trusted` is the one that asks: same origin, where loopback servers
    /// are compared without their port.
    pub(crate) fn is_from(&self, trusted: &str) -> bool {
        Url::parse(trusted).is_ok_and(|trusted| {
            trusted.origin() == self.callback.origin()
                || (is_loopback_server(&trusted) && self.is_loopback())
        })
    }
}

pub(crate) fn clamp_ttl(seconds: u64) -> u64 {
    seconds.clamp(MIN_TTL, MAX_TTL)
}

fn parse_callback(text: &str) -> Result<Url, BadLink> {
    let url = Url::parse(text).map_err(|_| BadLink::Callback)?;
    if url.scheme() == "https" || is_loopback_server(&url) {
        Ok(url)
    } else {
        Err(BadLink::Callback)
    }
}

fn is_loopback_server(url: &Url) -> bool {
    let loopback = Host::Ipv4(std::net::Ipv4Addr::LOCALHOST);
    url.scheme() == "http" && url.host() == Some(loopback)
}

fn parse_ttl(text: Option<String>) -> Result<u64, BadLink> {
    let Some(text) = text else {
        return Ok(DEFAULT_TTL);
    };
    let seconds: f64 = text.parse().map_err(|_| BadLink::Ttl)?;
    if seconds.is_finite() && seconds > 0.0 {
        Ok(clamp_ttl(seconds as u64))
    } else {
        Err(BadLink::Ttl)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(fragment: &str) -> Result<Link, BadLink> {
        let text = format!("http://127.0.0.1:9/mcp#{fragment}");
        Link::parse(&text, Handshake::RegistrationDelegation)
    }

    #[test]
    fn a_complete_link_parses_in_any_order() {
        let link = link("ttl=90000.7&registration_key=AAEC&state=s%20t&callback=http%3A%2F%2F127.0.0.1%3A8000%2Fcb").unwrap();
        assert_eq!(link.callback_text, "http://127.0.0.1:8000/cb");
        assert_eq!(link.state, "s t");
        assert_eq!(link.registration_key, [0, 1, 2]);
        assert_eq!(link.ttl, 90_000);
        assert!(link.is_loopback());
        assert!(link.is_from("http://127.0.0.1/mcp"));
        assert!(!link.is_from("https://mcp.example.com/mcp"));
    }

    #[test]
    fn what_ii_refuses_is_refused() {
        let with =
            |callback: &str| link(&format!("registration_key=AA&state=s&callback={callback}"));
        for callback in [
            "http://localhost:8000/cb",
            "http://[::1]/cb",
            "http://example.com/cb",
            "/cb",
            "ftp://127.0.0.1/cb",
        ] {
            assert_eq!(with(callback).unwrap_err(), BadLink::Callback, "{callback}");
        }
        assert!(with("https://example.com/cb").is_ok());
        assert_eq!(
            link("state=s&callback=https://a/cb").unwrap_err(),
            BadLink::Missing("registration_key")
        );
        assert_eq!(
            link("registration_key=AA%3D%3D&state=s&callback=https://a/cb").unwrap_err(),
            BadLink::RegistrationKey
        );
        assert_eq!(
            link("registration_key=AA&state=&callback=https://a/cb").unwrap_err(),
            BadLink::Missing("state")
        );
        assert_eq!(
            link("registration_key=AA&state=s&callback=https://a/cb&ttl=-1").unwrap_err(),
            BadLink::Ttl
        );
        assert_eq!(
            Link::parse(
                "http://127.0.0.1/mcp?state=s",
                Handshake::RegistrationDelegation
            )
            .unwrap_err(),
            BadLink::Query
        );
    }

    #[test]
    fn the_earlier_handshake_needs_no_key_in_the_link() {
        let text = "http://127.0.0.1:9/mcp#state=s&callback=https://a/cb&registration_key=!";
        let link = Link::parse(text, Handshake::KeyRequest).unwrap();
        assert!(link.registration_key.is_empty());
    }

    #[test]
    fn lifetimes_are_clamped() {
        let ttl = |ttl: &str| {
            link(&format!(
                "registration_key=AA&state=s&callback=https://a/cb&ttl={ttl}"
            ))
            .unwrap()
            .ttl
        };
        assert_eq!(ttl("1"), MIN_TTL);
        assert_eq!(ttl("9999999999"), MAX_TTL);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,200}") {
            let _ = Link::parse(&text, Handshake::KeyRequest);
            if let Ok(parsed) = link(&text) {
                proptest::prop_assert!((MIN_TTL..=MAX_TTL).contains(&parsed.ttl));
            }
        }
    }
}
