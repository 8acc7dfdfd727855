//! The token endpoint (RFC 6749 section 3.2).

mod code;
mod device;
mod issue;
mod refresh;

#[cfg(test)]
mod tests;

use http::StatusCode;
use icgate_proto::{Reason, SignerError, v1};
use serde_json::{Value, json};

pub(crate) use self::issue::first_use;
use self::{
    code::CodeExchange,
    device::{DeviceExchange, Poll},
    issue::{Granted, Minted, Verdict},
    refresh::Refresh,
};
use super::{
    Server,
    answer::{Code, Refusal, bad, no_store_json},
    credential::{Credential, Prefix},
    device as device_grant,
    form::Form,
    metadata,
    server::unknown_client,
};
use crate::{
    body::Response,
    instance::Instance,
    scope::Scopes,
    store::{
        Moment,
        records::{Change, EndReason, Family},
    },
};

/// A token request with the credential it presents.
struct TokenRequest {
    presented: Credential,
    grant: Grant,
}

enum Grant {
    Code(CodeExchange),
    Device(DeviceExchange),
    Refresh(Refresh),
}

impl Grant {
    fn judge(&self, family: &Family, now: Moment) -> Verdict {
        match self {
            Grant::Code(exchange) => code::judge(family, exchange, now),
            Grant::Device(exchange) => device::judge(family, exchange, now),
            Grant::Refresh(refresh) => refresh::judge(family, refresh, now),
        }
    }

    fn client_id(&self) -> &str {
        match self {
            Grant::Code(exchange) => &exchange.client_id,
            Grant::Device(exchange) => &exchange.client_id,
            Grant::Refresh(refresh) => &refresh.client_id,
        }
    }
}

/// What a client sends to the token endpoint.
enum Sent {
    /// A credential to be exchanged.
    Request(TokenRequest),
    /// A device code, which stands for a credential once its sign-in is complete.
    Poll(Poll),
}

impl Server {
    /// Answers a token request.
    pub(super) async fn token(
        &self,
        instance: &Instance,
        body: &[u8],
    ) -> Result<Response, Refusal> {
        let request = match parse(body, instance, self.device_grant)? {
            Sent::Request(request) => request,
            Sent::Poll(poll) => self.collect(instance, poll).await?,
        };
        let hash = request.presented.digest();
        let _turn = self.turnstile.pass(hash).await;
        let granted = self.exchange(instance, &request).await?;
        Ok(no_store_json(StatusCode::OK, &describe(&granted)))
    }

    /// First a look, so that the signer is asked only for what may be issued; then the slots, so that nothing is
    /// handed out that opens nothing; then the one transaction that decides.
    async fn exchange(
        &self,
        instance: &Instance,
        request: &TokenRequest,
    ) -> Result<Granted, Refusal> {
        let hash = request.presented.digest();
        let family = self.store.family(instance.name, &hash).await?;
        // Whose live connection it is, that client is known; when a client goes its connections end.
        let client_id = request.grant.client_id();
        let of_client = family.as_ref().is_some_and(|family| {
            family.connection.client_id == client_id && family.connection.is_live(Moment::now())
        });
        if !of_client {
            self.know(client_id).await?;
        }
        let family = family.ok_or_else(unknown)?;
        let minted = match request.grant.judge(&family, Moment::now()) {
            Verdict::Issue { .. } => {
                let refresh = family.connection.may_refresh;
                Some(self.mint(&family, &request.presented, refresh).await?)
            }
            Verdict::Renew { .. } => Some(self.mint(&family, &request.presented, false).await?),
            Verdict::Repeat | Verdict::Refuse(_) | Verdict::Revoke(_) => None,
        };
        let mut transaction = self.store.begin().await?;
        let family = transaction
            .family(instance.name, &hash)
            .await?
            .ok_or_else(unknown)?;
        let now = Moment::now();
        let verdict = request.grant.judge(&family, now);
        if let Verdict::Revoke(_) = &verdict {
            tracing::warn!(
                connection = %family.connection.id,
                client = %family.connection.client_id,
                "a spent credential came again; the connection is revoked"
            );
        }
        let (changes, answer) = issue::carry_out(verdict, &family, &request.presented, minted, now);
        transaction.apply(&changes, now).await?;
        // Also when nothing changed: a repeated answer is given out only once the first one is on disk.
        self.commit(transaction).await?;
        answer
    }

    /// Whether the client may ask at all. One with a document has no registration; its credentials know whose they
    /// are, the document is not needed again.
    pub(super) async fn know(&self, client_id: &str) -> Result<(), Refusal> {
        let known = self.documents.address(client_id).is_some()
            || self.store.client(client_id).await?.is_some();
        if known { Ok(()) } else { Err(unknown_client()) }
    }

