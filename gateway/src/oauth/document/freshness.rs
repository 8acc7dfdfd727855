use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, header};

const DEFAULT: Duration = Duration::from_secs(10 * 60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How long an answer that just arrived may be used, as a shared cache decides it (RFC 9111 sections 3 to 4.2), at
/// most a day. What cannot be understood counts as stale.
pub(super) fn lifetime(headers: &HeaderMap, now: SystemTime) -> Duration {
    if texts(headers, &header::VARY).any(|value| value.contains('*')) {
        return Duration::ZERO;
    }
    let directives: Vec<(String, &str)> = texts(headers, &header::CACHE_CONTROL)
        .flat_map(|value| value.split(','))
        .map(|directive| directive.split_once('=').unwrap_or((directive, "")))
        .map(|(name, value)| {
            (
                name.trim().to_ascii_lowercase(),
                value.trim().trim_matches('"'),
            )
        })
        .collect();
    let says = |wanted: &str| directives.iter().any(|(name, _)| name == wanted);
    if says("no-store") || says("no-cache") || says("private") {
        return Duration::ZERO;
    }
    // Of contradicting values the shortest.
    let seconds = |wanted: &str| {
        directives
            .iter()
            .filter(|(name, _)| name == wanted)
            .map(|(_, value)| number(value).unwrap_or_default())
            .min()
    };
    let whole = seconds("s-maxage")
        .or_else(|| seconds("max-age"))
        .map(Duration::from_secs)
        .or_else(|| until_expiry(headers, now))
        .unwrap_or(DEFAULT);
    let age = match texts(headers, &header::AGE).next() {
        Some(text) => number(text).map_or(LONGEST, Duration::from_secs),
        None => Duration::ZERO,
    };
    whole.saturating_sub(age).min(LONGEST)
}

/// From `Expires`, by the site's own clock where it tells it.
fn until_expiry(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let expires = texts(headers, &header::EXPIRES).next()?;
    let date = texts(headers, &header::DATE)
        .next()
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or(now);
    let left = httpdate::parse_http_date(expires)
        .ok()
        .and_then(|expires| expires.duration_since(date).ok());
    Some(left.unwrap_or_default())
}

/// Digits only; more than fits counts as very long (RFC 9111 section 1.2.2).
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// A header's values; one that is no text is read as a text that nothing understands.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .map(|value| value.to_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT
    const NOW: Duration = Duration::from_secs(784_111_777);

    fn seconds(headers: &[(&str, &str)]) -> u64 {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        lifetime(&headers, SystemTime::UNIX_EPOCH + NOW).as_secs()
    }

    #[test]
    fn caching_headers_are_honoured() {
        for (headers, expected) in [
            (&[][..], 600),
            (&[("cache-control", "public")], 600),
            (&[("cache-control", "public, max-age=30")], 30),
            (&[("cache-control", "Max-Age=\"30\"")], 30),
            (&[("cache-control", "max-age=30, s-maxage=7")], 7),
            (
                &[
                    ("cache-control", "max-age=30"),
                    ("cache-control", "max-age=20"),
                ],
                20,
            ),
            (&[("cache-control", "max-age=30"), ("age", "10")], 20),
            (&[("cache-control", "max-age=30"), ("age", "31")], 0),
            (&[("cache-control", "max-age=30"), ("age", "-1")], 0),
            (&[("cache-control", "max-age=x")], 0),
            (&[("cache-control", "max-age=99999999999999999999")], 86_400),
            (&[("cache-control", "max-age=604800")], 86_400),
            (&[("cache-control", "max-age=30, no-store")], 0),
            (&[("cache-control", "no-cache")], 0),
            (&[("cache-control", "private, max-age=30")], 0),
            (&[("cache-control", "max-age=30"), ("vary", "*")], 0),
            (
                &[("cache-control", "max-age=30"), ("vary", "accept-encoding")],
                30,
            ),
            (&[("expires", "Sun, 06 Nov 1994 08:50:37 GMT")], 60),
            (&[("expires", "Sun, 06 Nov 1994 08:49:00 GMT")], 0),
            (&[("expires", "0")], 0),
            (
                &[
                    ("expires", "Sun, 06 Nov 1994 08:50:37 GMT"),
                    ("date", "Sun, 06 Nov 1994 08:50:30 GMT"),
                ],
                7,
            ),
            (
                &[
                    ("expires", "Sun, 06 Nov 1994 08:50:37 GMT"),
                    ("cache-control", "max-age=5"),
                ],
                5,
            ),
        ] {
            assert_eq!(seconds(headers), expected, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_kept_longer_than_a_day(
            control in "[ -~]{0,40}", age in "[ -~]{0,8}", expires in "[ -~]{0,30}"
        ) {
            let kept = seconds(&[("cache-control", &control), ("age", &age), ("expires", &expires)]);
            prop_assert!(kept <= 86_400);
        }
    }
}
