//! The gateway's configuration, checked: what lies in [`Config`] can be used as it is.

use std::{net::SocketAddr, path::PathBuf};

use icgate_proto::Link;
use url::Url;

use crate::instance::{Instance, InstanceName, PublicUrl};

/// Everything `icgate serve` needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// This server's origin.
    pub public_url: PublicUrl,
    /// Where the edge listens.
    pub listen: SocketAddr,
    /// Certificate and key of the edge; none means plain HTTP.
    pub tls: Option<TlsFiles>,
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
    /// Client registrations to import at start.
    pub clients_file: Option<PathBuf>,
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

impl Config {
    /// One instance.
    pub fn instance(&self, name: InstanceName) -> &Instance {
        match name {
            InstanceName::Beta => &self.instances[0],
            InstanceName::Prod => &self.instances[1],
        }
    }
}
