use std::collections::{HashMap, hash_map::Entry};

use super::{clean, mine::Mention};
use crate::{ic::CanisterId, origin::TargetOrigin};

/// Different canisters that are kept of one site.
const MAX_CANISTERS: usize = 1_024;
/// Places that are told for one canister.
const MAX_SOURCES: usize = 8;
/// Longest label, in characters.
pub(super) const MAX_LABEL: usize = 120;
/// Canisters that are reported.
const MAX_REPORTED: usize = 50;
/// Of these, ones of which nothing is known but that a script holds their id.
const MAX_BARE: usize = 20;

/// Where a canister id was found, best first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// The app's own description of its canisters.
    Architecture,
    /// App Connect's page or tag.
    AppConnect,
    /// The older description.
    AppManifest,
    /// The gateway's header of the page: the canister that serves it.
    Header,
    /// `env.json`.
    Env,
    /// In a script or the page, with a name.
    Named(String),
    /// In a script or the page.
    Bare,
}

impl Source {
    fn rank(&self) -> u8 {
        match self {
            Source::Architecture => 0,
            Source::AppConnect => 1,
            Source::AppManifest => 2,
            Source::Header => 3,
            Source::Env => 4,
            Source::Named(_) => 5,
            Source::Bare => 6,
        }
    }

    fn text(&self) -> String {
        match self {
            Source::Architecture => "ic-architecture".to_owned(),
            Source::AppConnect => "ai-connect".to_owned(),
            Source::AppManifest => "ic-app.json".to_owned(),
            Source::Header => "header".to_owned(),
            Source::Env => "env.json".to_owned(),
            Source::Named(name) => format!("bundle:{name}"),
            Source::Bare => "bundle".to_owned(),
        }
    }
}

/// A canister that a site mentions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Which.
    pub(crate) id: CanisterId,
    /// What the site calls it, cleaned.
    pub(crate) label: Option<String>,
    /// Where its id was found, best first.
    pub(crate) sources: Vec<String>,
    /// Whether the app's own description of its canisters lists it.
    pub(crate) declared: bool,
    rank: u8,
}

/// What a site says about its canisters.
#[derive(Debug)]
pub(crate) struct Report {
    /// The site.
    pub(crate) origin: TargetOrigin,
    /// The canister that serves it, by the header of its gateway.
    pub(crate) frontend: Option<CanisterId>,
    /// Best first.
    pub(crate) findings: Vec<Finding>,
    /// Canisters that were found and are not among them.
    pub(crate) omitted: usize,
    /// What could not be read.
    pub(crate) notes: Vec<String>,
}

/// Findings as they come in, in any order.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    canisters: HashMap<CanisterId, Gathering>,
    /// Canisters beyond the bound, some counted twice.
    beyond: usize,
}

#[derive(Debug)]
struct Gathering {
    label: Option<(u8, String)>,
    sources: Vec<Source>,
}

impl Gathered {
    pub(super) fn add(&mut self, id: CanisterId, source: Source, label: Option<&str>) {
        let full = self.canisters.len() >= MAX_CANISTERS;
        let gathering = match self.canisters.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if full => {
                self.beyond += 1;
                return;
            }
            Entry::Vacant(new) => new.insert(Gathering {
                label: None,
                sources: Vec::new(),
            }),
        };
        let rank = source.rank();
        // The best source names it, whichever came first.
        if let Some(label) = label.and_then(|label| clean(label, MAX_LABEL))
            && gathering
                .label
                .as_ref()
                .is_none_or(|(known, _)| rank < *known)
        {
            gathering.label = Some((rank, label));
        }
        if gathering.sources.contains(&source) {
            return;
        }
        gathering.sources.push(source);
        gathering.sources.sort();
        gathering.sources.truncate(MAX_SOURCES);
    }

    pub(super) fn add_mentions(&mut self, mentions: Vec<Mention>) {
        for Mention { id, name } in mentions {
            match name {
                Some(name) => self.add(id, Source::Named(name.clone()), Some(&name)),
                None => self.add(id, Source::Bare, None),
            }
        }
    }

    /// Best first, then by id, within the bounds of a report; and how many canisters are left out.
    pub(super) fn ranked(self) -> (Vec<Finding>, usize) {
        let mut all: Vec<Finding> = self
            .canisters
            .into_iter()
            .map(|(id, gathering)| Finding {
                id,
                label: gathering.label.map(|(_, label)| label),
                rank: gathering.sources.first().map_or(u8::MAX, Source::rank),
                declared: gathering.sources.contains(&Source::Architecture),
                sources: gathering.sources.iter().map(Source::text).collect(),
            })
            .collect();
        all.sort_by_cached_key(|finding| (finding.rank, finding.id.to_string()));
        let found = all.len() + self.beyond;
        let mut bare = 0;
        all.retain(|finding| {
            bare += usize::from(finding.rank == Source::Bare.rank());
            bare <= MAX_BARE || finding.rank != Source::Bare.rank()
        });
        all.truncate(MAX_REPORTED);
        let omitted = found - all.len();
        (all, omitted)
    }
}

