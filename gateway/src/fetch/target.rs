use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::{
    FetchError, Reach, Resolver,
    address::{is_global, is_loopback},
};

/// Where a name with more addresses than this leads is nobody's business here.
const MAX_ADDRESSES: usize = 64;

/// A URL that may be fetched, with the addresses that were judged.
#[derive(Debug)]
pub(super) struct Target {
    addresses: Vec<SocketAddr>,
}

impl Target {
    /// Judges a URL and every address that its host has right now: one that is not public refuses them all, since
    /// nobody can say which one a connection takes.
    pub(super) async fn find(
        url: &Url,
        reach: Reach,
        resolver: &dyn Resolver,
    ) -> Result<Self, FetchError> {
        let development = reach == Reach::Development;
        if url.scheme() != "https" && !(development && url.scheme() == "http") {
            return Err(FetchError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError::Credentials);
        }
        let addresses = match url.host().ok_or(FetchError::Scheme)? {
            Host::Ipv4(address) => vec![address.into()],
            Host::Ipv6(address) => vec![address.into()],
            Host::Domain(name) => resolver
                .resolve(name)
                .await
                .map_err(|error| FetchError::Unresolved(error.to_string()))?,
        };
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            let count = addresses.len();
            return Err(FetchError::Unresolved(format!("it has {count} addresses")));
        }
        let may_be_reached =
            |address: &IpAddr| is_global(*address) || (development && is_loopback(*address));
        if !addresses.iter().all(may_be_reached) {
            return Err(FetchError::NotPublic);
        }
        let port = url.port_or_known_default().ok_or(FetchError::Scheme)?;
        Ok(Self {
            addresses: addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, port))
                .collect(),
        })
    }

    /// A resolver that answers every question with the judged addresses.
    pub(super) fn pinned(&self) -> Pinned {
        Pinned(self.addresses.clone())
    }
}

/// See [`Target::pinned`].
pub(super) struct Pinned(Vec<SocketAddr>);

impl Resolve for Pinned {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}
