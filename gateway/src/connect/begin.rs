use http::header;
use icgate_proto::v1;

use super::{key_request, link};
use crate::{
    body::Response,
    connection::ConnectionId,
    instance::Instance,
    oauth::{
        AuthorizationRequest, Code, Cookie, Credential, Prefix, Refusal, Server, random_name,
        see_other, signer_failed,
    },
    scope::Scopes,
    store::{
        Digest, Moment,
        records::{Ending, PendingConnect},
    },
    throttle::Source,
};

/// Who leaves for Internet Identity on whose behalf, and where it is to end.
pub(crate) struct Departure {
    pub(crate) client_id: String,
    pub(crate) client_name: Option<String>,
    pub(crate) may_refresh: bool,
    pub(crate) ending: Ending,
    /// When coming back is too late even though the person did not take too long.
    pub(crate) no_later_than: Option<Moment>,
}

impl From<AuthorizationRequest> for Departure {
    fn from(request: AuthorizationRequest) -> Self {
        Self {
            client_id: request.client.id,
            client_name: request.client.name,
            may_refresh: request.client.may_refresh,
            ending: Ending::Redirect {
                redirect_uri: request.answer_to.redirect_uri,
                client_state: request.answer_to.state,
                code_challenge: request.code_challenge,
            },
            no_later_than: None,
        }
    }
}

/// Begins a connection at the signer with the scopes the person ticked, and sends the browser to Internet Identity
/// with a connect cookie: only this browser can bring the consent back.
pub(crate) async fn begin(
    server: &Server,
    instance: &Instance,
    departure: Departure,
    scopes: Scopes,
    source: Option<Source>,
) -> Result<Response, Refusal> {
    let now = Moment::now();
    if !server.store.has_room_for_connection(now).await? {
        return Err(Refusal::new(
            Code::TemporarilyUnavailable,
            "This server has as many connections as it takes. Try again later.",
        ));
    }
    let state = random_name();
    let cookie = Credential::mint(Prefix::ConnectCookie);
    let latest = now.plus(server.limits.sign_in_time.as_secs());
    let expires_at = departure.no_later_than.map_or(latest, |at| at.min(latest));
    let pending_seconds = expires_at.since(now);
    let begun = server
        .signer
        .begin(v1::BeginRequest {
            instance: instance.name.as_str().to_owned(),
            ceiling: Some(v1::Ceiling {
                scopes: scopes.to_wire(),
                access_level: v1::AccessLevel::All.into(),
                // As long as the grant that the person chooses at Internet Identity.
                expires_at_ns: 0,
            }),
            secret: cookie.secret().to_wire(),
            slot_expires_at_ns: expires_at.nanos(),
            key_request: key_request::asked(instance),
        })
        .await
        .map_err(|error| signer_failed(&error))?;
    let state_hash = Digest::of(&state);
    let connect = PendingConnect {
        state: state_hash,
        instance: instance.name,
        cookie: cookie.digest(),
        cookie_slot: begun.slot_id,
        connection: ConnectionId::new(begun.connection_id),
        client_id: departure.client_id,
        client_name: departure.client_name,
        may_refresh: departure.may_refresh,
        ending: departure.ending,
        key_request: key_request::offered(instance, begun.session_keys_der),
        scopes,
        created_at: now,
        expires_at,
        sealed_code: None,
    };
    let mut transaction = server.store.begin().await?;
    transaction.add_pending_connect(&connect, source).await?;
    server.commit(transaction).await?;
    let registration_key = connect
        .key_request
        .is_none()
        .then_some(begun.registration_key_der.as_slice());
    let link = link::to_internet_identity(instance, &state, registration_key);
    let mut response = see_other(&link)?;
    response.headers_mut().append(
        header::SET_COOKIE,
        Cookie::connect(instance, &state_hash).set(&cookie.text(), pending_seconds),
    );
    Ok(response)
}
