//! Putting the devnet together: canisters, ports, and the description that tests read.

use std::{io, sync::Arc};

use candid::Principal;
use hyper::{Request, body::Incoming};
use serde::Serialize;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    canisters::{
        Canister,
        app::App,
        bare::Bare,
        hostile::{Deep, DeepInterface, Huge, HugeInterface, Trap},
        ii::{InternetIdentity, Preset},
        ledger::Ledger,
        types::Types,
    },
    consent::{Deployment, Handshake},
    control::{self, Controlled},
    replica::{self, Replica, faults::Kind, subnet::canister_id},
    server, web,
};

/// Numbers of the canister ids that mainnet uses too.
const LEDGER: u64 = 2;
const II_PROD: u64 = 7;
const II: u64 = 0x60_0027;
/// The devnet's own canisters follow from here.
const FIRST_APP: u64 = 0x100_0001;

/// Account names that Alice has at every origin, beside the default account.
const ALICE_ACCOUNTS: &[&str] = &["savings", "work"];
const II_ANCHORS: &[Preset] = &[
    (10_000, "Alice", ALICE_ACCOUNTS),
    (10_001, "Bob", &[]),
    (10_002, "Carol", &[]),
];
const II_PROD_ANCHORS: &[Preset] = &[(10_000, "Alice", ALICE_ACCOUNTS), (10_001, "Bob", &[])];

/// TCP ports on 127.0.0.1; 0 is any free one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ports {
    /// The IC's HTTP interface and `/control`.
    pub ic: u16,
    /// The page of the first (beta) II.
    pub ii: u16,
    /// The page of the second (production) II.
    pub ii_prod: u16,
}

/// Which generation of the protocol each II speaks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handshakes {
    /// The first (beta) II.
    pub ii: Handshake,
    /// The second (production) II.
    pub ii_prod: Handshake,
}

/// What a test must know to use the network; printed by the binary as one JSON line.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// Base URL of the IC's HTTP interface.
    pub ic_url: String,
    /// Base URL of the first II's page.
    pub ii_url: String,
    /// Base URL of the second II's page.
    pub ii_url_prod: String,
    /// Root key: DER in hex.
    pub root_key: String,
    /// Where the canisters are.
    pub canisters: Canisters,
    /// Numbers of the identities that exist.
    pub anchors: Anchors,
}

/// Canister ids of the devnet.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Canisters {
    /// The first (beta) II.
    pub ii: Principal,
    /// The second (production) II.
    pub ii_prod: Principal,
    /// ICRC-1 ledger with the legacy account methods.
    pub ledger: Principal,
    /// Counter and `whoami`.
    pub app: Principal,
    /// A method for every Candid type.
    pub types: Principal,
    /// Publishes no interface.
    pub bare: Principal,
    /// Replies nested as deep as asked.
    pub deep: Principal,
    /// Replies as large as asked.
    pub huge: Principal,
    /// Traps, rejects and replies nonsense.
    pub trap: Principal,
    /// Publishes an interface nested very deep.
    pub deep_interface: Principal,
    /// Publishes an interface of megabytes.
    pub huge_interface: Principal,
}

/// Identities of both IIs.
#[derive(Clone, Debug, Serialize)]
pub struct Anchors {
    /// Of the first II.
    pub ii: Vec<u64>,
    /// Of the second II.
    pub ii_prod: Vec<u64>,
}

/// The local network, not yet started.
#[derive(Debug)]
pub struct Devnet;

/// A started network. It ends when this is dropped or stopped.
#[derive(Debug)]
pub struct Running {
    description: Description,
    stop: watch::Sender<()>,
    servers: Vec<JoinHandle<()>>,
}

impl Canisters {
    fn assign() -> Self {
        let app = |number| canister_id(FIRST_APP + number);
        Self {
            ii: canister_id(II),
            ii_prod: canister_id(II_PROD),
            ledger: canister_id(LEDGER),
            app: app(0),
            types: app(1),
            bare: app(2),
            deep: app(3),
            huge: app(4),
            trap: app(5),
            deep_interface: app(6),
            huge_interface: app(7),
        }
    }
}

