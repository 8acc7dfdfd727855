//! signer.toml and the environment names that override it.

use std::{
    env, fmt, fs,
    ops::Range,
    path::{Path, PathBuf},
    str::FromStr,
};

use candid::Principal;
use serde::Deserialize;
use toml::Spanned;
use url::Url;

use crate::{
    Instance, Limits,
    access::{Role, RoleRule},
    account::TargetOrigin,
    rpc::{Listen, TlsFiles},
    vault::{MasterKeyError, MasterKeySource, Outer},
};

/// DER of a BLS12-381 public key up to the key itself, and the whole length.
const ROOT_KEY_PREFIX: &str =
    "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100";
const ROOT_KEY_LENGTH: usize = 133;
/// The Internet Computer's root key.
const MAINNET: &str = "814c0e6ec71fab583b08bd81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d65b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae";
const DEFAULT_IC_URL: &str = "https://icp-api.io";

/// The signer's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Where the database lies.
    pub state_dir: PathBuf,
    /// The Internet Computer's HTTP interface.
    pub ic_url: Url,
    /// The pinned root key, DER.
    pub ic_root_key: Vec<u8>,
    /// The link's certificates.
    pub tls: TlsFiles,
    /// The master key: the current generation, then earlier ones that are still read.
    pub master_keys: Vec<(String, MasterKeySource)>,
    /// Who may do what.
    pub roles: Vec<RoleRule>,
    /// The Internet Identity deployments.
    pub instances: Vec<Instance>,
    /// The bounds.
    pub limits: Limits,
}

/// Everything that is wrong with the configuration, each with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// One line per mistake.
    pub mistakes: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistakes.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Spanned<String>,
    state_dir: Option<Spanned<String>>,
    ic_url: Option<Spanned<String>>,
    ic_root_key: Option<Spanned<String>>,
    transport: Option<Spanned<String>>,
    tls: Tls,
    master_key: MasterKeys,
    #[serde(default)]
    roles: Vec<RoleEntry>,
    #[serde(default)]
    instances: Vec<InstanceEntry>,
    #[serde(default)]
    limits: LimitsEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert: PathBuf,
    key: PathBuf,
    client_ca: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MasterKeys {
    provider: Spanned<String>,
    generation: Spanned<String>,
    #[serde(default)]
    previous: Vec<PreviousKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviousKey {
    provider: Spanned<String>,
    generation: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleEntry {
    name: Spanned<String>,
    san: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InstanceEntry {
    name: Spanned<String>,
    ii_canister_id: Spanned<String>,
    origin: Spanned<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LimitsEntry {
    pending_connections: Option<Spanned<u32>>,
    tls_connections: Option<Spanned<u32>>,
    concurrent_streams: Option<Spanned<u32>>,
    requests_in_flight: Option<Spanned<u32>>,
    connection_age_seconds: Option<Spanned<u32>>,
}

impl Config {
    /// Reads the file, and the environment over it.
    ///
    /// # Errors
    /// Every mistake, with the line or the environment name it is in.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file).map_err(|error| ConfigError {
            mistakes: vec![format!("{}: {error}", file.display())],
        })?;
        Self::parse(file, &text, |name| env::var(name).ok())
    }

    /// Reads a configuration from its text and an environment.
    ///
    /// # Errors
    /// See [`Config::load`].
    pub fn parse(
        file: &Path,
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut reader = Reader {
            file,
            text,
            mistakes: Vec::new(),
        };
        let entries: File = match toml::from_str(text) {
            Ok(entries) => entries,
            Err(error) => {
                reader.note(error.span().unwrap_or_default(), error.message());
                return Err(ConfigError {
                    mistakes: reader.mistakes,
                });
            }
        };
        reader.config(entries, environment)
    }

    /// Loads the master keys.
    ///
    /// # Errors
    /// See [`MasterKeyError`].
    pub fn outer(&self) -> Result<Outer, MasterKeyError> {
        let mut keys = self
            .master_keys
            .iter()
            .map(|(generation, source)| source.load(generation));
        let current = keys
            .next()
            .unwrap_or_else(|| Err(MasterKeyError::Source(String::new())))?;
        Ok(Outer::new(current, keys.collect::<Result<_, _>>()?))
    }
}

struct Reader<'a> {
    file: &'a Path,
    text: &'a str,
    mistakes: Vec<String>,
}

impl Reader<'_> {
    fn config(
        mut self,
        entries: File,
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
            _ => Err(ConfigError {
                mistakes: self.mistakes,
            }),
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
            return hex::decode(format!("{ROOT_KEY_PREFIX}{MAINNET}")).ok();
        };
        match read_root_key(base, &text) {
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

    fn note(&mut self, span: Range<usize>, mistake: &str) {
        self.mistakes
            .push(format!("{}: {mistake}", self.place(span)));
    }

    fn place(&self, span: Range<usize>) -> String {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        format!("{}:{line}", self.file.display())
    }
}

