//! From an app's name or address to where its users are derived, and to its canisters.
//!
//! Internet Identity derives another principal for every origin, so a wrong one silently makes the user another
//! person. An origin is therefore declared by the app, or known here, or the app's own when it shows that it lives on
//! the Internet Computer. It is never guessed.

mod declaration;
mod known;
mod look_alike;
mod resolve;

pub(crate) use self::{
    known::domains as known_domains,
    resolve::{App, Basis, ResolveError},
};
use super::{
    VISIT,
    findings::Report,
    site::{self, ExploreError},
};
use crate::{
    connection::ConnectionId,
    fetch::{Fetcher, Visit},
    origin::TargetOrigin,
};

/// Apps by name or address.
pub(crate) struct Apps {
    fetcher: Fetcher,
    dev: bool,
}

/// Why an address is perhaps not the one that was meant: it looks like a known app's and is not. Somebody who means it
/// all the same writes its scheme.
fn not_meant(address: &str, origin: &TargetOrigin) -> Option<ResolveError> {
    let known = look_alike::of(origin).filter(|_| !TargetOrigin::is_literal(address))?;
    Some(ResolveError::LookAlike(origin.clone(), known))
}

/// The same of an address that a call is to be made at, which somebody chose before: only one that reads like a known
/// app's name and is spelled otherwise.
pub(crate) fn disguised(address: &str, origin: &TargetOrigin) -> Option<ResolveError> {
    not_meant(address, origin).filter(|_| look_alike::is_disguised(origin))
}

/// An app that was opened.
pub(crate) struct Opened {
    /// Where its users are derived.
    pub(crate) app: App,
    /// Its canisters, as far as its site could be looked through.
    pub(crate) report: Result<Report, ExploreError>,
}

impl Apps {
    pub(super) fn new(fetcher: Fetcher, dev: bool) -> Self {
        Self { fetcher, dev }
    }

    /// Begins a look at a website for a connection.
    pub(crate) fn visit(&self, connection: &ConnectionId) -> Visit {
        self.fetcher.visit(VISIT).asked_by(connection.as_str())
    }

    /// Looks for the canisters a site works with.
    pub(crate) async fn explore(
        &self,
        visit: &Visit,
        origin: &TargetOrigin,
    ) -> Result<Report, ResolveError> {
        let home = origin.url()?;
        site::explore(visit, origin, &home)
            .await
            .map_err(|error| match error {
                ExploreError::Unreachable(error) => {
                    ResolveError::Unreachable(origin.clone(), error)
                }
                ExploreError::Elsewhere(to) => ResolveError::Elsewhere(origin.clone(), to),
            })
    }

    /// Where the users of the app at an address are derived.
    pub(crate) async fn resolve(&self, visit: &Visit, address: &str) -> Result<App, ResolveError> {
        let origin = TargetOrigin::of_address(address, self.dev)?;
        if let Some(mistake) = not_meant(address, &origin) {
            return Err(mistake);
        }
        let resembles = look_alike::of(&origin);
        resolve::resolve(visit, origin, resembles, self.dev).await
    }

    /// The same for a name or an address, with the app's canisters. An address with `https://` is taken literally.
    pub(crate) async fn open(&self, visit: &Visit, app: &str) -> Result<Opened, ResolveError> {
        let app = app.trim();
        let app = match known::named(app) {
            Some(known) if !TargetOrigin::is_literal(app) => {
                self.resolve(visit, known.address).await?
            }
            _ if app.contains('.') || TargetOrigin::is_literal(app) => {
                self.resolve(visit, app).await?
            }
            _ => return Err(ResolveError::UnknownName(known::nearest_name(app))),
        };
        let home = app.origin.url()?;
        let report = site::explore(visit, &app.origin, &home).await;
        Ok(Opened { app, report })
    }
}