    /// New credentials whose slots the signer has added already. Who presents a credential for the first time has no use
    /// for the one before it: that one's slot goes in the same step.
    async fn mint(
        &self,
        family: &Family,
        presented: &Credential,
        with_refresh: bool,
    ) -> Result<Minted, Refusal> {
        let connection = &family.connection;
        let access = Credential::mint(Prefix::Access);
        let seconds = self.limits.access_token_time.as_secs();
        let access_expires_at = issue::access_expiry(connection, seconds, Moment::now());
        let refresh = with_refresh.then(|| Credential::mint(Prefix::Refresh));
        let slot = |credential: &Credential, until: Moment| v1::NewSlot {
            secret: credential.secret().to_wire(),
            expires_at_ns: until.nanos(),
        };
        let slots = std::iter::once(slot(&access, access_expires_at))
            .chain(
                refresh
                    .iter()
                    .map(|refresh| slot(refresh, connection.expires_at)),
            )
            .collect::<Vec<_>>();
        let wanted = slots.len();
        let drop_slot_ids = match &family.credential {
            first if first.presented_at.is_none() => {
                first.predecessor_slot.iter().cloned().collect()
            }
            _ => Vec::new(),
        };
        let added = self
            .signer
            .add_slots(v1::AddSlotsRequest {
                connection: Some(v1::ConnectionRef {
                    connection_id: connection.id.as_str().to_owned(),
                    secret: presented.secret().to_wire(),
                }),
                slots,
                drop_slot_ids,
            })
            .await;
        let slot_ids = match added {
            Ok(added) if added.slot_ids.len() == wanted => added.slot_ids,
            Ok(_) => {
                return Err(signer_failed(&SignerError::new(
                    Reason::Internal,
                    "slots are missing",
                )));
            }
            Err(error) => return Err(self.not_opened(family, &error).await),
        };
        let mut slot_ids = slot_ids.into_iter();
        Ok(Minted {
            access,
            access_expires_at,
            access_slot: slot_ids.next().unwrap_or_default(),
            refresh: refresh.zip(slot_ids.next()),
        })
    }

    async fn not_opened(&self, family: &Family, error: &SignerError) -> Refusal {
        match error.reason {
            Reason::ConnectionEnded => {
                let end = Change::EndConnection {
                    connection: family.connection.id.clone(),
                    reason: EndReason::Ended,
                };
                match self.make(&[end]).await {
                    Ok(()) => over(),
                    Err(error) => error.into(),
                }
            }
            Reason::SecretRefused => over(),
            _ => signer_failed(error),
        }
    }
}

/// What the client is told when the signer did not do its part.
pub(crate) fn signer_failed(error: &SignerError) -> Refusal {
    if error.reason.is_retryable() {
        tracing::warn!(reason = %error.reason, "the signer is not available");
        Refusal::new(
            Code::TemporarilyUnavailable,
            "The signer is not available right now; try again in a few seconds.",
        )
    } else {
        tracing::error!(reason = %error.reason, %error, "the signer failed");
        Refusal::new(
            Code::ServerError,
            "The signer could not do this; the server's log says why.",
        )
    }
}

fn over() -> Refusal {
    Refusal::new(Code::InvalidGrant, "The connection is over; connect again.")
}

fn unknown() -> Refusal {
    Refusal::new(
        Code::InvalidGrant,
        "The code or refresh token is unknown or no longer valid; connect again.",
    )
}

fn parse(body: &[u8], instance: &Instance, device_grant: bool) -> Result<Sent, Refusal> {
    let form = Form::parse(body)
        .map_err(|_| bad("The body holds a parameter twice or too many of them."))?;
    let grant_type = form
        .get("grant_type")
        .ok_or_else(|| bad("grant_type is missing."))?;
    let needed = |name| form.get(name).map(str::to_owned);
    // Looked at before anything that is presented: nobody is told about a code or token who does not say who asks.
    let client_id = || needed("client_id").ok_or_else(nobody);
    let sent = match grant_type {
        device_grant::GRANT_TYPE if device_grant => Sent::Poll(Poll {
            exchange: DeviceExchange {
                client_id: client_id()?,
                code_verifier: needed("code_verifier"),
            },
            device_code: device_grant::device_code_of(&form)?,
        }),
        "authorization_code" => Sent::Request(TokenRequest {
            grant: Grant::Code(CodeExchange {
                client_id: client_id()?,
                redirect_uri: needed("redirect_uri"),
                code_verifier: needed("code_verifier")
                    .ok_or_else(|| bad("code_verifier is missing."))?,
            }),
            presented: {
                let code = form.get("code").ok_or_else(|| bad("code is missing."))?;
                Credential::parse(Prefix::Code, code).ok_or_else(unknown)?
            },
        }),
        "refresh_token" => Sent::Request(TokenRequest {
            grant: Grant::Refresh(Refresh {
                client_id: client_id()?,
                scopes: form.get("scope").map(Scopes::parse_lenient),
            }),
            presented: {
                let token = form
                    .get("refresh_token")
                    .ok_or_else(|| bad("refresh_token is missing."))?;
                Credential::parse(Prefix::Refresh, token).ok_or_else(unknown)?
            },
        }),
        _ => {
            return Err(Refusal::new(
                Code::UnsupportedGrantType,
                "This grant type is not offered; the server's metadata lists those that are.",
            ));
        }
    };
    metadata::check_resource(instance, form.get("resource"))?;
    Ok(sent)
}

/// A client that does not identify itself (RFC 6749, sections 3.2.1 and 5.2).
const fn nobody() -> Refusal {
    Refusal::new(
        Code::InvalidClient,
        "client_id is missing: send the one of your registration.",
    )
}

fn describe(granted: &Granted) -> Value {
    let mut answer = json!({
        "access_token": *granted.access.text(),
        "token_type": "Bearer",
        "expires_in": granted.expires_in,
        "scope": granted.scopes.to_string(),
    });
    if let Some(refresh) = &granted.refresh {
        answer["refresh_token"] = refresh.text().as_str().into();
    }
    answer
}
