//! Apps whose users are derived somewhere this server knows, by name and by host.

use url::Url;

use crate::{nearest::nearest, origin::TargetOrigin};

/// Longest name that is looked for, in bytes, and in words.
const MAX_NAME: usize = 256;
const MAX_WORDS: usize = 64;

/// A known app.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// As people write it.
    pub(crate) name: &'static str,
    /// Where it is opened.
    pub(crate) address: &'static str,
    /// Where its users are derived.
    derivation_origin: &'static str,
    /// Its name in lower case without spaces.
    aliases: &'static [&'static str],
    /// Where it is served.
    hosts: &'static [&'static str],
}

const KNOWN: [Known; 4] = [
    Known {
        name: "NNS",
        address: "https://nns.internetcomputer.org",
        derivation_origin: "https://nns.ic0.app",
        aliases: &["nns", "nnsdapp"],
        hosts: &[
            "nns.ic0.app",
            "nns.internetcomputer.org",
            "beta.nns.internetcomputer.org",
            "beta.nns.ic0.app",
            "sns.internetcomputer.org",
        ],
    },
    Known {
        name: "Oisy",
        address: "https://oisy.com",
        derivation_origin: "https://oisy.com",
        aliases: &["oisy", "oisywallet"],
        hosts: &[
            "oisy.com",
            "beta.oisy.com",
            "v7iq7-yiaaa-aaaan-qmrtq-cai.icp0.io",
            "cha4i-riaaa-aaaan-qeccq-cai.icp0.io",
            "signer.oisy.com",
            "legacy-signer.oisy.com",
            "beta.signer.oisy.com",
            "beta.legacy-signer.oisy.com",
        ],
    },
    Known {
        name: "MULTI/DEX",
        address: "https://multidex.ai",
        derivation_origin: "https://hcv4s-uaaaa-aaabq-qaaba-cai.icp0.io",
        aliases: &["multidex"],
        hosts: &[
            "multidex.ai",
            "hcv4s-uaaaa-aaabq-qaaba-cai.icp0.io",
            "hcv4s-uaaaa-aaabq-qaaba-cai.icp.net",
        ],
    },
    Known {
        name: "ICPSwap",
        address: "https://app.icpswap.com",
        derivation_origin: "https://app.icpswap.com",
        aliases: &["icpswap"],
        hosts: &["app.icpswap.com"],
    },
];

impl Known {
    /// Where its users are derived.
    pub(super) fn derivation_origin(&self) -> Option<TargetOrigin> {
        TargetOrigin::parse(self.derivation_origin, false).ok()
    }
}

/// All of them.
pub(super) fn all() -> &'static [Known] {
    &KNOWN
}

/// The addresses of the known apps, for completion.
pub(crate) fn domains() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|known| known.address)
}

/// The known app at a URL: by its host, on the usual port.
pub(super) fn at(url: &Url) -> Option<&'static Known> {
    if url.scheme() != "https" || url.port().is_some() {
        return None;
    }
    let host = url.host_str()?;
    KNOWN.iter().find(|known| known.hosts.contains(&host))
}

/// The known app somebody means: some words of the text, put together, are its name. "multi dex" and "oisy.com" are;
/// "noisy" is not.
pub(super) fn named(text: &str) -> Option<&'static Known> {
    if text.len() > MAX_NAME {
        return None;
    }
    let text = text.to_lowercase();
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    if words.len() > MAX_WORDS {
        return None;
    }
    KNOWN.iter().find(|known| {
        let is_alias = |words: &[&str]| known.aliases.contains(&words.concat().as_str());
        // No alias has more than a few words.
        (1..=3).any(|length| words.windows(length).any(is_alias))
    })
}

/// The name that is most like a text.
pub(super) fn nearest_name(text: &str) -> Option<&'static str> {
    let aliases = KNOWN.iter().flat_map(|known| known.aliases.iter().copied());
    let alias = nearest(text, aliases)?;
    let known = KNOWN.iter().find(|known| known.aliases.contains(&alias))?;
    Some(known.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_are_known_by_the_words_of_their_name() {
        for (text, name) in [
            ("NNS", Some("NNS")),
            ("the nns dapp", Some("NNS")),
            ("Oisy", Some("Oisy")),
            ("my OISY wallet, please", Some("Oisy")),
            ("oisy.com", Some("Oisy")),
            ("multi dex", Some("MULTI/DEX")),
            ("MULTI/DEX", Some("MULTI/DEX")),
            ("multidex.com", Some("MULTI/DEX")),
            ("icp-swap", Some("ICPSwap")),
            ("noisy", None),
            ("oisy2", None),
            ("", None),
            ("…", None),
        ] {
            assert_eq!(named(text).map(|known| known.name), name, "{text}");
        }
        assert_eq!(named(&"oisy ".repeat(52)), None);
        assert_eq!(named(&"a ".repeat(65)), None);
        assert_eq!(nearest_name("ossy"), Some("Oisy"));
        assert_eq!(nearest_name("icpswop"), Some("ICPSwap"));
        assert_eq!(nearest_name("something else"), None);
    }

    #[test]
    fn hosts_are_known_exactly_and_on_the_usual_port() {
        let name = |url: &str| at(&url.parse().unwrap()).map(|known| known.name);
        assert_eq!(name("https://BETA.oisy.com/x"), Some("Oisy"));
        assert_eq!(name("https://oisy.com:443/"), Some("Oisy"));
        for url in [
            "https://oisy.com:8443/",
            "http://oisy.com/",
            "https://oisy.com.evil.example/",
            "https://xoisy.com/",
            "https://oisy.com./",
        ] {
            assert_eq!(name(url), None, "{url}");
        }
    }

    #[test]
    fn what_is_known_is_well_formed() {
        let mut hosts = 0;
        for known in all() {
            assert!(known.derivation_origin().is_some());
            assert_eq!(at(&known.address.parse().unwrap()), Some(known));
            assert_eq!(named(known.name), Some(known));
            hosts += known.hosts.len();
        }
        assert_eq!(hosts, 17);
    }
}
