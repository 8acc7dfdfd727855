//! Looking through a website for the canisters it works with.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use url::Url;

use super::{
    DOCUMENT, PAGE,
    answer::{frontend, is_html},
    findings::{Gathered, Report, Source},
    manifest::{Manifest, environment},
    mine::{mentions, mine, references},
};
use crate::{
    fetch::{Answer, FetchError, Visit},
    origin::TargetOrigin,
};

/// Scripts that are read of one site.
const MAX_SCRIPTS: usize = 20;
/// Addresses of scripts that are noted.
const MAX_NOTED: usize = 128;
/// How often scripts are followed to the scripts they import.
const MAX_ROUNDS: usize = 3;

/// Why a site could not be looked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExploreError {
    /// Its page could not be fetched.
    Unreachable(FetchError),
    /// Its page sends to another site, of this origin.
    Elsewhere(String),
}

/// Looks at everything a site's own origin says about canisters. Its page must be there; all else is best effort.
pub(super) async fn explore(
    visit: &Visit,
    origin: &TargetOrigin,
    home: &Url,
) -> Result<Report, ExploreError> {
    let document =
        async |path: &str| found(visit.get(&home.join(path).ok()?, DOCUMENT).await, home);
    let (page, architecture, app, connect, env) = tokio::join!(
        visit.get_what_comes(home, PAGE),
        document("/.well-known/ic-architecture"),
        document("/.well-known/ic-app.json"),
        document("/ai-connect.html"),
        document("/env.json"),
    );
    let page = page.map_err(ExploreError::Unreachable)?;
    if let Some(elsewhere) = page.leads_to() {
        return Err(ExploreError::Elsewhere(elsewhere));
    }

    let mut gathered = Gathered::default();
    let mut notes = Vec::new();
    let frontend = frontend(&page, home);
    if let Some(id) = frontend {
        gathered.add(id, Source::Header, Some("frontend"));
    }
    let manifests = [
        (
            "ic-architecture",
            architecture,
            Source::Architecture,
            Manifest::architecture as fn(&str) -> _,
        ),
        ("ic-app.json", app, Source::AppManifest, Manifest::app),
    ];
    for (name, answer, source, read) in manifests {
        let Some(answer) = answer.filter(|answer| !is_html(answer)) else {
            continue;
        };
        match read(&answer.text()) {
            Ok(manifest) => {
                for (id, label) in &manifest.canisters {
                    gathered.add(*id, source.clone(), label.as_deref());
                }
                if manifest.omitted > 0 {
                    notes.push(format!(
                        "{name} lists {} more entries, which were not read.",
                        manifest.omitted
                    ));
                }
            }
            Err(error) => notes.push(format!("The site's {name} was not used: it {error}.")),
        }
    }
    if let Some(answer) = env {
        for (id, name) in environment(&answer.text()) {
            gathered.add(id, Source::Env, Some(&name));
        }
    }
    if let Some(answer) = connect {
        for id in mine(&answer.text()).declared {
            gathered.add(id, Source::AppConnect, Some("main backend (App Connect)"));
        }
    }

    if !page.status.is_success() {
        notes.push(format!(
            "The site's page answered with status {}.",
            page.status.as_u16()
        ));
    }
    if !page.whole {
        notes.push("The site's page is too long or too slow and was read in part.".to_owned());
    }
    let mined = mine(&page.text());
    for id in mined.declared {
        gathered.add(id, Source::AppConnect, Some("main backend (App Connect)"));
    }
    gathered.add_mentions(mined.mentions);
    let mut scripts = Scripts::default();
    scripts.note(mined.scripts.iter().map(String::as_str), &page.url, home);
    scripts.read_all(visit, home, &mut gathered).await;
    notes.extend(scripts.remark());

    let (findings, omitted) = gathered.ranked();
    Ok(Report {
        origin: origin.clone(),
        frontend,
        findings,
        omitted,
        notes,
    })
}

/// An answer that says something: there, and the origin's own.
fn found(answer: Result<Answer, FetchError>, home: &Url) -> Option<Answer> {
    answer
        .ok()
        .filter(|answer| answer.status.is_success() && answer.is_of(home))
}

/// The scripts of a site, those read and those to be read.
#[derive(Default)]
struct Scripts {
    seen: BTreeSet<Url>,
    next: BTreeSet<Url>,
    read: usize,
    unread: usize,
}

impl Scripts {
    /// Notes scripts of the site's own origin: what others serve is not about this app.
    fn note<'a>(
        &mut self,
        addresses: impl Iterator<Item = &'a str>,
        relative_to: &Url,
        home: &Url,
    ) {
        for address in addresses {
            // Lists of parts are relative to the site, imports to their script.
            let explicit = address.starts_with(['/', '.']) || address.contains("://");
            let base = if explicit { relative_to } else { home };
            let Ok(mut url) = base.join(address) else {
                continue;
            };
            url.set_fragment(None);
            if url.origin() == home.origin()
                && self.seen.len() < MAX_NOTED
                && self.seen.insert(url.clone())
            {
                self.next.insert(url);
            }
        }
    }

    /// Reads what is noted and what that imports, in rounds.
    async fn read_all(&mut self, visit: &Visit, home: &Url, gathered: &mut Gathered) {
        for _ in 0..MAX_ROUNDS {
            let mut round = std::mem::take(&mut self.next).into_iter();
            let taken: Vec<Url> = round.by_ref().take(MAX_SCRIPTS - self.read).collect();
            self.unread += round.len();
            if taken.is_empty() {
                break;
            }
            self.read += taken.len();
            let answers = taken.iter().map(|url| visit.get_what_comes(url, PAGE));
            let answers = join_all(answers).await;
            for answer in answers {
                match found(answer, home) {
                    // Sites answer addresses that are none with their page.
                    Some(answer) if is_html(&answer) => {}
                    Some(answer) => {
                        let text = answer.text();
                        gathered.add_mentions(mentions(&text));
                        self.note(references(&text).into_iter(), &answer.url, home);
                        self.unread += usize::from(!answer.whole);
                    }
                    None => self.unread += 1,
                }
            }
        }
        self.unread += self.next.len();
    }

    fn remark(&self) -> Option<String> {
        (self.unread > 0).then(|| {
            format!(
                "{} of the site's scripts were not read, or not wholly; there may be more canisters.",
                self.unread
            )
        })
    }
}
