use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Devnet, http_client};

/// Where devnet's dashboards, registry of skills and websites are.
#[derive(Debug, Clone, Deserialize)]
pub struct World {
    /// Dashboard of canisters.
    pub dashboard_url: String,
    /// Registry of ICRC tokens.
    pub icrc_url: String,
    /// Registry of SNSes.
    pub sns_url: String,
    /// Registry of skills.
    pub skills_url: String,
    sites: BTreeMap<String, String>,
}

impl World {
    /// The origin of a website.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn site(&self, name: &str) -> &str {
        self.sites
            .get(name)
            .unwrap_or_else(|| panic!("devnet has no site {name}: {:?}", self.sites))
    }
}

impl Devnet {
    /// Takes a service down, or up again: `dashboard`, `icrc`, `sns`, `skills`.
    pub async fn down(&self, service: &str, down: bool) {
        let body = json!({ "service": service, "down": down });
        self.control("world/down", &body).await;
    }

    /// Lets the registry of skills list so many more.
    pub async fn more_skills(&self, more: u64) {
        self.control("world/skills", &json!({ "more": more })).await;
    }

    /// How often a service or site was asked so far.
    pub async fn asked(&self, name: &str) -> u64 {
        let url = format!("{}/control/world/requests", self.ic_url());
        let answer = http_client().get(&url).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
        let counts: Value = answer.json().await.expect("devnet's counts as JSON");
        counts[name].as_u64().unwrap_or_default()
    }
}
