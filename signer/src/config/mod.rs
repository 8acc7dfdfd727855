//! signer.toml and the environment names that override it.

mod entries;
mod reader;
mod root_key;

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use url::Url;

use self::{entries::Entries, reader::Reader};
use crate::{
    Instance, Limits,
    access::RoleRule,
    rpc::{Listen, TlsFiles},
    vault::{MasterKeyError, MasterKeySource, Outer},
};

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
        let mut reader = Reader::new(file, text);
        let entries: Entries = match toml::from_str(text) {
            Ok(entries) => entries,
            Err(error) => {
                reader.note(error.span().unwrap_or_default(), error.message());
                return Err(reader.into_error());
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
