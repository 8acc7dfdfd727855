//! Skipping the consent page for what this browser has approved already. Internet Identity still asks.

use http::HeaderMap;

use super::{
    Server, answer::Refusal, authorization::AuthorizationRequest, cookie::Cookie, form::Form,
    registration,
};
use crate::{
    instance::Instance,
    scope::Scopes,
    store::{Approval, Digest, Moment, StoreError},
};

/// How long an approval is believed.
const APPROVED_SECONDS: u64 = 30 * 24 * 3600;

impl Server {
    /// What the person at this browser ticked when the same client asked for the same redirect host and at least these
    /// scopes, or none when the page has to be shown.
    pub(super) async fn approved(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        query: &str,
        request: &AuthorizationRequest,
    ) -> Result<Option<Scopes>, Refusal> {
        if wants_consent(query) || may_be_anybody(request) {
            return Ok(None);
        }
        let Some(browser) = Cookie::browser(instance).read(headers) else {
            return Ok(None);
        };
        let approval = self
            .store
            .approval(
                &Digest::of(browser),
                instance.name,
                &request.client.id,
                &request.redirect.host(),
            )
            .await?;
        Ok(approval.and_then(|approval| covers(&approval, request.offered, Moment::now())))
    }

    /// Keeps what the person ticked.
    pub(super) async fn approve(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        request: &AuthorizationRequest,
        ticked: Scopes,
    ) -> Result<(), StoreError> {
        let Some(browser) = Cookie::browser(instance).read(headers) else {
            return Ok(());
        };
        if may_be_anybody(request) {
            return Ok(());
        }
        let now = Moment::now();
        let approval = Approval {
            browser: Digest::of(browser),
            instance: instance.name,
            client_id: request.client.id.clone(),
            redirect_host: request.redirect.host(),
            offered: request.offered,
            ticked,
            created_at: now,
            expires_at: now.plus(APPROVED_SECONDS),
        };
        let mut transaction = self.store.begin().await?;
        transaction.add_approval(&approval).await?;
        self.commit(transaction).await
    }

    /// The person at this browser said no: the next time they are asked.
    pub(super) async fn disapprove(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        client_id: &str,
    ) -> Result<(), StoreError> {
        let Some(browser) = Cookie::browser(instance).read(headers) else {
            return Ok(());
        };
        let mut transaction = self.store.begin().await?;
        transaction
            .forget_approval(&Digest::of(browser), instance.name, client_id)
            .await?;
        self.commit(transaction).await
    }
}

/// A client that is answered on this computer, where any program can claim to be it, unless its id is one that only it
/// was given: those of described and imported clients are known to everybody.
fn may_be_anybody(request: &AuthorizationRequest) -> bool {
    request.redirect.is_local() && !registration::gave(&request.client.id)
}

/// `prompt=consent` (OpenID Connect Core section 3.1.2.1).
fn wants_consent(query: &str) -> bool {
    let Ok(form) = Form::parse(query.as_bytes()) else {
        return true;
    };
    form.get("prompt")
        .is_some_and(|prompt| prompt.split(' ').any(|word| word == "consent"))
}

/// The answer given before holds for a question that asks for nothing more.
fn covers(approval: &Approval, offered: Scopes, now: Moment) -> Option<Scopes> {
    let scopes = approval.ticked.intersection(offered);
    (now < approval.expires_at && approval.offered.covers(offered) && !scopes.is_empty())
        .then_some(scopes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{instance::InstanceName, scope::Scope};

    #[test]
    fn the_earlier_answer_holds_for_no_more_than_was_asked_then() {
        let all: Scopes = Scope::ALL.into_iter().collect();
        let (read, write) = (
            Scopes::from_iter([Scope::Read]),
            Scopes::from_iter([Scope::Write]),
        );
        let approval = Approval {
            browser: Digest::of("b"),
            instance: InstanceName::Beta,
            client_id: "c".to_owned(),
            redirect_host: "h".to_owned(),
            offered: read.union(write),
            ticked: read,
            created_at: Moment::from_seconds(0),
            expires_at: Moment::from_seconds(10),
        };
        let now = Moment::from_seconds(9);
        assert_eq!(covers(&approval, read.union(write), now), Some(read));
        assert_eq!(covers(&approval, read, now), Some(read));
        assert_eq!(covers(&approval, write, now), None, "it was not ticked");
        assert_eq!(covers(&approval, all, now), None, "it asks for more");
        assert_eq!(covers(&approval, read, approval.expires_at), None);
    }

    #[test]
    fn the_client_may_ask_for_the_page() {
        assert!(wants_consent("prompt=consent"));
        assert!(wants_consent("prompt=login%20consent"));
        assert!(!wants_consent("prompt=login"));
        assert!(!wants_consent("a=b"));
    }
}
