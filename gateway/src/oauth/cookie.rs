//! Cookies (RFC 6265) of the pages that need one.

use http::{HeaderMap, HeaderValue, header};

use crate::{
    instance::{Instance, InstanceName},
    store::Digest,
};

/// How long a session's cookie is kept at most by plain http: browsers send it to every port of the host.
const PLAIN_SESSION_SECONDS: u64 = 8 * 3600;

/// A cookie's name with the attributes that bind it to this server.
///
/// By https the `__Host-` prefix keeps other hosts of the domain from setting it, which needs `Path=/`. By plain
/// http, on loopback only, the path keeps the instances apart instead.
#[derive(Debug, Clone)]
pub(crate) struct Cookie {
    name: String,
    path: String,
    secure: bool,
    most_seconds: u64,
}

impl Cookie {
    /// What the browser is known by, on every page of an instance: it binds forms to the browser that loaded them.
    pub(crate) fn browser(instance: &Instance) -> Self {
        Self::everywhere(instance, "icg_browser")
    }

    /// The connect cookie of one sign-in. Each has its own name, so that two sign-ins of one browser do not
    /// disturb each other.
    pub(crate) fn connect(instance: &Instance, state: &Digest) -> Self {
        let tag = hex::encode(&state.as_bytes()[..6]);
        Self::new(instance, &format!("icg_connect_{tag}"))
    }

    /// The browser session of an instance, for every page of it.
    pub(crate) fn session(instance: &Instance) -> Self {
        let mut cookie = Self::everywhere(instance, "icg_session");
        if !cookie.secure {
            cookie.most_seconds = PLAIN_SESSION_SECONDS;
        }
        cookie
    }

    /// For every page of an instance. The path does not keep the instances apart here, so the name does.
    fn everywhere(instance: &Instance, name: &str) -> Self {
        let mut cookie = match instance.name {
            InstanceName::Beta => Self::new(instance, name),
            InstanceName::Prod => Self::new(instance, &format!("{name}_prod")),
        };
        if !cookie.secure {
            cookie.path = match instance.name.prefix() {
                "" => "/".to_owned(),
                prefix => prefix.to_owned(),
            };
        }
        cookie
    }

    fn new(instance: &Instance, name: &str) -> Self {
        let secure = instance.public_url.is_https();
        Self {
            name: if secure {
                format!("__Host-{name}")
            } else {
                name.to_owned()
            },
            path: if secure {
                "/".to_owned()
            } else {
                format!("{}/oauth", instance.name.prefix())
            },
            secure,
            most_seconds: u64::MAX,
        }
    }

    /// Its value in a request.
    pub(crate) fn read<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == self.name)
            .map(|(_, value)| value)
    }

    /// The header that sets it for so many seconds, hidden from whatever prints headers. `SameSite=Lax`: it has to come
    /// along when another site's link opens the page.
    pub(crate) fn set(&self, value: &str, seconds: u64) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let seconds = seconds.min(self.most_seconds);
        let text = format!(
            "{}={value}; Path={}; Max-Age={seconds}; HttpOnly{secure}; SameSite=Lax",
            self.name, self.path
        );
        let mut header = HeaderValue::try_from(text).expect("our own cookie values are plain text");
        header.set_sensitive(true);
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::tests::instances;

    #[test]
    fn the_prefix_and_path_follow_the_scheme() {
        let [beta, prod] = instances("http://127.0.0.1:8000");
        let state = Digest::of("state");
        let tag = hex::encode(&state.as_bytes()[..6]);
        for (instance, path) in [(&beta, "/oauth"), (&prod, "/prod/oauth")] {
            let expected =
                format!("icg_connect_{tag}=v; Path={path}; Max-Age=600; HttpOnly; SameSite=Lax");
            assert_eq!(Cookie::connect(instance, &state).set("v", 600), expected);
        }
        assert_eq!(
            Cookie::browser(&prod).set("v", 600),
            "icg_browser_prod=v; Path=/prod; Max-Age=600; HttpOnly; SameSite=Lax"
        );
        let [https, _] = instances("https://gate.example");
        assert_eq!(
            Cookie::browser(&https).set("v", 600),
            "__Host-icg_browser=v; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax"
        );
    }

    #[test]
    fn the_sessions_of_the_instances_do_not_meet() {
        for url in ["http://127.0.0.1:8000", "https://gate.example"] {
            let [beta, prod] = instances(url);
            let mut headers = HeaderMap::new();
            let set = Cookie::session(&beta).set("v", 60);
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            headers.append(header::COOKIE, pair.parse().unwrap());
            assert_eq!(Cookie::session(&beta).read(&headers), Some("v"));
            assert_eq!(Cookie::session(&prod).read(&headers), None);
        }
        let [_, prod] = instances("https://gate.example");
        assert_eq!(
            Cookie::session(&prod).set("v", 60),
            "__Host-icg_session_prod=v; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"
        );
    }

    #[test]
    fn by_plain_http_a_session_is_kept_for_hours_only() {
        const MONTH: u64 = 30 * 24 * 3600;
        let kept = |url: &str| {
            let [beta, _] = instances(url);
            let set = Cookie::session(&beta).set("v", MONTH);
            let text = set.to_str().unwrap().to_owned();
            let (_, rest) = text.split_once("Max-Age=").unwrap();
            rest.split(';').next().unwrap().parse::<u64>().unwrap()
        };
        assert_eq!(kept("http://127.0.0.1:8000"), 8 * 3600);
        assert_eq!(kept("https://gate.example"), MONTH);
    }

    #[test]
    fn whoever_prints_headers_does_not_print_cookies() {
        let [beta, _] = instances("https://gate.example");
        let set = Cookie::session(&beta).set("secret", 60);
        assert!(!format!("{set:?}").contains("secret"), "{set:?}");
    }

    #[test]
    fn the_right_cookie_is_read() {
        let [beta, _] = instances("http://127.0.0.1:8000");
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; xicg_browser=2"),
        );
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("icg_browser=3;b=4"),
        );
        assert_eq!(Cookie::browser(&beta).read(&headers), Some("3"));
    }
}
