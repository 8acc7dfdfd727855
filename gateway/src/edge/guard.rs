//! Which Host, which Origin, and what browsers are told (CORS).
//!
//! **Host**, on every request: only this server's own names. A page whose name was rebound to our address still
//! sends its own name, so it is refused here; that is the defence against DNS rebinding.
//!
//! **Origin**, on the MCP endpoints (the MCP transport requires it): absent is fine, since only browsers send
//! it; our own origin, the configured ones and, while we are on loopback, other loopback origins (a developer's
//! inspector on another port) are allowed. Every other one, `null` included, is refused.
//!
//! **CORS**: metadata and the token, registration, device authorization and revocation endpoints are made for scripts of any origin;
//! they take no cookies, so `*` gives nothing away. The MCP endpoints name the allowed origin, and the callback of the
//! handshake `key-request` names Internet Identity's. Everything else is pages for people, which no foreign script may
//! read.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header, uri::Authority};

use super::refusal::Refusal;
use crate::{
    body::{self, Response},
    config::Config,
    instance::{Handshake, InstanceName, PublicUrl},
    reader::Reader,
};

const LOOPBACK_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, accept, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, last-event-id",
);
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("www-authenticate, mcp-session-id");
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("600");
const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");
const ASKS_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");

/// Whose scripts a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// An MCP endpoint: scripts of allowed origins.
    Mcp,
    /// Metadata, token, registration, device authorization, revocation: scripts of any origin.
    Open,
    /// What Internet Identity's page asks in the handshake `key-request`: scripts of its origin.
    Identity(InstanceName),
    /// Pages for people: no foreign script.
    Own,
}

impl Reach {
    /// The reach of a path.
    pub fn of(path: &str) -> Reach {
        let well_known = |rest: &str| rest.starts_with("/.well-known/");
        if well_known(path) {
            // Named apart, since Internet Identity's pages read it from their own origin.
            return Reach::Open;
        }
        for name in InstanceName::ALL {
            if let Some(rest) = path.strip_prefix(name.mcp_path()) {
                if rest.is_empty() || rest == "/" {
                    return Reach::Mcp;
                }
                if well_known(rest) {
                    return Reach::Open;
                }
            }
            if let Some(rest) = path.strip_prefix(name.prefix()) {
                let endpoint = rest.strip_prefix("/oauth").unwrap_or(rest);
                if well_known(rest)
                    || matches!(
                        endpoint,
                        "/token" | "/register" | "/revoke" | "/device_authorization"
                    )
                    || endpoint.starts_with("/register/")
                {
                    return Reach::Open;
                }
                if rest == "/oauth/connect/callback" {
                    return Reach::Identity(name);
                }
            }
        }
        Reach::Own
    }
}

/// The rules, made once from the configuration.
#[derive(Debug)]
pub struct Guard {
    /// Hosts with the ports they may name.
    hosts: Vec<(String, Vec<u16>)>,
    default_port: u16,
    origins: Vec<String>,
    /// Internet Identity's pages that ask for keys.
    identities: Vec<(InstanceName, String)>,
    loopback: bool,
}

impl Guard {
    /// The rules for this configuration. Loopback names may carry the public port or the one listened on.
    pub fn new(config: &Config) -> Self {
        let public = &config.public_url;
        let default_port = if public.is_https() { 443 } else { 80 };
        let public_port = public
            .authority()
            .parse::<Authority>()
            .ok()
            .and_then(|authority| authority.port_u16())
            .unwrap_or(default_port);
        let loopback = public.is_loopback();
        let hosts = if loopback {
            LOOPBACK_NAMES
                .iter()
                .map(|name| ((*name).to_owned(), vec![public_port, config.listen.port()]))
                .collect()
        } else {
            // Behind a proxy or a port mapping, Host may come without the public port.
            vec![(public.host(), vec![public_port, default_port])]
        };
        let mut origins = config.allowed_origins.clone();
        origins.push(public.as_str().to_owned());
        Self {
            hosts,
            default_port,
            origins,
            identities: config
                .instances
                .iter()
                .filter(|instance| instance.handshake == Handshake::KeyRequest)
                .map(|instance| {
                    (
                        instance.name,
                        instance.ii_url.origin().ascii_serialization(),
                    )
                })
                .collect(),
            loopback,
        }
    }

