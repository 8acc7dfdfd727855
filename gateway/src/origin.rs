//! Origins of apps as people and agents write them: where the user is somebody.

use url::{Host, Url};

/// Longest text, in bytes; a host name has at most 253 characters.
const MAX_LENGTH: usize = 512;
/// Longest web address with its path, in bytes.
const MAX_ADDRESS: usize = 2_048;

/// An app's origin as an agent names it: scheme, host and port, nothing else. Internet Identity derives the user's
/// principal from it, so a stray path or port would silently make another person; the signer canonicalises it
/// further.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TargetOrigin(String);

/// Why a text is no origin; reads on after "The domain …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OriginError {
    #[error("is empty; give the app's address, like https://oisy.com")]
    Empty,
    #[error("is too long for an app's address")]
    Length,
    #[error("has control characters or spaces in it")]
    Characters,
    #[error("must be an https address, like https://oisy.com")]
    Scheme,
    #[error("must not have a user name or password in it")]
    UserInfo,
    #[error("must end after the host, without a path, query or fragment, like https://oisy.com")]
    Path,
    #[error("is not an address; give the app's, like https://oisy.com")]
    Malformed,
}

impl TargetOrigin {
    /// Reads a bare host or an https origin; http only for a loopback host, and only where the configuration allows
    /// development targets.
    pub(crate) fn parse(text: &str, dev: bool) -> Result<Self, OriginError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(OriginError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(OriginError::Length);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(OriginError::Characters);
        }
        // The parser would skip any number of slashes before the host, and takes a backslash for one.
        let address = text.split_once("://").map_or(text, |(_, rest)| rest);
        if address.starts_with('/') || text.contains('\\') {
            return Err(OriginError::Malformed);
        }
        let url = match text.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => Url::parse(text),
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") && dev => Url::parse(text),
            Some(_) => return Err(OriginError::Scheme),
            None => Url::parse(&format!("https://{text}")),
        };
        let url = url.map_err(|_| OriginError::Malformed)?;
        // The parser drops an empty user name before `@`.
        let authority = text
            .split(['/', '?', '#'])
            .find(|part| !part.is_empty() && !part.ends_with(':'));
        if !url.username().is_empty()
            || url.password().is_some()
            || authority.is_some_and(|authority| authority.contains('@'))
        {
            return Err(OriginError::UserInfo);
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(OriginError::Path);
        }
        let host = url.host().ok_or(OriginError::Malformed)?;
        if url.scheme() == "http" && !is_loopback(&host) {
            return Err(OriginError::Scheme);
        }
        Ok(Self(url.origin().ascii_serialization()))
    }

    /// The origin of a web address, whatever path it has.
    pub(crate) fn of_address(text: &str, dev: bool) -> Result<Self, OriginError> {
        let text = text.trim();
        if text.len() > MAX_ADDRESS {
            return Err(OriginError::Length);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(OriginError::Characters);
        }
        let host = scheme(text).map_or(0, |scheme| scheme.len() + "://".len());
        let end = text[host..]
            .find(['/', '?', '#'])
            .map_or(text.len(), |path| host + path);
        Self::parse(&text[..end], dev)
    }

    /// Whether an address is written with its scheme, as somebody does who means just this one.
    pub(crate) fn is_literal(text: &str) -> bool {
        scheme(text).is_some()
    }

    /// The same as a URL, whose path is `/`.
    pub(crate) fn url(&self) -> Result<Url, OriginError> {
        Url::parse(&self.0).map_err(|_| OriginError::Malformed)
    }

    /// Scheme, host in lower case, and a port that is not the scheme's own.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What stands before `://` at an address's beginning; in its path or query that means nothing.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    (!scheme.contains(['/', '?', '#'])).then_some(scheme)
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn origins_are_normalised() {
        for (text, origin) in [
            ("oisy.com", "https://oisy.com"),
            (" https://OISY.com/ ", "https://oisy.com"),
            ("https://oisy.com:443", "https://oisy.com"),
            ("oisy.com:8443", "https://oisy.com:8443"),
            ("HTTPS://nns.ic0.app", "https://nns.ic0.app"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(
                TargetOrigin::parse(text, false).unwrap().as_str(),
                origin,
                "{text}"
            );
        }
    }

    #[test]
    fn an_address_with_a_path_has_an_origin() {
        for (text, origin) in [
            ("https://OISY.com/wallet?x=1#top", "https://oisy.com"),
            ("oisy.com/@me", "https://oisy.com"),
            ("oisy.com?next=https://evil.example", "https://oisy.com"),
        ] {
            let found = TargetOrigin::of_address(text, false).unwrap();
            assert_eq!(found.as_str(), origin, "{text}");
            assert_eq!(found.url().unwrap().path(), "/");
            assert_eq!(TargetOrigin::is_literal(text), text.starts_with("https"));
        }
        for text in [
            "",
            "/oisy.com",
            "https:///x",
            "https://me@oisy.com/",
            "http://oisy.com/",
            "a b.com/",
            "javascript:alert(1)",
        ] {
            assert!(TargetOrigin::of_address(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for (text, error) in [
            ("", OriginError::Empty),
            ("  ", OriginError::Empty),
            ("oisy .com", OriginError::Characters),
            ("oisy.com\u{7}", OriginError::Characters),
            ("http://oisy.com", OriginError::Scheme),
            ("ftp://oisy.com", OriginError::Scheme),
            ("https://me@oisy.com", OriginError::UserInfo),
            ("https://@oisy.com", OriginError::UserInfo),
            ("me:pw@oisy.com", OriginError::UserInfo),
            ("https://oisy.com/wallet", OriginError::Path),
            ("oisy.com?x=1", OriginError::Path),
            ("oisy.com#x", OriginError::Path),
            ("https://", OriginError::Malformed),
            ("//oisy.com", OriginError::Malformed),
            ("/oisy.com", OriginError::Malformed),
            ("https:///oisy.com", OriginError::Malformed),
            ("https://\\oisy.com", OriginError::Malformed),
            ("\\\\oisy.com", OriginError::Malformed),
            ("oisy.com\\", OriginError::Malformed),
        ] {
            assert_eq!(TargetOrigin::parse(text, false), Err(error), "{text}");
        }
    }

    #[test]
    fn plain_http_is_for_development_on_loopback() {
        assert!(TargetOrigin::parse("http://127.0.0.1:8000", false).is_err());
        assert_eq!(
            TargetOrigin::parse("http://127.0.0.1:8000", true)
                .unwrap()
                .as_str(),
            "http://127.0.0.1:8000"
        );
        assert!(TargetOrigin::parse("http://app.localhost:4943", true).is_ok());
        assert_eq!(
            TargetOrigin::parse("http://oisy.com", true),
            Err(OriginError::Scheme)
        );
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_stable_and_has_no_path(text in "\\PC{0,40}", dev: bool) {
            if let Ok(origin) = TargetOrigin::parse(&text, dev) {
                prop_assert_eq!(&TargetOrigin::parse(origin.as_str(), dev).unwrap(), &origin);
                let rest = origin.as_str().split_once("://").unwrap().1;
                prop_assert!(!rest.contains(['/', '?', '#', '@']), "{}", origin.as_str());
            }
        }
    }
}
