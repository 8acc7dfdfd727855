//! From settings as written to a [`Config`] that can be used as it is.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use ::candid::Principal;
use icgate_proto::{Endpoint, Link};
use url::Url;

use super::{
    Config, ConfigError, Draft, Limits, Mistake, Network, Services, TlsFiles, is_loopback,
    root_key::{self, RootKey},
    source::{Setting, Source},
};
use crate::{
    instance::{Handshake, Instance, InstanceName, PublicUrl},
    mcp::Served,
    scope::Scopes,
};

/// Checks every setting, then what they mean together. A setting that is wrong is noted and its default taken
/// for the rest of the check, so that all mistakes are found in one run.
pub(super) fn check(source: Source) -> Result<Draft, ConfigError> {
    let mut checks = Checks {
        mistakes: source.mistakes.clone(),
        source,
    };
    let draft = checks.config();
    if checks.mistakes.is_empty() {
        Ok(draft)
    } else {
        Err(ConfigError::Mistakes(checks.mistakes))
    }
}

struct Checks {
    source: Source,
    mistakes: Vec<Mistake>,
}

impl Checks {
    fn config(&mut self) -> Draft {
        let port = self.or("PORT", 8000, |text, _| {
            text.parse().map_err(|_| "must be a port number".to_owned())
        });
        let public_url = self.public_url(port);
        let listen = self.listen(port, &public_url);
        let tls = self.tls();
        let trusted_proxies = self.list("ICGATE_TRUSTED_PROXIES", |text| {
            text.parse::<Network>().map_err(str::to_owned)
        });
        let dev = self.switch("ICGATE_DEV", false);
        if dev && !public_url.is_loopback() {
            self.mistake("ICGATE_DEV", "is only for a PUBLIC_URL on loopback");
        }
        self.transport(
            &public_url,
            listen,
            tls.is_some(),
            !trusted_proxies.is_empty(),
        );

        let ic_url = self.url("IC_URL", "https://icp-api.io");
        let root_key = self.root_key(&ic_url);
        let tools: Served = self
            .list("ICGATE_TOOLS", |name| {
                name.parse::<Served>().map_err(|error| error.to_string())
            })
            .into_iter()
            .collect();
        let scopes = tools.scopes();
        let instances = [
            self.instance(
                InstanceName::Beta,
                &public_url,
                scopes,
                ["II_URL", "II_CANISTER_ID", "II_HANDSHAKE"],
                "https://beta.id.ai",
                "fgte5-ciaaa-aaaad-aaatq-cai",
            ),
            self.instance(
                InstanceName::Prod,
                &public_url,
                scopes,
                ["II_URL_PROD", "II_CANISTER_ID_PROD", "II_HANDSHAKE_PROD"],
                "https://id.ai",
                "rdmx6-jaaaa-aaaaa-aaadq-cai",
            ),
        ];
        let config = Config {
            listen,
            tls,
            trusted_proxies,
            allowed_origins: self.list("ICGATE_ALLOWED_ORIGINS", |text| {
                PublicUrl::parse(text)
                    .map(|origin| origin.as_str().to_owned())
                    .map_err(str::to_owned)
            }),
            limits: self.limits(),
            instances,
            ic_url,
            signer: self.signer(),
            state_dir: self.or("ICGATE_STATE_DIR", PathBuf::from("/var/lib/icgate"), path),
            redirect_prefixes: self.list("OAUTH_ALLOWED_REDIRECT_PREFIXES", web_url),
            clients_file: self.file("OAUTH_CLIENTS_FILE"),
            // Whoever can send somebody a link can try to phish them with it; on loopback there is nobody else.
            device_grant: self.switch("OAUTH_DEVICE_GRANT", public_url.is_loopback()),
            client_documents: self.switch("OAUTH_CIMD_ENABLED", true),
            introspection_clients_file: self.file("OAUTH_INTROSPECTION_CLIENTS_FILE"),
            services: Services {
                skills: self.optional("SKILLS_URL", |text, _| web_url(text)),
                dashboard: self.optional("IC_DASHBOARD_API", |text, _| web_url(text)),
                icrc: self.optional("IC_ICRC_API", |text, _| web_url(text)),
                sns: self.optional("IC_SNS_API", |text, _| web_url(text)),
            },
            repair_protocol_header: self.switch("ICGATE_REPAIR_PROTOCOL_HEADER", false),
            tools,
            dev,
            public_url,
            root_key: match &root_key {
                Some(RootKey::Pinned(key)) => Some(key.clone()),
                Some(RootKey::Fetch) | None => None,
            },
        };
        Draft {
            config,
            fetch_root_key: matches!(root_key, Some(RootKey::Fetch)),
        }
    }

