//! The one guarded way out to addresses that somebody else chose.
//!
//! Whoever can make a server fetch a URL can make it speak to places only the server reaches (CWE-918). So a target
//! is judged before anything is sent: its scheme, and every address its name has right now. The connection then goes
//! to just these addresses, whatever the name says a moment later. No proxy, no cookies, no credentials; sizes, times
//! and the number of fetches at once are bounded.

mod address;
mod document;
mod error;
mod places;
mod resolver;
mod target;
mod visit;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use reqwest::{Client, redirect};

pub use self::{
    address::is_global,
    document::{Bounds, Document},
    error::FetchError,
    resolver::{Resolver, SystemResolver},
    target::{admit, next_hop},
    visit::{Allowance, Answer, Visit},
};
use self::{places::Places, target::Target};

/// Names the product to those it fetches from.
const USER_AGENT: &str = concat!("icgate/", env!("CARGO_PKG_VERSION"));

/// Fetches from addresses that somebody else chose. Cheap to clone; clones share the bound on fetches at once.
#[derive(Clone)]
pub struct Fetcher {
    resolver: Arc<dyn Resolver>,
    reach: Reach,
    places: Arc<Places>,
}

/// What may be fetched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses by https.
    Public,
    /// Also loopback addresses, and plain http: for development only.
    Development,
}

impl Reach {
    /// `ICGATE_DEV` as configured.
    pub fn new(dev: bool) -> Self {
        if dev {
            Reach::Development
        } else {
            Reach::Public
        }
    }
}

impl Fetcher {
    /// A fetcher that asks this machine's resolver.
    pub fn new(reach: Reach) -> Self {
        Self::with_resolver(reach, Arc::new(SystemResolver))
    }

    /// A fetcher that asks this resolver.
    pub fn with_resolver(reach: Reach, resolver: Arc<dyn Resolver>) -> Self {
        Self {
            resolver,
            reach,
            places: Arc::default(),
        }
    }

    /// A client for one target that can reach nothing but the addresses that were judged, and follows no redirect.
    /// It keeps so many connections for further requests.
    fn client(target: &Target, kept: usize) -> Result<Client, FetchError> {
        Client::builder()
            .dns_resolver(target.pinned())
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .pool_max_idle_per_host(kept)
            .user_agent(USER_AGENT)
            .build()
            .map_err(FetchError::unreachable)
    }
}