    /// Whether the request names this server: `:authority` or the absolute target if there is one, Host
    /// otherwise (RFC 9112 section 3.2.2, RFC 9113 section 8.3.1).
    ///
    /// # Errors
    /// The finished answer, 403.
    pub fn host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Box<Response>> {
        let named = match uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok()),
        };
        if named.is_some_and(|named| self.is_ours(named)) {
            return Ok(());
        }
        Err(Box::new(Refusal::Host.response(Reader::of(headers))))
    }

    fn is_ours(&self, authority: &str) -> bool {
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of a bare IPv6 address is not before a port.
            Some((host, port)) if !port.ends_with(']') => match port.parse() {
                Ok(port) => (host, port),
                Err(_) => return false,
            },
            _ => (authority, self.default_port),
        };
        self.hosts
            .iter()
            .any(|(known, ports)| known.eq_ignore_ascii_case(host) && ports.contains(&port))
    }

    /// Whether a script of the request's origin may call an MCP endpoint.
    ///
    /// # Errors
    /// The finished answer, 403.
    pub fn origin(&self, headers: &HeaderMap) -> Result<(), Box<Response>> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(()),
            (Some(origin), None) if self.allows(origin) => Ok(()),
            _ => Err(Box::new(Refusal::Origin.response(Reader::of(headers)))),
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        self.origins.iter().any(|known| known == origin)
            || (self.loopback && PublicUrl::parse(origin).is_ok_and(|parsed| parsed.is_loopback()))
    }

    fn is_for_scripts(&self, reach: Reach) -> bool {
        match reach {
            Reach::Mcp | Reach::Open => true,
            Reach::Identity(instance) => self.identities.iter().any(|(name, _)| *name == instance),
            Reach::Own => false,
        }
    }

    fn is_identity(&self, instance: InstanceName, origin: &HeaderValue) -> bool {
        self.identities
            .iter()
            .any(|(name, known)| *name == instance && origin == known.as_str())
    }

    /// The answer to a CORS preflight (Fetch standard, section 3.2.2): to be given before authentication, since
    /// browsers send none with it. None when the request is not one, or the path is for our own pages.
    pub fn preflight(
        &self,
        reach: Reach,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let asked = method == Method::OPTIONS
            && self.is_for_scripts(reach)
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asked {
            return None;
        }
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS);
        if headers.contains_key(ASKS_PRIVATE_NETWORK) {
            answer.insert(PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        self.share(reach, headers.get(header::ORIGIN), response.headers_mut());
        Some(response)
    }

    /// Lets scripts of the asking `origin` read an answer, where the path is for them. Error answers need it
    /// just as well: a client reads the challenge of a 401. What is for everybody says so also when nobody asks,
    /// so that a cached copy serves scripts too.
    pub fn share(&self, reach: Reach, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        match (reach, origin) {
            (Reach::Open, _) => {
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
            }
            (Reach::Mcp, Some(origin)) if self.allows(origin) => {
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                answer.append(header::VARY, HeaderValue::from_static("Origin"));
            }
            (Reach::Identity(name), Some(origin)) if self.is_identity(name, origin) => {
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                answer.append(header::VARY, HeaderValue::from_static("Origin"));
            }
            (Reach::Mcp | Reach::Identity(_) | Reach::Own, _) => return,
        }
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(public_url: &str, origins: &[&str]) -> Guard {
        let config = Config {
            public_url: PublicUrl::parse(public_url).unwrap(),
            allowed_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            listen: "127.0.0.1:8111".parse().unwrap(),
            ..crate::edge::tests::config()
        };
        Guard::new(&config)
    }

    fn host(guard: &Guard, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        guard.host(&Uri::from_static("/mcp"), &headers).is_ok()
    }

    fn origin(guard: &Guard, origin: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        guard.origin(&headers).is_ok()
    }

    #[test]
    fn on_loopback_every_loopback_name_with_our_port_is_ours() {
        let guard = guard("http://127.0.0.1:8000", &[]);
        for ours in [
            "127.0.0.1:8000",
            "localhost:8000",
            "LocalHost:8111",
            "[::1]:8000",
        ] {
            assert!(host(&guard, ours), "{ours}");
        }
        for foreign in [
            "evil.example:8000",
            "localhost",
            "localhost:80",
            "127.0.0.1:9",
            "127.0.0.1.evil.example:8000",
            "localhost:8000:8000",
            "[::1]",
            "",
            ":8000",
            "localhost:",
            "::1",
            "2130706433:8000",
        ] {
            assert!(!host(&guard, foreign), "{foreign}");
        }
        assert!(
            guard
                .host(&Uri::from_static("/"), &HeaderMap::new())
                .is_err()
        );
        let absolute = Uri::from_static("http://evil.example:8000/mcp");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "127.0.0.1:8000".parse().unwrap());
        assert!(guard.host(&absolute, &headers).is_err());
    }

    #[test]
    fn in_public_only_the_public_name_is_ours() {
        let guard = guard("https://gate.example", &[]);
        assert!(host(&guard, "gate.example") && host(&guard, "gate.example:443"));
        assert!(!host(&guard, "127.0.0.1:8111") && !host(&guard, "gate.example:80"));
        let ported = self::guard("https://gate.example:8443", &[]);
        assert!(host(&ported, "gate.example:8443") && host(&ported, "gate.example"));
    }

    #[test]
    fn only_allowed_origins_call_mcp() {
        let local = guard("http://127.0.0.1:8000", &["https://app.example"]);
        for allowed in [
            "http://127.0.0.1:8000",
            "http://localhost:6274",
            "https://localhost",
            "https://app.example",
        ] {
            assert!(origin(&local, allowed), "{allowed}");
        }
        for refused in [
            "null",
            "http://evil.example",
            "http://localhost.evil.example",
            "http://app.example",
            "https://app.example:8443",
            "",
            "http://127.0.0.1:8000, http://evil.example",
        ] {
            assert!(!origin(&local, refused), "{refused}");
        }
        let public = guard("https://gate.example", &[]);
        assert!(origin(&public, "https://gate.example"));
        assert!(
            !origin(&public, "http://localhost:6274") && !origin(&public, "http://gate.example")
        );
        assert!(public.origin(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn paths_have_their_reach() {
        for path in ["/mcp", "/mcp-prod", "/mcp/"] {
            assert_eq!(Reach::of(path), Reach::Mcp, "{path}");
        }
        for path in [
            "/.well-known/ii-auth-callbacks",
            "/.well-known/oauth-protected-resource/mcp-prod",
            "/prod/.well-known/openid-configuration",
            "/mcp/.well-known/oauth-protected-resource",
            "/oauth/token",
            "/prod/oauth/register",
            "/oauth/register/icg_client_x",
            "/oauth/revoke",
            "/oauth/device_authorization",
            "/token",
            "/register",
        ] {
            assert_eq!(Reach::of(path), Reach::Open, "{path}");
        }
        assert_eq!(
            Reach::of("/prod/oauth/connect/callback"),
            Reach::Identity(InstanceName::Prod)
        );
        for path in [
            "/",
            "/oauth/authorize",
            "/oauth/connect/redeem",
            "/oauth/finish",
            "/oauth/device",
            "/mcpx",
            "/healthz",
            "/oauth/token/x",
            // For services, which are no scripts in a browser.
            "/oauth/introspect",
        ] {
            assert_eq!(Reach::of(path), Reach::Own, "{path}");
        }
    }

    #[test]
    fn a_preflight_is_answered_for_those_whom_the_path_is_for() {
        let guard = guard("http://127.0.0.1:8000", &[]);
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, "http://localhost:6274".parse().unwrap());
        assert!(
            guard
                .preflight(Reach::Mcp, &Method::OPTIONS, &headers)
                .is_none()
        );
        headers.insert(
            header::ACCESS_CONTROL_REQUEST_METHOD,
            "POST".parse().unwrap(),
        );
        assert!(
            guard
                .preflight(Reach::Own, &Method::OPTIONS, &headers)
                .is_none()
        );
        assert!(
            guard
                .preflight(Reach::Mcp, &Method::POST, &headers)
                .is_none()
        );

        let mcp = guard
            .preflight(Reach::Mcp, &Method::OPTIONS, &headers)
            .unwrap();
        assert_eq!(mcp.status(), StatusCode::NO_CONTENT);
        assert_eq!(
            mcp.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN],
            "http://localhost:6274"
        );
        assert!(
            mcp.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS]
                .to_str()
                .unwrap()
                .contains("authorization")
        );

        headers.insert(header::ORIGIN, "https://elsewhere.example".parse().unwrap());
        let open = guard
            .preflight(Reach::Open, &Method::OPTIONS, &headers)
            .unwrap();
        assert_eq!(open.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let foreign = guard
            .preflight(Reach::Mcp, &Method::OPTIONS, &headers)
            .unwrap();
        assert!(
            !foreign
                .headers()
                .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        );
    }

    #[test]
    fn answers_are_shared_with_the_asking_origin_only() {
        let guard = guard("http://127.0.0.1:8000", &[]);
        let asking = HeaderValue::from_static("http://localhost:6274");
        let mut answer = HeaderMap::new();
        guard.share(Reach::Mcp, Some(&asking), &mut answer);
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_ORIGIN], asking);
        assert_eq!(answer[header::VARY], "Origin");
        assert_eq!(
            answer[header::ACCESS_CONTROL_EXPOSE_HEADERS],
            EXPOSED_HEADERS
        );

        let mut page = HeaderMap::new();
        guard.share(Reach::Own, Some(&asking), &mut page);
        guard.share(Reach::Mcp, None, &mut page);
        let foreign = HeaderValue::from_static("http://evil.example");
        guard.share(Reach::Mcp, Some(&foreign), &mut page);
        assert!(page.is_empty());

        let mut metadata = HeaderMap::new();
        guard.share(Reach::Open, None, &mut metadata);
        assert_eq!(metadata[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }

    #[test]
    fn only_internet_identitys_page_reads_the_answers_of_its_callback() {
        let mut config = Config {
            public_url: PublicUrl::parse("https://gate.example").unwrap(),
            ..crate::edge::tests::config()
        };
        config.instances[0].ii_url = "https://id.example/".parse().unwrap();
        config.instances[0].handshake = Handshake::KeyRequest;
        let guard = Guard::new(&config);
        let preflight = |path: &str, origin: &str| {
            let headers = HeaderMap::from_iter([
                (header::ORIGIN, origin.parse().unwrap()),
                (
                    header::ACCESS_CONTROL_REQUEST_METHOD,
                    HeaderValue::from_static("POST"),
                ),
            ]);
            guard
                .preflight(Reach::of(path), &Method::OPTIONS, &headers)
                .map(|answer| {
                    let allowed = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
                    allowed.map(|origin| origin.to_str().unwrap().to_owned())
                })
        };
        let callback = "/oauth/connect/callback";
        assert_eq!(
            preflight(callback, "https://id.example"),
            Some(Some("https://id.example".to_owned()))
        );
        assert_eq!(preflight(callback, "https://evil.example"), Some(None));
        // The other instance speaks the other handshake: its callback is a page.
        assert_eq!(
            preflight("/prod/oauth/connect/callback", "https://id.example"),
            None
        );
        assert_eq!(
            preflight("/oauth/connect/redeem", "https://id.example"),
            None
        );
    }
}
