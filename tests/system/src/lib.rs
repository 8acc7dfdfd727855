//! The test harness: starts the real `icgate`, `icgate-signer` and `icgate-devnet` binaries with their own ports,
//! configuration files and state directories, and speaks to them as their users do.
//!
//! Nothing is built here: the binaries stand beside the running test in cargo's target directory
//! (`cargo build --workspace --all-targets` puts them there).
#![forbid(unsafe_code)]

mod authority;
mod binaries;
mod browser;
mod device;
mod devnet;
mod forms;
mod funds;
mod gateway;
mod link;
mod mcp;
mod oauth;
mod person;
mod ports;
mod process;
mod proxy;
mod schema;
mod signer;
mod stack;
mod wait;
mod world;

pub use authority::Authority;
pub use binaries::{binary, repository};
pub use browser::{Browser, Page};
pub use device::{Device, DeviceCodes};
pub use devnet::{Consent, Devnet, Fault, IcRequest};
pub use funds::Interference;
pub use gateway::Gateway;
pub use link::{SignerConnection, nanoseconds_from_now};
pub use mcp::{Answer, Call, Era, McpClient, ToolResult};
pub use oauth::{AuthServer, Authorization, Client, REDIRECT_URI, Tokens};
pub use person::{Person, box_of};
pub use ports::free_port;
pub use process::{Process, Spawn};
pub use proxy::{Passed, Proxy};
pub use schema::mismatch;
pub use signer::Signer;
pub use stack::{Handshake, Instance, Stack};
pub use wait::{START_BOUND, until, until_every};
pub use world::World;

/// A plain HTTP client that follows no redirect, for requests whose status and headers are the point.
pub fn http_client() -> reqwest::Client {
    install_crypto_provider();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(60))
        .no_proxy()
        .tls_certs_merge([own_root()])
        .build()
        .expect("a client without options that can fail")
}

fn own_root() -> reqwest::Certificate {
    reqwest::Certificate::from_pem(Authority::own().pem().as_bytes()).expect("a certificate")
}

/// Two crypto providers are linked, so that one has to be chosen before TLS is first used.
fn install_crypto_provider() {
    // Only the first call of a process can succeed.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