impl Devnet {
    /// Makes new keys, installs the canisters and listens on 127.0.0.1. The servers run on the
    /// calling tokio runtime.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub async fn start(ports: Ports, handshakes: Handshakes) -> io::Result<Running> {
        let ic = server::bind(ports.ic).await?;
        let ii = server::bind(ports.ii).await?;
        let ii_prod = server::bind(ports.ii_prod).await?;
        let url = |listener: &tokio::net::TcpListener| -> io::Result<String> {
            Ok(format!("http://{}", listener.local_addr()?))
        };

        let canisters = Canisters::assign();
        let pages = [
            (url(&ii)?, handshakes.ii),
            (url(&ii_prod)?, handshakes.ii_prod),
        ];
        let controlled = Arc::new(install(&canisters, pages));
        let replica = controlled.replica.clone();
        let numbers = |presets: &[Preset]| presets.iter().map(|preset| preset.0).collect();
        let description = Description {
            ic_url: url(&ic)?,
            ii_url: url(&ii)?,
            ii_url_prod: url(&ii_prod)?,
            root_key: hex::encode(replica.root_key()),
            canisters,
            anchors: Anchors {
                ii: numbers(II_ANCHORS),
                ii_prod: numbers(II_PROD_ANCHORS),
            },
        };

        let (stop, stopped) = watch::channel(());
        let pages = [(ii, &controlled.ii), (ii_prod, &controlled.ii_prod)];
        let mut servers: Vec<_> = pages
            .into_iter()
            .map(|(listener, deployment)| {
                let page = web::routes(deployment.clone());
                tokio::spawn(server::serve(listener, page, |_| true, stopped.clone()))
            })
            .collect();
        let routes = replica::http::routes(replica.clone()).merge(control::routes(controlled));
        let admit = move |request: &Request<Incoming>| {
            let path = request.uri().path();
            replica.faults.hits_path(Kind::Unreachable, path).is_none()
        };
        servers.push(tokio::spawn(server::serve(ic, routes, admit, stopped)));
        Ok(Running {
            description,
            stop,
            servers,
        })
    }
}

impl Running {
    /// URLs, root key, canisters and anchors.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Stops listening and closes all connections.
    pub async fn stop(self) {
        drop(self.stop);
        for server in self.servers {
            let _ = server.await;
        }
    }
}

fn install(ids: &Canisters, [page, page_prod]: [(String, Handshake); 2]) -> Controlled {
    let ledger = Arc::new(Ledger::default());
    let ii = Arc::new(InternetIdentity::new(ids.ii, II_ANCHORS));
    let ii_prod = Arc::new(InternetIdentity::new(ids.ii_prod, II_PROD_ANCHORS));
    let canisters: [(Principal, Box<dyn Canister>); 11] = [
        (ids.ii, Box::new(ii.clone())),
        (ids.ii_prod, Box::new(ii_prod.clone())),
        (ids.ledger, Box::new(ledger.clone())),
        (ids.app, Box::new(App::default())),
        (ids.types, Box::new(Types::new())),
        (ids.bare, Box::new(Bare)),
        (ids.deep, Box::new(Deep)),
        (ids.huge, Box::new(Huge)),
        (ids.trap, Box::new(Trap)),
        (ids.deep_interface, Box::new(DeepInterface)),
        (ids.huge_interface, Box::new(HugeInterface)),
    ];
    let replica = Arc::new(Replica::new(canisters));
    let deployment = |canister, double, (origin, handshake)| Deployment {
        canister,
        origin,
        handshake,
        double,
        replica: replica.clone(),
    };
    Controlled {
        ledger,
        ii: deployment(ids.ii, ii, page),
        ii_prod: deployment(ids.ii_prod, ii_prod, page_prod),
        replica,
    }
}