    fn public_url(&mut self, port: u16) -> PublicUrl {
        let default = PublicUrl::parse(&format!("http://127.0.0.1:{port}"))
            .expect("a loopback origin is well formed");
        if port == 0 && !self.is_set("PUBLIC_URL") {
            self.mistake("PORT", "may be 0 only when PUBLIC_URL is given");
        }
        self.or("PUBLIC_URL", default, |text, _| {
            let url = PublicUrl::parse(text)?;
            if url.is_https() || url.is_loopback() {
                Ok(url)
            } else {
                Err("must be https unless it is on loopback".to_owned())
            }
        })
    }

    fn listen(&mut self, port: u16, public_url: &PublicUrl) -> SocketAddr {
        let address = match (public_url.is_loopback(), public_url.host().as_str()) {
            (true, "[::1]") => IpAddr::V6(Ipv6Addr::LOCALHOST),
            (true, _) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            // Takes IPv4 as well.
            (false, _) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let port_set = self.is_set("PORT");
        self.or(
            "ICGATE_LISTEN",
            SocketAddr::new(address, port),
            |text, _| {
                if let Ok(address) = text.trim_matches(['[', ']']).parse() {
                    return Ok(SocketAddr::new(address, port));
                }
                match text.parse::<SocketAddr>() {
                    Ok(listen) if port_set && listen.port() != port => {
                        Err("names another port than PORT".to_owned())
                    }
                    Ok(listen) => Ok(listen),
                    Err(_) => Err("must be an address, with or without a port".to_owned()),
                }
            },
        )
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        let cert = self.file("ICGATE_TLS_CERT");
        let key = self.file("ICGATE_TLS_KEY");
        match (
            self.is_set("ICGATE_TLS_CERT"),
            self.is_set("ICGATE_TLS_KEY"),
        ) {
            (true, false) => self.mistake("ICGATE_TLS_CERT", "needs ICGATE_TLS_KEY beside it"),
            (false, true) => self.mistake("ICGATE_TLS_KEY", "needs ICGATE_TLS_CERT beside it"),
            _ => {}
        }
        Some(TlsFiles {
            cert: cert?,
            key: key?,
        })
    }

    /// Plain HTTP is for loopback, or for a proxy that speaks https to the world and is known by address.
    fn transport(&mut self, public_url: &PublicUrl, listen: SocketAddr, tls: bool, proxies: bool) {
        if tls {
            if !public_url.is_https() {
                self.mistake(
                    "PUBLIC_URL",
                    "must be https when the edge has a certificate",
                );
            }
            return;
        }
        let half_set = self.is_set("ICGATE_TLS_CERT") || self.is_set("ICGATE_TLS_KEY");
        let behind_proxy = public_url.is_https() && proxies;
        if !listen.ip().is_loopback() && !behind_proxy && !half_set {
            self.mistake(
                "ICGATE_LISTEN",
                "is not loopback: set ICGATE_TLS_CERT and ICGATE_TLS_KEY, or an https PUBLIC_URL and the \
                 ICGATE_TRUSTED_PROXIES that speak it",
            );
        }
    }

    fn root_key(&mut self, ic_url: &Url) -> Option<RootKey> {
        let local = is_loopback(ic_url);
        self.optional("IC_ROOT_KEY", |text, setting| {
            match root_key::parse(text, &setting.folder)? {
                RootKey::Fetch if !local => {
                    Err("may be `fetch` only when IC_URL is on loopback".to_owned())
                }
                key => Ok(key),
            }
        })
    }

    fn instance(
        &mut self,
        name: InstanceName,
        public_url: &PublicUrl,
        scopes: Scopes,
        [url, canister, handshake]: [&'static str; 3],
        default_url: &str,
        default_canister: &str,
    ) -> Instance {
        let handshake = self.or(
            handshake,
            Handshake::RegistrationDelegation,
            |text, _| match text {
                "registration-delegation" => Ok(Handshake::RegistrationDelegation),
                "key-request" => Ok(Handshake::KeyRequest),
                _ => Err("must be registration-delegation or key-request".to_owned()),
            },
        );
        let default_canister = Principal::from_text(default_canister)
            .expect("the canisters of Internet Identity are well formed");
        Instance {
            name,
            public_url: public_url.clone(),
            ii_url: self.url(url, default_url),
            ii_canister: self.or(canister, default_canister, |text, _| {
                Principal::from_text(text).map_err(|_| "must be a canister id".to_owned())
            }),
            handshake,
            scopes,
        }
    }

    fn signer(&mut self) -> Link {
        let endpoint = Endpoint::Tcp {
            host: "localhost".to_owned(),
            port: 9443,
        };
        let endpoint = self.or("ICGATE_SIGNER", endpoint, |text, setting| {
            match text.parse().map_err(|error| format!("{error}"))? {
                Endpoint::Unix(path) => Ok(Endpoint::Unix(setting.folder.join(path))),
                tcp => Ok(tcp),
            }
        });
        Link {
            endpoint,
            ca: self.required_file("ICGATE_SIGNER_CA"),
            cert: self.required_file("ICGATE_SIGNER_CERT"),
            key: self.required_file("ICGATE_SIGNER_KEY"),
        }
    }

    fn limits(&mut self) -> Limits {
        let mut limits = Limits::default();
        for (key, setting) in &self.source.limits {
            let set = one(setting).and_then(|text| limits.set(key, text));
            if let Err(problem) = set {
                self.mistakes.push(Mistake {
                    place: setting.place.clone(),
                    problem,
                });
            }
        }
        limits
    }

    fn url(&mut self, name: &'static str, default: &str) -> Url {
        let default = Url::parse(default).expect("the defaults are URLs");
        self.or(name, default, |text, _| web_url(text))
    }

    fn switch(&mut self, name: &'static str, default: bool) -> bool {
        self.or(name, default, |text, _| match text {
            "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err("must be 1 or 0".to_owned()),
        })
    }

    fn file(&mut self, name: &'static str) -> Option<PathBuf> {
        self.optional(name, |text, setting| {
            let path = path(text, setting)?;
            match path.metadata() {
                Ok(metadata) if metadata.is_file() => Ok(path),
                Ok(_) => Err(format!("{} is not a file", path.display())),
                Err(error) => Err(format!("{}: {error}", path.display())),
            }
        })
    }

    fn required_file(&mut self, name: &'static str) -> PathBuf {
        if !self.is_set(name) {
            self.mistake(name, "is not set");
        }
        self.file(name).unwrap_or_default()
    }

    fn is_set(&self, name: &str) -> bool {
        self.source.settings.contains_key(name)
    }

    fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        parse: impl FnOnce(&str, &Setting) -> Result<T, String>,
    ) -> T {
        self.optional(name, parse).unwrap_or(default)
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str, &Setting) -> Result<T, String>,
    ) -> Option<T> {
        let setting = self.source.settings.get(name)?;
        match one(setting).and_then(|text| parse(text, setting)) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.mistake(name, &problem);
                None
            }
        }
    }

    /// A list is a TOML array, or text with commas or spaces between the items.
    fn list<T>(&mut self, name: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(setting) = self.source.settings.get(name) else {
            return Vec::new();
        };
        let mut values = Vec::new();
        let mut problems = Vec::new();
        let items = setting
            .items
            .iter()
            .flat_map(|item| item.split([',', ' ']))
            .filter(|item| !item.is_empty());
        for item in items {
            match parse(item) {
                Ok(value) => values.push(value),
                Err(problem) => problems.push(format!("`{item}` {problem}")),
            }
        }
        for problem in problems {
            self.mistake(name, &problem);
        }
        values
    }

    fn mistake(&mut self, name: &str, problem: &str) {
        let place = self
            .source
            .settings
            .get(name)
            .map_or(name, |setting| &setting.place);
        self.mistakes.push(Mistake {
            place: place.to_owned(),
            problem: problem.to_owned(),
        });
    }
}

fn one(setting: &Setting) -> Result<&str, String> {
    match setting.items.as_slice() {
        [one] => Ok(one),
        _ => Err("takes one value, not a list".to_owned()),
    }
}

fn path(text: &str, setting: &Setting) -> Result<PathBuf, String> {
    Ok(setting.folder.join(text))
}

/// An https URL, or an http one on loopback.
fn web_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "is not a URL".to_owned())?;
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err("must be https unless it is on loopback".to_owned()),
        _ => Err("must be an https URL".to_owned()),
    }
}

#[cfg(test)]
mod tests;
