//! Token revocation (RFC 7009).

use http::StatusCode;

use super::{
    Server,
    answer::{Code, Refusal, bad},
    credential::{Credential, Prefix},
    form::Form,
};
use crate::{
    body::{self, Response},
    instance::Instance,
    store::{
        Moment,
        records::{Change, CredentialKind, Decision, EndReason, Family},
    },
};

impl Server {
    /// Answers a revocation request.
    pub(super) async fn revoke(
        &self,
        instance: &Instance,
        body: &[u8],
    ) -> Result<Response, Refusal> {
        let form = Form::parse(body)
            .map_err(|_| bad("The body holds a parameter twice or too many of them."))?;
        let text = form.get("token").ok_or_else(|| bad("token is missing."))?;
        let client_id = form.get("client_id");
        if let Some(client_id) = client_id {
            self.know(client_id).await?;
        }
        // The hint of the standard is not needed: the token's prefix says what it is.
        let token = [Prefix::Access, Prefix::Refresh, Prefix::ApiKey]
            .into_iter()
            .find_map(|prefix| Credential::parse(prefix, text));
        if let Some(token) = token {
            let mut transaction = self.store.begin().await?;
            let family = transaction.family(instance.name, &token.digest()).await?;
            let now = Moment::now();
            let decision = decide(family.as_ref(), client_id, now);
            transaction.apply(&decision.changes, now).await?;
            self.commit(transaction).await?;
            decision.answer?;
        }
        // An unknown token is as good as a revoked one (section 2.2).
        let mut response = Response::new(body::empty());
        *response.status_mut() = StatusCode::OK;
        Ok(response)
    }
}

/// A token ends its whole connection, also a refresh token that was exchanged already: whoever revokes it means what
/// came of it too. One that has lapsed or was revoked already ends nothing.
fn decide(
    family: Option<&Family>,
    client_id: Option<&str>,
    now: Moment,
) -> Decision<Result<(), Refusal>> {
    let Some(family) = family else {
        return Decision::only(Ok(()));
    };
    let credential = &family.credential;
    // An API key was given to a person and not to a client: whoever holds it may end it.
    if credential.kind != CredentialKind::ApiKey
        && client_id.is_some_and(|client| client != family.connection.client_id)
    {
        return Decision::only(Err(Refusal::new(
            Code::UnauthorizedClient,
            "The token belongs to another client.",
        )));
    }
    if !family.connection.is_live(now) || credential.expires_at <= now {
        return Decision::only(Ok(()));
    }
    Decision {
        changes: vec![Change::EndConnection {
            connection: family.connection.id.clone(),
            reason: EndReason::Revoked,
        }],
        answer: Ok(()),
    }
}
