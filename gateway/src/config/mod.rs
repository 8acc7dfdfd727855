//! The gateway's configuration, checked: what lies in [`Config`] can be used as it is.
//!
//! Every setting has one name. In the environment it is written as in the README (`PUBLIC_URL`), in
//! `gateway.toml` in lower case (`public_url`); the environment wins. Relative paths in the file start at the
//! file's folder.

mod check;
mod limits;
pub(crate) mod network;
mod root_key;
mod source;

use std::{fmt, net::SocketAddr, path::PathBuf};

use icgate_proto::Link;
use url::Url;

use crate::{
    instance::{Instance, InstanceName, PublicUrl},
    mcp::Served,
};

pub use self::{limits::Limits, network::Network};

/// Everything `icgate serve` needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// This server's origin.
    pub public_url: PublicUrl,
    /// Where the edge listens.
    pub listen: SocketAddr,
    /// Certificate and key of the edge; none means plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Reverse proxies whose forwarding headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// Web origins besides our own whose pages may call the MCP endpoints; normalized, without trailing slash.
    pub allowed_origins: Vec<String>,
    /// What one client may cost.
    pub limits: Limits,
    /// Both instances, the default one first.
    pub instances: [Instance; 2],
    /// Boundary node or local replica.
    pub ic_url: Url,
    /// DER of the key that certificates must chain to; none means mainnet's.
    pub root_key: Option<Vec<u8>>,
    /// How to reach the signer.
    pub signer: Link,
    /// Where the gateway's database lies.
    pub state_dir: PathBuf,
    /// Extra hosted redirect prefixes, `https://host/path`.
    pub redirect_prefixes: Vec<Url>,
    /// Client registrations to import at start: a JSON array of RFC 7591 registrations with their `client_id`.
    pub clients_file: Option<PathBuf>,
    /// Whether the device grant (RFC 8628) is offered.
    pub device_grant: bool,
    /// Whether clients may describe themselves with a metadata document.
    pub client_documents: bool,
    /// Services that may ask about tokens (RFC 7662): lines of `name:` and the SHA-256 of a secret in hex.
    pub introspection_clients_file: Option<PathBuf>,
    /// Whether a request whose `_meta` names another MCP revision than its header is served as the `_meta` says.
    pub repair_protocol_header: bool,
    /// Which tools are offered.
    pub tools: Served,
    /// Public services that discovery asks.
    pub services: Services,
    /// Whether loopback and plain-http targets may be fetched.
    pub dev: bool,
}

/// PEM files of the edge's certificate, read again when they change.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Addresses of public services; none means the service's usual place.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// Registry of skills (`SKILLS_URL`).
    pub skills: Option<Url>,
    /// Dashboard API (`IC_DASHBOARD_API`).
    pub dashboard: Option<Url>,
    /// ICRC index API (`IC_ICRC_API`).
    pub icrc: Option<Url>,
    /// SNS API (`IC_SNS_API`).
    pub sns: Option<Url>,
}

/// A checked configuration whose root key may still have to be fetched.
#[derive(Debug)]
pub struct Draft {
    /// Everything that can be known without the network.
    pub config: Config,
    fetch_root_key: bool,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// `file:line`, or the name of the environment variable.
    pub place: String,
    /// What is wrong, as the rest of a sentence that begins with the setting's name.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// Why there is no configuration. The process exits with 78 (`EX_CONFIG` of sysexits).
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Everything that is wrong with the settings, in the order of the settings.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
    /// `IC_ROOT_KEY` is `fetch` and the local replica did not answer.
    #[error("IC_ROOT_KEY: the root key could not be fetched from {url}: {cause}")]
    RootKey {
        /// The replica that was asked.
        url: Url,
        /// What went wrong.
        cause: String,
    },
}

impl Config {
    /// Reads and checks the settings: the file that `ICGATE_CONFIG` names, and `env` over it.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn read(env: impl Fn(&str) -> Option<String>) -> Result<Draft, ConfigError> {
        check::check(source::Source::read(env)?)
    }

    /// One instance.
    pub fn instance(&self, name: InstanceName) -> &Instance {
        match name {
            InstanceName::Beta => &self.instances[0],
            InstanceName::Prod => &self.instances[1],
        }
    }
}

impl Draft {
    /// The finished configuration; fetches the root key when `IC_ROOT_KEY` is `fetch`, at most for ten seconds.
    ///
    /// # Errors
    /// [`ConfigError::RootKey`].
    pub async fn complete(mut self) -> Result<Config, ConfigError> {
        if self.fetch_root_key {
            self.config.root_key = Some(root_key::fetch(&self.config.ic_url).await?);
        }
        Ok(self.config)
    }
}

/// The root key of the replica at `url`, DER, in at most ten seconds.
///
/// # Errors
/// [`ConfigError::RootKey`].
pub async fn fetch_root_key(url: &Url) -> Result<Vec<u8>, ConfigError> {
    root_key::fetch(url).await
}

/// Whether a URL's host is a loopback name or address.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
