use std::fmt;

use url::Url;

const MAX_LEN: usize = 2_048;

/// The address of a client metadata document, which is the client's `client_id` to the letter. Addresses are equal
/// when their texts are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DocumentAddress {
    text: String,
    url: Url,
}

impl DocumentAddress {
    /// Reads an https URL that says the same to every parser: canonical except for the host's case and `:443`, with
    /// a path beyond `/`, without port, user and fragment. Development takes plain http and ports too.
    pub(crate) fn parse(text: &str, development: bool) -> Option<Self> {
        if text.len() > MAX_LEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (scheme, rest) = text.split_once("://")?;
        if scheme != "https" && !(development && scheme == "http") {
            return None;
        }
        let (authority, path) = rest.split_at(rest.find('/')?);
        let host = authority.to_ascii_lowercase();
        let host = match (scheme, host.strip_suffix(":443")) {
            ("https", Some(host)) => host,
            _ => &host,
        };
        let url = Url::parse(text).ok()?;
        let good = url.as_str() == format!("{scheme}://{host}{path}")
            && !text.contains('\\')
            && url.path() != "/"
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && (development || url.port().is_none());
        good.then(|| Self {
            text: text.to_owned(),
            url,
        })
    }

    /// As the client writes it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The host in lower case.
    pub(crate) fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }
}

impl fmt::Display for DocumentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_of_real_clients_are_read() {
        for text in [
            "https://claude.ai/oauth/claude-code-client-metadata",
            "https://chatgpt.com/oauth/codex/client.json",
            "https://Claude.AI/oauth/x",
            "https://claude.ai:443/oauth/x",
            "https://app.example/client?id=7",
            "https://app.example/client/",
        ] {
            let address = DocumentAddress::parse(text, false).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(address.as_str(), text);
        }
        for text in ["http://127.0.0.1:4000/c.json", "https://localhost:1/c"] {
            assert!(DocumentAddress::parse(text, true).is_some(), "{text}");
            assert!(DocumentAddress::parse(text, false).is_none(), "{text}");
        }
    }

    #[test]
    fn everything_that_could_be_read_in_two_ways_is_not_an_address() {
        let long = format!("https://app.example/{}", "x".repeat(MAX_LEN));
        for text in [
            "icg_client_abc",
            "https://app.example",
            "https://app.example/",
            "https://app.example?x=/y",
            "http://app.example/c",
            "HTTPS://app.example/c",
            "https:/app.example/c",
            "https:///app.example/c",
            "https://user@app.example/c",
            "https://user:pass@app.example/c",
            "https://@app.example/c",
            "https://app.example/c#f",
            "https://app.example/c#",
            "https://app.example/a/../c",
            "https://app.example/./c",
            "https://app.example/a/%2e%2e/c",
            "https://app.example\\c/d",
            "https://app.example/a b",
            "https://app.example/\u{e9}",
            "https://\u{e9}.example/c",
            "https://app.example:8443/c",
            "https://app.example:/c",
            "https://app.example:0443/c",
            "https://0x7f.1/c",
            "https://app%2eexample/c",
            "ftp://app.example/c",
            &long,
            "",
        ] {
            assert!(DocumentAddress::parse(text, false).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_canonical(text in "https://[a-zA-Z0-9.@:\\[\\]-]{1,12}/[a-zA-Z0-9./?#%\\\\-]{0,12}") {
            if let Some(address) = DocumentAddress::parse(&text, false) {
                prop_assert_eq!(Url::parse(address.url().as_str()).unwrap(), address.url().clone());
                prop_assert!(address.url().as_str().len() <= text.len());
                prop_assert!(!text.contains(['#', '\\']));
                prop_assert!(address.host().bytes().all(|byte| byte != b'@'));
                prop_assert_eq!(address.url().path().split('/').find(|part| *part == ".."), None);
                prop_assert!(address.url().port().is_none());
            }
        }
    }
}
