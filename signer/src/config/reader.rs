use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

use candid::Principal;
use toml::Spanned;
use url::Url;

use super::{
    Config, ConfigError,
    entries::{Entries, InstanceEntry, LimitsEntry, MasterKeys, RoleEntry},
    root_key,
};
use crate::{
    Instance, Limits,
    access::{Role, RoleRule},
    account::TargetOrigin,
    rpc::TlsFiles,
    vault::MasterKeySource,
};

const DEFAULT_IC_URL: &str = "https://icp-api.io";

/// Turns entries into values, and collects every mistake with its place on the way.
pub(super) struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    mistakes: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self {
            file,
            text,
            mistakes: Vec::new(),
        }
    }

    pub(super) fn into_error(self) -> ConfigError {
        ConfigError {
            mistakes: self.mistakes,
        }
    }
}

impl Reader<'_> {
    pub(super) fn config(
        mut self,
        entries: Entries,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let base = self.file.parent().unwrap_or(Path::new("")).to_owned();
        let listen = self.parsed(&entries.listen, "listen");
        let state_dir = self.text_of(
            "ICGATE_SIGNER_STATE_DIR",
            "state_dir",
            entries.state_dir,
            &environment,
        );
        let ic_url = self.text_of("IC_URL", "ic_url", entries.ic_url, &environment);
        let ic_root_key = self.text_of(
            "IC_ROOT_KEY",
            "ic_root_key",
            entries.ic_root_key,
            &environment,
        );
        if let Some(transport) = &entries.transport
            && transport.get_ref() != "direct"
        {
            self.note(transport.span(), "`transport` must be \"direct\"");
        }
        let state_dir = match state_dir {
            Some((dir, _)) => base.join(dir),
            None => {
                self.mistakes.push(format!(
                    "{}: `state_dir` is missing (or set ICGATE_SIGNER_STATE_DIR)",
                    self.file.display()
                ));
                PathBuf::new()
            }
        };
        let ic_url = self.ic_url(ic_url);
        let ic_root_key = self.root_key(&base, ic_root_key);
        let master_keys = self.master_keys(&base, &entries.master_key);
        let roles = self.roles(&entries.roles);
        let instances = self.instances(&entries.instances);
        let limits = self.limits(&entries.limits);
        let tls = TlsFiles {
            cert: base.join(entries.tls.cert),
            key: base.join(entries.tls.key),
            client_ca: base.join(entries.tls.client_ca),
        };
        match (listen, ic_url, ic_root_key, self.mistakes.is_empty()) {
            (Some(listen), Some(ic_url), Some(ic_root_key), true) => Ok(Config {
                listen,
                state_dir,
                ic_url,
                ic_root_key,
                tls,
                master_keys,
                roles,
                instances,
                limits,
            }),
            _ => Err(self.into_error()),
        }
    }

    /// A value with its place: the environment's, else the file's.
    fn text_of(
        &self,
        name: &str,
        key: &str,
        entry: Option<Spanned<String>>,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Option<(String, String)> {
        match environment(name).filter(|value| !value.is_empty()) {
            Some(value) => Some((value, name.to_owned())),
            None => entry.map(|entry| {
                let place = format!("{}: `{key}`", self.place(entry.span()));
                (entry.into_inner(), place)
            }),
        }
    }

    fn ic_url(&mut self, value: Option<(String, String)>) -> Option<Url> {
        let (text, place) = value.unwrap_or_else(|| (DEFAULT_IC_URL.to_owned(), String::new()));
        match Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
                Some(url)
            }
            _ => {
                self.mistakes
                    .push(format!("{place} must be an http or https URL"));
                None
            }
        }
    }

    fn root_key(&mut self, base: &Path, value: Option<(String, String)>) -> Option<Vec<u8>> {
        let Some((text, place)) = value else {
            return Some(root_key::mainnet());
        };
        match root_key::read(base, &text) {
            Ok(key) => Some(key),
            Err(cause) => {
                self.mistakes.push(format!("{place} {cause}"));
                None
            }
        }
    }

    fn master_keys(&mut self, base: &Path, keys: &MasterKeys) -> Vec<(String, MasterKeySource)> {
        let previous = keys
            .previous
            .iter()
            .map(|key| (&key.generation, &key.provider));
        let all: Vec<_> = std::iter::once((&keys.generation, &keys.provider))
            .chain(previous)
            .collect();
        let mut sources: Vec<(String, MasterKeySource)> = Vec::new();
        for (generation, provider) in all {
            if sources.iter().any(|(name, _)| name == generation.get_ref()) {
                self.note(
                    generation.span(),
                    "two master key generations have the same name",
                );
            }
            if let Some(source) = self.parsed::<MasterKeySource>(provider, "provider") {
                sources.push((generation.get_ref().clone(), source.relative_to(base)));
            }
        }
        sources
    }

    fn roles(&mut self, entries: &[RoleEntry]) -> Vec<RoleRule> {
        if entries.is_empty() {
            self.mistakes.push(format!(
                "{}: at least one [[roles]] entry is needed, else nobody may use the signer",
                self.file.display()
            ));
        }
        let mut rules = Vec::new();
        for entry in entries {
            if entry.san.get_ref().is_empty() {
                self.note(entry.san.span(), "`san` is empty");
            }
            if let Some(role) = self.parsed::<Role>(&entry.name, "name") {
                rules.push(RoleRule {
                    role,
                    san: entry.san.get_ref().clone(),
                });
            }
        }
        rules
    }

    fn instances(&mut self, entries: &[InstanceEntry]) -> Vec<Instance> {
        if entries.is_empty() {
            self.mistakes.push(format!(
                "{}: at least one [[instances]] entry is needed",
                self.file.display()
            ));
        }
        let mut instances: Vec<Instance> = Vec::new();
        for entry in entries {
            let name = entry.name.get_ref().clone();
            if name.is_empty() || instances.iter().any(|instance| instance.name == name) {
                self.note(entry.name.span(), "the instance's name is empty or taken");
            }
            let canister = match Principal::from_text(entry.ii_canister_id.get_ref()) {
                Ok(canister) => Some(canister),
                Err(_) => {
                    self.note(
                        entry.ii_canister_id.span(),
                        "`ii_canister_id` must be a canister id",
                    );
                    None
                }
            };
            let origin = match TargetOrigin::of_server(entry.origin.get_ref()) {
                Ok(origin) => Some(origin),
                Err(_) => {
                    self.note(
                        entry.origin.span(),
                        "`origin` must be the gateway's web origin, such as https://mcp.example",
                    );
                    None
                }
            };
            if let (Some(canister), Some(origin)) = (canister, origin) {
                instances.push(Instance {
                    name,
                    canister,
                    origin,
                });
            }
        }
        instances
    }

    fn limits(&mut self, entry: &LimitsEntry) -> Limits {
        let usual = Limits::default();
        Limits {
            pending_connections: self.limit(
                entry.pending_connections.as_ref(),
                usual.pending_connections,
            ),
            connections_per_grant: self.limit(
                entry.connections_per_grant.as_ref(),
                usual.connections_per_grant,
            ),
            tls_connections: self.limit(entry.tls_connections.as_ref(), usual.tls_connections),
            concurrent_streams: self
                .limit(entry.concurrent_streams.as_ref(), usual.concurrent_streams),
            requests_in_flight: self
                .limit(entry.requests_in_flight.as_ref(), usual.requests_in_flight),
            connection_age_seconds: self.limit(
                entry.connection_age_seconds.as_ref(),
                usual.connection_age_seconds,
            ),
        }
    }

    fn limit(&mut self, entry: Option<&Spanned<u32>>, usual: u32) -> u32 {
        match entry {
            None => usual,
            Some(entry) => match *entry.get_ref() {
                limit @ 1..=1_000_000 => limit,
                _ => {
                    self.note(entry.span(), "a limit must be between 1 and 1000000");
                    usual
                }
            },
        }
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(
        &mut self,
        entry: &Spanned<String>,
        key: &str,
    ) -> Option<T> {
        match entry.get_ref().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.note(entry.span(), &format!("`{key}` {error}"));
                None
            }
        }
    }

    pub(super) fn note(&mut self, span: Range<usize>, mistake: &str) {
        self.mistakes
            .push(format!("{}: {mistake}", self.place(span)));
    }

    fn place(&self, span: Range<usize>) -> String {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        format!("{}:{line}", self.file.display())
    }
}