#[cfg(test)]
mod tests {
    use candid::Principal;
    use proptest::prelude::*;

    use super::*;

    fn id(number: u64) -> CanisterId {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.extend([1, 1]);
        CanisterId::parse(&Principal::from_slice(&bytes).to_text()).unwrap()
    }

    #[test]
    fn the_best_source_ranks_and_names_a_canister() {
        let mut gathered = Gathered::default();
        gathered.add(id(1), Source::Bare, None);
        gathered.add(
            id(1),
            Source::Named("X_CANISTER_ID".into()),
            Some("X_CANISTER_ID"),
        );
        gathered.add(
            id(1),
            Source::Architecture,
            Some("the\u{1b}[31m\nbackend\u{202e}"),
        );
        gathered.add(id(2), Source::Header, Some("frontend"));
        gathered.add(id(3), Source::Architecture, Some(" "));
        let (findings, omitted) = gathered.ranked();
        assert_eq!(omitted, 0);
        let mut first = [id(1), id(3)];
        first.sort_by_key(ToString::to_string);
        let order: Vec<_> = findings.iter().map(|finding| finding.id).collect();
        assert_eq!(order, [first[0], first[1], id(2)]);
        let named = findings.iter().find(|finding| finding.id == id(1)).unwrap();
        assert_eq!(named.label.as_deref(), Some("the[31m backend"));
        assert_eq!(
            named.sources,
            ["ic-architecture", "bundle:X_CANISTER_ID", "bundle"]
        );
        assert!(named.declared && !findings[2].declared);
        let unnamed = findings.iter().find(|finding| finding.id == id(3)).unwrap();
        assert_eq!(unnamed.label, None);
    }

    #[test]
    fn a_report_is_bounded_and_counts_what_it_leaves_out() {
        let mut gathered = Gathered::default();
        for number in 0..2_000 {
            gathered.add(id(number), Source::Bare, None);
        }
        gathered.add(id(7), Source::Header, None);
        for n in 0..20 {
            gathered.add(id(7), Source::Named(format!("N{n}_CANISTER_ID")), None);
        }
        let (findings, omitted) = gathered.ranked();
        assert_eq!(findings.len(), 1 + MAX_BARE);
        assert_eq!(omitted, 2_000 - 1 - MAX_BARE);
        assert_eq!(findings[0].sources.len(), MAX_SOURCES);
    }

    proptest! {
        #[test]
        fn the_order_of_discovery_does_not_matter(mut finds in prop::collection::vec((0_u64..40, 0_u8..4), 0..60)) {
            let gather = |finds: &[(u64, u8)]| {
                let mut gathered = Gathered::default();
                for (number, source) in finds {
                    let source = match source {
                        0 => Source::Architecture,
                        1 => Source::Header,
                        2 => Source::Env,
                        _ => Source::Bare,
                    };
                    gathered.add(id(*number), source, None);
                }
                gathered.ranked()
            };
            let forward = gather(&finds);
            finds.reverse();
            prop_assert_eq!(gather(&finds), forward);
        }
    }
}