/// Hexadecimal DER, or a file that holds it in binary or hexadecimal.
fn read_root_key(base: &Path, text: &str) -> Result<Vec<u8>, String> {
    if text == "fetch" {
        return Err("cannot be \"fetch\": the signer only trusts a key it was given".to_owned());
    }
    let key = match hex::decode(text) {
        Ok(key) => key,
        Err(_) => {
            let path = base.join(text);
            let bytes = fs::read(&path)
                .map_err(|error| format!("is neither hexadecimal nor a readable file: {error}"))?;
            let hexadecimal = std::str::from_utf8(&bytes).ok();
            hexadecimal
                .and_then(|text| hex::decode(text.trim()).ok())
                .unwrap_or(bytes)
        }
    };
    let is_root_key =
        key.len() == ROOT_KEY_LENGTH && hex::encode(&key).starts_with(ROOT_KEY_PREFIX);
    is_root_key
        .then_some(key)
        .ok_or_else(|| "is not a root key (DER of a BLS12-381 key)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
listen = "127.0.0.1:9443"
state_dir = "state"
[tls]
cert = "signer.pem"
key = "/etc/signer.key"
client_ca = "ca.pem"
[master_key]
provider = "file:master.key"
generation = "2"
previous = [{ provider = "file:old.key", generation = "1" }]
[[roles]]
name = "gateway"
san = "spiffe://icgate/gateway"
[[instances]]
name = "beta"
ii_canister_id = "fgte5-ciaaa-aaaad-aaatq-cai"
origin = "http://127.0.0.1:8000"
"#;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("/dir/signer.toml"), text, |_| None)
    }

    #[test]
    fn reads_the_documented_file() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.state_dir, Path::new("/dir/state"));
        assert_eq!(config.tls.cert, Path::new("/dir/signer.pem"));
        assert_eq!(config.tls.key, Path::new("/etc/signer.key"));
        assert_eq!(config.ic_url.as_str(), "https://icp-api.io/");
        assert_eq!(config.master_keys[0].0, "2");
        assert_eq!(
            config.master_keys[1].1,
            MasterKeySource::File("/dir/old.key".into())
        );
        assert_eq!(
            config.instances[0].origin.as_str(),
            "https://127.0.0.1:8000"
        );
        assert_eq!(config.limits, Limits::default());
    }

    #[test]
    fn mainnets_root_key_is_the_one_the_agent_knows() {
        let agent = ic_agent::Agent::builder()
            .with_url("https://ic.invalid")
            .build()
            .unwrap();
        assert_eq!(parse(GOOD).unwrap().ic_root_key, agent.read_root_key());
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let environment =
            |name: &str| (name == "IC_URL").then(|| "http://127.0.0.1:4943".to_owned());
        let config = Config::parse(Path::new("signer.toml"), GOOD, environment).unwrap();
        assert_eq!(config.ic_url.as_str(), "http://127.0.0.1:4943/");
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let text = GOOD
            .replace("127.0.0.1:9443", "nowhere")
            .replace("fgte5-ciaaa-aaaad-aaatq-cai", "not-a-canister")
            .replace("\"gateway\"", "\"king\"");
        let environment = |name: &str| (name == "IC_ROOT_KEY").then(|| "fetch".to_owned());
        let error = Config::parse(Path::new("signer.toml"), &text, environment).unwrap_err();
        assert_eq!(error.mistakes.len(), 4, "{error}");
        for place in [
            "signer.toml:2:",
            "signer.toml:13:",
            "signer.toml:17:",
            "IC_ROOT_KEY",
        ] {
            assert!(
                error
                    .mistakes
                    .iter()
                    .any(|mistake| mistake.starts_with(place)),
                "{place}: {error}"
            );
        }
    }

    #[test]
    fn unknown_and_missing_keys_are_refused() {
        let unknown = parse(&GOOD.replace("state_dir", "state_directory")).unwrap_err();
        assert!(
            unknown.mistakes[0].starts_with("/dir/signer.toml:3:"),
            "{unknown}"
        );
        let missing = parse(&GOOD.replace("state_dir = \"state\"", "")).unwrap_err();
        assert!(
            missing.mistakes[0].contains("ICGATE_SIGNER_STATE_DIR"),
            "{missing}"
        );
        assert!(parse(&GOOD.replace("generation = \"1\"", "generation = \"2\"")).is_err());
    }
}
