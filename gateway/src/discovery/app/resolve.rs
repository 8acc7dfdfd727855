use super::{
    super::{PAGE, answer::frontend},
    declaration::{self, Unreadable},
    known::{self, Known},
};
use crate::{
    fetch::{FetchError, Visit},
    ic::CanisterId,
    origin::{OriginError, TargetOrigin},
};

/// An app, and where its users are derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct App {
    /// Where it is served.
    pub(crate) origin: TargetOrigin,
    /// Where its users are derived: what tools take as `domain`.
    pub(crate) derivation_origin: TargetOrigin,
    /// How that is known.
    pub(crate) basis: Basis,
    /// The canister that serves it, by the header of its gateway.
    pub(crate) frontend: Option<CanisterId>,
    /// A known app whose address this one's could be mistaken for.
    pub(crate) resembles: Option<&'static Known>,
}

/// How a derivation origin is known, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The app declares it, in this document.
    Declared(&'static str),
    /// This server knows the app, by this name.
    Known(&'static str),
    /// It is the app's own, as usual; the app lives on the Internet Computer.
    Assumed,
}

/// Why an app's derivation origin cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResolveError {
    /// It has no such address.
    Address(OriginError),
    /// The name is no known app's; this one's is like it.
    UnknownName(Option<&'static str>),
    /// The address looks like a known app's and is not.
    LookAlike(TargetOrigin, &'static Known),
    /// The site could not be reached.
    Unreachable(TargetOrigin, FetchError),
    /// The site sends to another one, of this origin.
    Elsewhere(TargetOrigin, String),
    /// Its declaration cannot be used.
    Unreadable(TargetOrigin, &'static str, Unreadable),
    /// It declares an origin that does not let it.
    NotAllowed(TargetOrigin, TargetOrigin),
    /// It declares an origin, and whether that lets it could not be read.
    AllowanceUnreadable(TargetOrigin, Unreadable),
    /// Nothing shows that it lives on the Internet Computer.
    NotOnTheIc(TargetOrigin),
}

impl From<OriginError> for ResolveError {
    fn from(error: OriginError) -> Self {
        ResolveError::Address(error)
    }
}

/// Asks the app, then what is known here, then whether its own origin may be taken.
pub(super) async fn resolve(
    visit: &Visit,
    origin: TargetOrigin,
    resembles: Option<&'static Known>,
    dev: bool,
) -> Result<App, ResolveError> {
    let home = origin.url()?;
    let declared = match declaration::declared(visit, &home, dev).await {
        Ok(declared) => declared,
        Err((_, Unreadable::Fetch(error))) => return Err(ResolveError::Unreachable(origin, error)),
        Err((document, error)) => return Err(ResolveError::Unreadable(origin, document, error)),
    };
    let mut frontend = declared.frontend;
    let app = |origin, derivation_origin, basis, frontend| App {
        origin,
        derivation_origin,
        basis,
        frontend,
        resembles,
    };
    if let Some((derivation, document)) = declared.origin {
        if derivation != origin {
            match declaration::allows(visit, &derivation, &origin, dev).await {
                Ok(true) => {}
                Ok(false) => return Err(ResolveError::NotAllowed(origin, derivation)),
                Err(error) => return Err(ResolveError::AllowanceUnreadable(derivation, error)),
            }
        }
        return Ok(app(origin, derivation, Basis::Declared(document), frontend));
    }
    if let Some(known) = known::at(&home)
        && let Some(derivation) = known.derivation_origin()
    {
        return Ok(app(origin, derivation, Basis::Known(known.name), frontend));
    }
    if frontend.is_none() {
        let page = visit.get_what_comes(&home, PAGE).await;
        let page = page.map_err(|error| ResolveError::Unreachable(origin.clone(), error))?;
        if let Some(elsewhere) = page.leads_to() {
            return Err(ResolveError::Elsewhere(origin, elsewhere));
        }
        frontend = self::frontend(&page, &home);
    }
    if frontend.is_none() {
        return Err(ResolveError::NotOnTheIc(origin));
    }
    Ok(app(origin.clone(), origin, Basis::Assumed, frontend))
}
