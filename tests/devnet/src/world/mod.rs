//! The world around the network, on loopback ports of its own: the IC dashboards, the registry of skills, and
//! websites of apps, honest and hostile.

mod body;
mod services;
mod site;
mod sites;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::Router;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{lock, network::Canisters, server};

/// Where the world is.
#[derive(Clone, Debug, Serialize)]
pub struct World {
    /// Dashboard of canisters.
    pub dashboard_url: String,
    /// Registry of ICRC tokens.
    pub icrc_url: String,
    /// Registry of SNSes.
    pub sns_url: String,
    /// Registry of skills.
    pub skills_url: String,
    /// Websites by name; each is an origin of its own.
    pub sites: BTreeMap<&'static str, String>,
}

/// A service that can be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Service {
    Dashboard,
    Icrc,
    Sns,
    Skills,
}

/// Which services are down, and how often anything was asked.
#[derive(Default)]
pub(crate) struct WorldState {
    down: Mutex<BTreeSet<Service>>,
    requests: Mutex<BTreeMap<String, u64>>,
    more_skills: AtomicUsize,
}

impl WorldState {
    /// Lets the registry of skills list so many more.
    pub(crate) fn set_more_skills(&self, number: usize) {
        self.more_skills.store(number, Ordering::SeqCst);
    }

    fn more_skills(&self) -> usize {
        self.more_skills.load(Ordering::SeqCst)
    }

    pub(crate) fn set_down(&self, service: Service, down: bool) {
        let mut all = lock(&self.down);
        if down {
            all.insert(service);
        } else {
            all.remove(&service);
        }
    }

    fn is_down(&self, service: Service) -> bool {
        lock(&self.down).contains(&service)
    }

    /// Requests so far by service or site.
    pub(crate) fn requests(&self) -> BTreeMap<String, u64> {
        lock(&self.requests).clone()
    }

    fn count(&self, name: &str) {
        *lock(&self.requests).entry(name.to_owned()).or_default() += 1;
    }
}

/// Starts everything; what is started ends when `stop` changes.
pub(crate) async fn start(
    canisters: &Canisters,
    state: &Arc<WorldState>,
    stop: &watch::Receiver<()>,
) -> io::Result<(World, Vec<JoinHandle<()>>)> {
    let services = server::bind(0).await?;
    let base = url(&services)?;
    let mut listeners = BTreeMap::new();
    for name in sites::NAMES {
        listeners.insert(name, server::bind(0).await?);
    }
    let sites = listeners
        .iter()
        .map(|(name, listener)| Ok((*name, url(listener)?)))
        .collect::<io::Result<BTreeMap<_, _>>>()?;

    let spawn = |listener: TcpListener, router: Router| {
        tokio::spawn(server::serve(listener, router, |_| true, stop.clone()))
    };
    let mut servers = vec![spawn(services, services::routes(canisters, state.clone()))];
    for (name, listener) in listeners {
        let site = sites::site(name, canisters, &sites);
        servers.push(spawn(listener, site.routes(name, state.clone())));
    }
    let world = World {
        dashboard_url: format!("{base}/dashboard"),
        icrc_url: format!("{base}/icrc"),
        sns_url: format!("{base}/sns"),
        skills_url: format!("{base}/skills"),
        sites,
    };
    Ok((world, servers))
}

fn url(listener: &TcpListener) -> io::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}
