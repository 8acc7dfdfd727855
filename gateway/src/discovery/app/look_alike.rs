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
        !own.as_deref().is_some_and(under_own) && resembles(host, &brand(known))
    })
}

/// Whether an origin that looks like a known app's has its name spelled otherwise. The same name elsewhere may be
/// somebody else's, who hides nothing.
pub(super) fn is_disguised(origin: &TargetOrigin) -> bool {
    let Some(known) = of(origin) else {
        return false;
    };
    let brand = brand(known);
    let url = origin.url().ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let is_plain = |label: &&str| {
        label.replace('-', "") == brand || label.split('-').any(|part| part == brand)
    };
    let rest: Vec<&str> = host.split('.').filter(|label| !is_plain(label)).collect();
    resembles(&rest.join("."), &brand)
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

/// Whether some part of a host reads like a name. Names of up to three letters must be the same. Others may differ in a
/// letter or have two of them swapped; those of four letters, which are in many other words, not in their length.
fn resembles(host: &str, brand: &str) -> bool {
    let allowed = usize::from(brand.len() > 3);
    let lengths = match brand.len() {
        length @ ..=4 => length..=length,
        length => length - 1..=length + 1,
    };
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
        let near = |text: String| {
            lengths.contains(&text.len())
                && (distance(&text, brand) <= allowed || (allowed > 0 && is_swapped(&text, brand)))
        };
        near(whole)
            || parts.into_iter().any(|part| part == brand)
            || plain.is_some_and(|(plain, _)| distance(&folded(plain), brand) <= allowed.max(1))
    })
}

/// Whether two neighbours in a name changed places.
fn is_swapped(text: &str, brand: &str) -> bool {
    let (text, brand) = (text.as_bytes(), brand.as_bytes());
    text.len() == brand.len()
        && (1..brand.len()).any(|at| {
            let mut swapped = brand.to_vec();
            swapped.swap(at - 1, at);
            swapped == text
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
            ("osiy.com", "Oisy"),
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
            "noisy.com",
            "noisy.example",
            "oisyy.com",
            "osy.com",
            "daisy.example",
            "nnns.example",
            "http://127.0.0.1:8000",
            "localhost",
            "example.com",
            "oisy",
        ] {
            assert_eq!(resembled(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_in_disguise_is_not_that_name_elsewhere() {
        let is_disguised = |text: &str| is_disguised(&TargetOrigin::parse(text, true).unwrap());
        for text in [
            "0isy.com",
            "оisy.com",
            "oisy.oisi.com",
            "oisi.com",
            "osiy.com",
            "lcpswap.com",
            "icpswapp.com",
            "rnultidex.ai",
        ] {
            assert!(is_disguised(text), "{text}");
        }
        for text in [
            "oisy.com",
            "oisy.net",
            "oisy-wallet.com",
            "nns.example",
            "icp-swap.com",
            "noisy.com",
            "app.example",
        ] {
            assert!(!is_disguised(text), "{text}");
        }
    }
}
