use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::{
    FetchError, Reach, Resolver,
    address::{is_global, is_loopback},
};

/// Where a name with more addresses than this leads is nobody's business here.
const MAX_ADDRESSES: usize = 64;

impl Reach {
    fn covers(self, address: IpAddr) -> bool {
        is_global(address) || (self == Reach::Development && is_loopback(address))
    }
}

/// Judges what a URL says itself, before its name is looked up: its scheme, that it names no user, and its host when
/// that is an address.
///
/// # Errors
/// Why it may not be fetched.
pub fn admit(url: &Url, reach: Reach) -> Result<Host<&str>, FetchError> {
    let development = reach == Reach::Development;
    if url.scheme() != "https" && !(development && url.scheme() == "http") {
        return Err(FetchError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FetchError::Credentials);
    }
    let host = url.host().ok_or(FetchError::Scheme)?;
    let address: IpAddr = match host {
        Host::Domain(_) => return Ok(host),
        Host::Ipv4(address) => address.into(),
        Host::Ipv6(address) => address.into(),
    };
    if reach.covers(address) {
        Ok(host)
    } else {
        Err(FetchError::NotPublic)
    }
}

/// Where a redirect of a website may lead: by https to the host it comes from, or to a public address written out.
/// Another name is another site, which nobody asked for.
pub fn next_hop(from: &Url, location: &str, reach: Reach) -> Option<Url> {
    let mut to = from.join(location).ok()?;
    to.set_fragment(None);
    let host = admit(&to, reach).ok()?;
    let is_public_address = match host {
        Host::Domain(_) => false,
        Host::Ipv4(address) => is_global(address.into()),
        Host::Ipv6(address) => is_global(address.into()),
    };
    let downgrades = from.scheme() == "https" && to.scheme() != "https";
    (!downgrades && (to.host_str() == from.host_str() || is_public_address)).then_some(to)
}

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
        let addresses = match admit(url, reach)? {
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
        if !addresses.iter().all(|address| reach.covers(*address)) {
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
