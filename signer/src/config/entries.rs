//! The file's entries as they are written: their shape is checked, their values not yet.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries {
    pub(super) listen: Spanned<String>,
    pub(super) state_dir: Option<Spanned<String>>,
    pub(super) ic_url: Option<Spanned<String>>,
    pub(super) ic_root_key: Option<Spanned<String>>,
    pub(super) transport: Option<Spanned<String>>,
    pub(super) tls: Tls,
    pub(super) master_key: MasterKeys,
    #[serde(default)]
    pub(super) roles: Vec<RoleEntry>,
    #[serde(default)]
    pub(super) instances: Vec<InstanceEntry>,
    #[serde(default)]
    pub(super) limits: LimitsEntry,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_ca: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MasterKeys {
    pub(super) provider: Spanned<String>,
    pub(super) generation: Spanned<String>,
    #[serde(default)]
    pub(super) previous: Vec<PreviousKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviousKey {
    pub(super) provider: Spanned<String>,
    pub(super) generation: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleEntry {
    pub(super) name: Spanned<String>,
    pub(super) san: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstanceEntry {
    pub(super) name: Spanned<String>,
    pub(super) ii_canister_id: Spanned<String>,
    pub(super) origin: Spanned<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsEntry {
    pub(super) pending_connections: Option<Spanned<u32>>,
    pub(super) connections_per_grant: Option<Spanned<u32>>,
    pub(super) tls_connections: Option<Spanned<u32>>,
    pub(super) concurrent_streams: Option<Spanned<u32>>,
    pub(super) requests_in_flight: Option<Spanned<u32>>,
    pub(super) connection_age_seconds: Option<Spanned<u32>>,
}
