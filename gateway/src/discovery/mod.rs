//! What the outside world says about canisters: apps' websites, the IC dashboards, registries of tokens, SNSes and
//! skills.
//!
//! All of it was written by strangers. It is read through the guarded fetcher within bounds, cleaned of what could
//! steer a reader, and handed on as what it is: somebody's word, with its provenance.

mod answer;
mod app;
mod dashboards;
mod findings;
mod kept;
mod manifest;
pub mod mine;
mod site;
mod skills;

use std::time::Duration;

use url::Url;

#[cfg(test)]
pub(crate) use self::kept::let_pass;
pub(crate) use self::{
    app::{App, Apps, Basis, Opened, ResolveError, disguised, known_domains},
    dashboards::{Dashboards, Entry, EntryKind, Profile, ServiceError},
    findings::{Finding, Report},
    site::ExploreError,
    skills::{Skill, SkillError, Skills},
};
use crate::{
    config::{Services, is_loopback},
    fetch::{Allowance, Bounds, Fetcher, Reach},
};

/// One look at a website. Somebody waits for it, and clients give up after a minute or less: what did not come by then
/// is told as missing.
const VISIT: Allowance = Allowance {
    bytes: 8 << 20,
    time: Duration::from_secs(20),
    at_once: 4,
};
/// A page or script.
const PAGE: Bounds = Bounds {
    bytes: 4 << 20,
    time: Duration::from_secs(8),
};
/// A document with facts about an app.
const DOCUMENT: Bounds = Bounds {
    bytes: 256 << 10,
    time: Duration::from_secs(8),
};

/// Everything tools ask the outside world with. One for the whole process.
pub(crate) struct Discovery {
    /// Apps by name or address.
    pub(crate) apps: Apps,
    /// Canisters by id, tokens and SNSes by name.
    pub(crate) dashboards: Dashboards,
    /// Texts that teach how to do something on the Internet Computer.
    pub(crate) skills: Skills,
}

impl Discovery {
    /// Asks nobody yet.
    pub(crate) fn new(services: &Services, dev: bool) -> Self {
        let websites = Fetcher::new(Reach::new(dev));
        Self {
            apps: Apps::new(websites, dev),
            dashboards: Dashboards::new(services, dev),
            skills: Skills::new(services.skills.as_ref(), dev),
        }
    }
}

/// A service at a fixed address, which the operator chose: it may be on loopback when that is said outright.
#[derive(Clone)]
struct Service {
    fetcher: Fetcher,
    /// Without a slash at its end.
    base: String,
}

impl Service {
    fn new(configured: Option<&Url>, usual: &str, dev: bool) -> Self {
        let on_loopback = configured.is_some_and(is_loopback);
        let base = configured.map_or(usual, Url::as_str);
        Self {
            fetcher: Fetcher::new(Reach::new(dev || on_loopback)),
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    fn url(&self, path: &str) -> Option<Url> {
        Url::parse(&format!("{}{path}", self.base)).ok()
    }
}

/// A stranger's text on one line, without what could steer a reader; none when nothing is left.
fn clean(text: &str, max: usize) -> Option<String> {
    let line = crate::candid::foreign::one_line(text, max);
    let line = line.trim();
    (!line.is_empty()).then(|| line.to_owned())
}
