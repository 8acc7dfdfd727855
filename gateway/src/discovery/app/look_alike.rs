//! Addresses that look like a known app's and are not.

use url::Url;

use super::known::{self, Known};
use crate::{ic::CanisterId, nearest::distance, origin::TargetOrigin};

/// Domains below which every name is some canister's.
const GATEWAYS: [&str; 3] = ["ic0.app", "icp0.io", "icp.net"];

/// The known app that an origin could be mistaken for. None for the app's own origins, and for those that belong to
/// its domain.
pub(super) fn of(origin: &TargetOrigin) -> Option<&'static Known> {
    let url = origin.url().ok()?;
    if known::at(&url).is_some() {
        return None;
    }
    let Some(url::Host::Domain(host)) = url.host() else {
        return None;
    };
    if is_gateway(host) {
        return None;
    }
    known::all().iter().find(|known| {
        let own = own_domain(known);
        let under_own = |own: &str| {
            host.strip_suffix(own)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        !own.as_deref().is_some_and(under_own) && resembles(host, brand(known))
    })
}

/// A canister's own name at one of the IC's gateways.
fn is_gateway(host: &str) -> bool {
    GATEWAYS.iter().any(|gateway| {
        let label = host
            .strip_suffix(gateway)
            .and_then(|rest| rest.strip_suffix('.'));
        let label = label.map(|label| label.strip_suffix(".raw").unwrap_or(label));
        label.is_some_and(|label| CanisterId::parse(label).is_ok())
    })
}

/// The last two labels of an app's address: its own domain.
fn own_domain(known: &Known) -> Option<String> {
    let url: Url = known.address.parse().ok()?;
    let mut labels = url.host_str()?.rsplit('.');
    let (last, name) = (labels.next()?, labels.next()?);
    Some(format!("{name}.{last}"))
}

fn brand(known: &Known) -> String {
    known
        .name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase()
}

/// Whether some part of a host reads like a name. Short names must be the same, longer ones may differ in a letter.
fn resembles(host: &str, brand: String) -> bool {
    let allowed = usize::from(brand.len() > 3);
    let labels: Vec<&str> = host.split('.').collect();
    // The last label is nobody's own.
    let own = &labels[..labels.len().saturating_sub(1)];
    own.iter().any(|label| {
        let whole = folded(&label.replace('-', ""));
        // A label with other letters keeps its Latin ones in front, so that `оisy` with a Cyrillic letter is `isy`.
        let plain = label
            .strip_prefix("xn--")
            .and_then(|label| label.rsplit_once('-'));
        let parts = label.split('-').map(folded);
        let near =
            |text: String| distance(&text, &brand) <= allowed && text.len() + 1 >= brand.len();
        near(whole)
            || parts.into_iter().any(|part| part == brand)
            || plain.is_some_and(|(plain, _)| distance(&folded(plain), &brand) <= allowed.max(1))
    })
}

/// With characters that look like a letter as that letter.
fn folded(text: &str) -> String {
    text.to_ascii_lowercase()
        .replace("rn", "m")
        .replace("vv", "w")
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '1' => 'l',
            '3' => 'e',
            '4' => 'a',
            '5' => 's',
            '7' => 't',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resembled(text: &str) -> Option<&'static str> {
        of(&TargetOrigin::parse(text, true).unwrap()).map(|known| known.name)
    }

    #[test]
    fn addresses_that_look_like_a_known_app_are_told() {
        for (text, name) in [
            ("oisy.net", "Oisy"),
            ("0isy.com", "Oisy"),
            ("oisyy.com", "Oisy"),
            ("oisy-wallet.com", "Oisy"),
            ("oisy.com.evil.example", "Oisy"),
            ("оisy.com", "Oisy"),
            ("https://oisy.com:8443", "Oisy"),
            ("nns.example", "NNS"),
            ("icp-swap.com", "ICPSwap"),
            ("lcpswap.com", "ICPSwap"),
            ("rnultidex.ai", "MULTI/DEX"),
        ] {
            let expected = if text.contains(":8443") {
                None
            } else {
                Some(name)
            };
            assert_eq!(resembled(text), expected, "{text}");
        }
    }

    #[test]
    fn others_are_not() {
        for text in [
            "oisy.com",
            "docs.oisy.com",
            "beta.oisy.com",
            "forum.internetcomputer.org",
            "info.icpswap.com",
            "ryjl3-tyaaa-aaaaa-aaaba-cai.icp0.io",
            "ryjl3-tyaaa-aaaaa-aaaba-cai.raw.icp0.io",
            "app.example",
            "dns.example",
            "http://127.0.0.1:8000",
            "localhost",
            "example.com",
            "oisy",
        ] {
            assert_eq!(resembled(text), None, "{text}");
        }
    }
}
