//! Who is at the other end, proxies taken into account.

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
};

use http::HeaderMap;
use tracing::warn;

use super::refusal::Refusal;
use crate::config::{Config, Network};

/// The client of a request; lies in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The client's address, as the trusted proxies tell it.
    pub address: IpAddr,
    /// Whether the client speaks https, to us or to a trusted proxy.
    pub https: bool,
}

/// What proxies tell of their clients.
const FORWARDING: [&str; 4] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Decides who a peer is, and whether it may speak plain HTTP.
pub(super) struct PeerRules {
    proxies: Vec<Network>,
    public_https: bool,
    /// Whether the operator was told of a proxy that is not trusted.
    told: AtomicBool,
}

impl PeerRules {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            proxies: config.trusted_proxies.clone(),
            public_https: config.public_url.is_https(),
            told: AtomicBool::new(false),
        }
    }

    /// Forwarding headers count only when `connected`, the address at the other end of the connection, is a
    /// trusted proxy. Plain HTTP is for loopback and for such proxies, and these must say that their client
    /// uses https where this server's public address does.
    pub(super) fn judge(
        &self,
        connected: IpAddr,
        tls: bool,
        headers: &HeaderMap,
    ) -> Result<Peer, Refusal> {
        let connected = connected.to_canonical();
        if !self.trusts(connected) {
            if self.is_news(headers) {
                warn!(
                    proxy = %connected,
                    "a request came with forwarding headers from an address that is not in ICGATE_TRUSTED_PROXIES: \
                     everybody behind that proxy counts as this one address, and a PUBLIC_URL on loopback lifts the \
                     limits for it. Set PUBLIC_URL to the address that clients use, and name the proxy; said once"
                );
            }
            return if tls || connected.is_loopback() {
                Ok(Peer {
                    address: connected,
                    https: tls,
                })
            } else {
                Err(Refusal::PlainHttp)
            };
        }
        let https = tls || forwarded_https(headers);
        if self.public_https && !https {
            return Err(Refusal::PlainHttp);
        }
        Ok(Peer {
            address: self.client(connected, headers),
            https,
        })
    }

    /// Whether these headers are the first sign of a proxy where none is expected. A stranger may forge it, so it is
    /// said once and changes nothing.
    fn is_news(&self, headers: &HeaderMap) -> bool {
        FORWARDING.iter().any(|name| headers.contains_key(*name))
            && !self.told.swap(true, Ordering::Relaxed)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(address))
    }

    /// Each proxy appends who spoke to it, so the client is the last entry that is not itself a trusted proxy.
    /// What is not an address ends the search: nothing before it can be believed.
    fn client(&self, connected: IpAddr, headers: &HeaderMap) -> IpAddr {
        let told: Vec<&str> = if by_standard(headers) {
            values(headers, "forwarded")
                .map(|element| parameter(element, "for").unwrap_or_default())
                .collect()
        } else {
            values(headers, "x-forwarded-for").collect()
        };
        let mut client = connected;
        for entry in told.into_iter().rev() {
            let Some(address) = address(entry) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// Whether to read Forwarded (RFC 7239). Most proxies write X-Forwarded-* and pass a Forwarded on as their client
/// sent it, so it counts only where none of those is there. A proxy that writes Forwarded has to drop the others.
fn by_standard(headers: &HeaderMap) -> bool {
    !["x-forwarded-for", "x-forwarded-proto"]
        .iter()
        .any(|name| headers.contains_key(*name))
}

/// What the nearest proxy says of its own client's connection.
fn forwarded_https(headers: &HeaderMap) -> bool {
    let protocol = if by_standard(headers) {
        values(headers, "forwarded")
            .last()
            .and_then(|element| parameter(element, "proto"))
    } else {
        values(headers, "x-forwarded-proto").last()
    };
    protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("https"))
}

/// Every element of a list header, in order (RFC 9110 section 5.6.1).
fn values<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(str::trim)
}

/// A parameter of a Forwarded element (RFC 7239 section 4).
fn parameter<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"'))
    })
}

/// An address with or without a port (RFC 7239 section 6).
fn address(text: &str) -> Option<IpAddr> {
    text.trim_matches(['[', ']'])
        .parse()
        .or_else(|_| text.parse::<SocketAddr>().map(|with_port| with_port.ip()))
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(public_https: bool) -> PeerRules {
        PeerRules {
            proxies: vec!["10.0.0.0/8".parse().unwrap()],
            public_https,
            told: AtomicBool::new(false),
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    http::HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn judge(
        connected: &str,
        tls: bool,
        pairs: &[(&'static str, &'static str)],
    ) -> Option<(String, bool)> {
        rules(true)
            .judge(connected.parse().unwrap(), tls, &headers(pairs))
            .ok()
            .map(|peer| (peer.address.to_string(), peer.https))
    }

    fn is(address: &str, https: bool) -> Option<(String, bool)> {
        Some((address.to_owned(), https))
    }

    #[test]
    fn strangers_cannot_forward() {
        let forged = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(judge("203.0.113.9", true, &forged), is("203.0.113.9", true));
        assert_eq!(judge("203.0.113.9", false, &forged), None);
        assert_eq!(judge("127.0.0.1", false, &forged), is("127.0.0.1", false));
    }

    #[test]
    fn a_proxy_that_nobody_named_is_news_once() {
        for name in FORWARDING {
            let rules = rules(false);
            let forwarded = headers(&[(name, "for=1.2.3.4")]);
            assert!(!rules.is_news(&HeaderMap::new()));
            assert!(rules.is_news(&forwarded), "{name}");
            assert!(!rules.is_news(&forwarded), "{name}");
        }
    }

    #[test]
    fn a_proxy_names_the_client_it_saw() {
        let https = ("x-forwarded-proto", "https");
        let chain = [("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2"), https];
        assert_eq!(judge("10.0.0.1", false, &chain), is("203.0.113.9", true));
        let junk = [("x-forwarded-for", "6.6.6.6, unknown"), https];
        assert_eq!(judge("10.0.0.1", false, &junk), is("10.0.0.1", true));
        let standard = [(
            "forwarded",
            "for=6.6.6.6, for=\"[2001:db8::1]:99\";proto=https",
        )];
        assert_eq!(
            judge("::ffff:10.0.0.1", false, &standard),
            is("2001:db8::1", true)
        );
    }

    #[test]
    fn a_client_cannot_forge_the_standard_header_through_a_proxy_that_writes_the_other() {
        let forged = [
            ("forwarded", "for=6.6.6.6;proto=https"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(judge("10.0.0.1", false, &forged), is("203.0.113.9", true));
        let plain = [("forwarded", "proto=https"), ("x-forwarded-proto", "http")];
        assert_eq!(judge("10.0.0.1", false, &plain), None);
    }

    #[test]
    fn a_proxy_must_speak_https_where_we_are_https() {
        let plain = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-proto", "https, http"),
        ];
        assert_eq!(judge("10.0.0.1", false, &plain), None);
        assert_eq!(judge("10.0.0.1", false, &[]), None);
        let local = rules(false).judge("10.0.0.1".parse().unwrap(), false, &HeaderMap::new());
        assert!(local.is_ok());
    }
}
