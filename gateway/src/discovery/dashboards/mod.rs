//! The IC dashboards: what is publicly recorded of canisters, tokens and SNSes.

mod profile;
mod registry;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use moka::future::Cache;
use serde_json::Value;

use self::registry::{List, Lists};
pub(crate) use self::{
    profile::Profile,
    registry::{Entry, EntryKind},
};
use super::{Service, kept::Served};
use crate::{
    config::Services,
    fetch::{Allowance, Bounds, FetchError, Visit},
    ic::CanisterId,
};

const DASHBOARD: &str = "https://ic-api.internetcomputer.org";
const ICRC: &str = "https://icrc-api.internetcomputer.org";
const SNS: &str = "https://sns-api.internetcomputer.org";

/// How long a canister's record is used.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// Records that are kept.
const CAPACITY: u64 = 10_000;
const ANSWER: Bounds = Bounds {
    bytes: 1 << 20,
    time: Duration::from_secs(15),
};
/// Everything that one question may cost.
const QUESTION: Allowance = Allowance {
    bytes: 16 << 20,
    time: Duration::from_secs(30),
    at_once: 4,
};

/// The names of a site's canisters, which are a help and not the answer.
const NAMES: Allowance = Allowance {
    time: Duration::from_secs(10),
    ..QUESTION
};

/// Why a service gave no answer that can be used.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServiceError {
    /// It could not be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It answered with another status than 200.
    #[error("it answered with status {0}")]
    Status(u16),
    /// It answered something else than it should.
    #[error("its answer is not what it should be")]
    Nonsense,
}

/// The dashboards. Cheap questions are answered from what is kept.
pub(crate) struct Dashboards {
    canisters: Service,
    profiles: Cache<CanisterId, Option<Profile>>,
    lists: Lists,
}

impl Dashboards {
    pub(super) fn new(services: &Services, dev: bool) -> Self {
        Self {
            canisters: Service::new(services.dashboard.as_ref(), DASHBOARD, dev),
            profiles: Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_live(FRESH)
                .build(),
            lists: Lists::new(
                Service::new(services.icrc.as_ref(), ICRC, dev),
                Service::new(services.sns.as_ref(), SNS, dev),
            ),
        }
    }

    /// What is recorded of a canister; nothing when the dashboard does not know it.
    ///
    /// # Errors
    /// When the dashboard cannot be asked. That is not remembered.
    pub(crate) async fn profile(
        &self,
        canister: CanisterId,
    ) -> Result<Option<Profile>, ServiceError> {
        let visit = self.canisters.fetcher.visit(QUESTION);
        self.profile_in(&visit, canister).await
    }

    /// The same for several, in their order, some at a time.
    pub(crate) async fn profiles(
        &self,
        canisters: &[CanisterId],
    ) -> Vec<Result<Option<Profile>, ServiceError>> {
        let visit = self.canisters.fetcher.visit(NAMES);
        join_all(
            canisters
                .iter()
                .map(|canister| self.profile_in(&visit, *canister)),
        )
        .await
    }

    async fn profile_in(
        &self,
        visit: &Visit,
        canister: CanisterId,
    ) -> Result<Option<Profile>, ServiceError> {
        let load = async {
            let path = format!("/api/v3/canisters/{canister}");
            match ask(&self.canisters, visit, &path).await {
                Ok(answer) => Profile::read(&answer)
                    .map(Some)
                    .ok_or(ServiceError::Nonsense),
                Err(ServiceError::Status(404)) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.profiles
            .try_get_with(canister, load)
            .await
            .map_err(|error: Arc<ServiceError>| ServiceError::clone(&error))
    }

    /// Tokens and SNSes whose name or symbol contains the words, best first, over all pages of both lists; and what
    /// cannot be told or is old because a list is down.
    pub(crate) async fn find(&self, words: &str) -> (Vec<Entry>, Vec<ListState>) {
        self.lists.find(words).await
    }
}

/// How one of the lists was served.
pub(crate) struct ListState {
    /// As people call it.
    pub(crate) name: &'static str,
    /// Its age when it is old, or why there is none.
    pub(crate) state: Result<Option<Duration>, ServiceError>,
    /// Whether all of it that there is was read.
    pub(crate) whole: bool,
}

impl ListState {
    fn new(name: &'static str, served: &Result<Served<List>, ServiceError>) -> Self {
        Self {
            name,
            whole: served.as_ref().is_ok_and(|served| served.value.whole),
            state: served
                .as_ref()
                .map(|served| served.outdated)
                .map_err(ServiceError::clone),
        }
    }
}

/// Asks for JSON.
async fn ask(service: &Service, visit: &Visit, path: &str) -> Result<Value, ServiceError> {
    let url = service.url(path).ok_or(ServiceError::Nonsense)?;
    let answer = visit.get(&url, ANSWER).await?;
    match answer.status.as_u16() {
        200 if answer.is_of(&url) && answer.whole => {}
        200 => return Err(ServiceError::Nonsense),
        status => return Err(ServiceError::Status(status)),
    }
    serde_json::from_slice(&answer.body).map_err(|_| ServiceError::Nonsense)
}
