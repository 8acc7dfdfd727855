use std::{fmt, sync::Arc};

use url::{Host, Url};

/// Longest origin that is read, in bytes; a host name has at most 253.
const MAX_BYTES: usize = 300;

/// An app's derivation origin in the one form Internet Identity derives accounts from: `https://host[:port]`, ASCII,
/// lower case, without the default port. A path, a slash or `:443` left in it would silently derive another
/// principal, so there is no other way to make one.
///
/// Canister hosts under `icp0.io` and `icp.net` are the origin `ic0.app` of the same label, as Internet Identity
/// itself maps them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetOrigin(Arc<str>);

/// The text is not an origin accounts can be derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an https origin such as https://app.example")]
pub struct InvalidOrigin;

impl TargetOrigin {
    /// Reads an https origin or a bare host; what follows the host and port is ignored.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let text = text.trim();
        match text.split_once("://") {
            Some((scheme, _)) if !scheme.eq_ignore_ascii_case("https") => Err(InvalidOrigin),
            Some((_, rest)) => Self::of_authority(rest),
            None => Self::of_authority(text),
        }
    }

    /// The origin under which this server itself is known to Internet Identity, which may be plain http on loopback.
    ///
    /// # Errors
    /// When it is no web origin.
    pub fn of_server(text: &str) -> Result<Self, InvalidOrigin> {
        match text.strip_prefix("http://") {
            Some(rest) => Self::of_authority(rest),
            None => Self::parse(text),
        }
    }

    /// The text that Internet Identity is given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Internet Identity takes every origin for https, whatever its scheme was.
    fn of_authority(rest: &str) -> Result<Self, InvalidOrigin> {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let odd = |char: char| !char.is_ascii_graphic() || matches!(char, '@' | '\\' | '%' | ',');
        if authority.is_empty() || authority.len() > MAX_BYTES || authority.contains(odd) {
            return Err(InvalidOrigin);
        }
        if is_plain(authority) {
            return Ok(Self(
                format!("https://{}", canonical_host(authority)?).into(),
            ));
        }
        let url = Url::parse(&format!("https://{authority}")).map_err(|_| InvalidOrigin)?;
        let host = match url.host().ok_or(InvalidOrigin)? {
            Host::Domain(domain) => canonical_host(domain)?,
            address => address.to_string(),
        };
        Ok(Self(match url.port() {
            Some(port) => format!("https://{host}:{port}").into(),
            None => format!("https://{host}").into(),
        }))
    }
}

/// Whether the URL parser would give back these bytes as a domain: lower-case letters, digits, hyphens and dots,
/// nothing it decodes (`xn--`) and no last label that it takes for a part of an IPv4 address. Nearly every request
/// names such a host, and the parser is slow beside the signature.
fn is_plain(authority: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    authority.bytes().all(plain)
        && authority.split('.').all(|label| !label.starts_with("xn--"))
        && authority
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with(|char: char| char.is_ascii_lowercase()))
}

fn canonical_host(domain: &str) -> Result<String, InvalidOrigin> {
    if domain.ends_with('.') || domain.split('.').any(str::is_empty) {
        return Err(InvalidOrigin);
    }
    let remapped = [".icp0.io", ".icp.net"]
        .iter()
        .find_map(|suffix| domain.strip_suffix(suffix))
        .filter(|label| !label.strip_suffix(".raw").unwrap_or(label).contains('.'));
    Ok(match remapped {
        Some(label) => format!("{label}.ic0.app"),
        None => domain.to_owned(),
    })
}

impl fmt::Display for TargetOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        TargetOrigin::parse(text)
            .map_or_else(|error| error.to_string(), |origin| origin.to_string())
    }

    #[test]
    fn one_form_for_every_spelling() {
        for text in [
            "https://app.example",
            "https://app.example/",
            "https://app.example:443",
            "https://app.example:443/path?query#fragment",
            "HTTPS://App.Example",
            "app.example",
            " app.example/path ",
        ] {
            assert_eq!(canonical(text), "https://app.example", "{text}");
        }
        assert_eq!(
            canonical("https://app.example:8443/x"),
            "https://app.example:8443"
        );
    }

    #[test]
    fn canister_hosts_are_remapped() {
        let label = "rdmx6-jaaaa-aaaaa-aaadq-cai";
        for text in ["icp0.io", "icp.net", "ic0.app"] {
            assert_eq!(
                canonical(&format!("https://{label}.{text}")),
                format!("https://{label}.ic0.app")
            );
            assert_eq!(
                canonical(&format!("https://{label}.raw.{text}")),
                format!("https://{label}.raw.ic0.app")
            );
        }
        assert_eq!(canonical("https://a.b.icp0.io"), "https://a.b.icp0.io");
        assert_eq!(canonical("https://icp0.io"), "https://icp0.io");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "https://",
            "http://app.example",
            "ftp://app.example",
            "https://user@app.example",
            "https://user:pw@app.example",
            "https://app.example:99999",
            "https://app.example.",
            "https://app..example",
            "https://exa mple",
            "https://app.example\\@evil.example",
            "https://%61pp.example",
            "javascript:alert(1)",
            "https://bücher.example",
        ] {
            assert!(TargetOrigin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn this_server_may_be_on_loopback() {
        let origin = |text| TargetOrigin::of_server(text).unwrap().to_string();
        assert_eq!(origin("http://127.0.0.1:8000"), "https://127.0.0.1:8000");
        assert_eq!(origin("https://mcp.example/"), "https://mcp.example");
    }

    proptest! {
        #[test]
        fn what_is_plain_is_what_the_url_parser_gives_back(
            host in "([a-z0-9-]{1,8}|xn--[a-z0-9-]{0,5}|0x[0-9a-f]{0,3}|[0-9]{1,4})(\\.([a-z0-9-]{1,8}|xn--[a-z0-9]{0,4}|0x[0-9a-f]{0,3}|[0-9]{1,4})){0,4}",
        ) {
            if is_plain(&host) {
                let url = Url::parse(&format!("https://{host}")).unwrap();
                prop_assert_eq!(url.host(), Some(Host::Domain(host.as_str())));
            }
        }

        #[test]
        fn nothing_but_host_and_port_survives(
            host in "[a-z][a-z0-9]{0,10}(\\.[a-z]{2,8}){1,3}",
            port in proptest::option::of(1u16..),
            tail in "([/?#][a-zA-Z0-9/?#:@.]{0,30})?",
        ) {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let origin = TargetOrigin::parse(&format!("https://{host}{port}{tail}")).unwrap();
            let rest = origin.as_str().strip_prefix("https://").unwrap();
            prop_assert!(!rest.contains(['/', '?', '#', '@']));
            prop_assert!(!rest.ends_with(":443"));
            prop_assert_eq!(TargetOrigin::parse(origin.as_str()).unwrap(), origin);
        }

        #[test]
        fn never_panics_and_is_idempotent(text in "\\PC{0,80}") {
            if let Ok(origin) = TargetOrigin::parse(&text) {
                prop_assert_eq!(TargetOrigin::parse(origin.as_str()), Ok(origin));
            }
        }
    }
}
