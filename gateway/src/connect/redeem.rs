use http::{HeaderMap, StatusCode};
use icgate_proto::v1;
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use crate::{
    body::Response,
    connection::{AccessLevel, ConnectionId},
    instance::Instance,
    oauth::{
        Code, Cookie, Credential, Prefix, ReturnAddress, Server, has_content_type, is_foreign,
        no_store_json,
    },
    scope::{Scope, Scopes},
    store::{
        Digest, Moment,
        records::{
            Change, Chore, Connection, CredentialKind, EndReason, IssuedCredential, PendingConnect,
        },
    },
};

/// Longest redeem request that is read, in bytes: a chain of 64 KiB, escaped, and its state.
pub(crate) const MAX_BODY: usize = 80 * 1024;
const MAX_CHAIN: usize = 64 * 1024;
/// A code that is presented at its last moment still has to be exchanged at the signer.
const SLOT_OUTLIVES_CODE: u64 = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redeem {
    state: String,
    delegation: String,
}

/// Takes the chain that Internet Identity sent the browser back with, completes the connection and says where the
/// browser goes with its code. The same request again gives the same answer until the code is used.
pub(crate) async fn redeem(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    let answer = if is_foreign(headers, instance) {
        Err(Failure::foreign())
    } else {
        finish(server, instance, headers, body).await
    };
    match answer {
        Ok(redirect) => no_store_json(StatusCode::OK, &json!({ "redirect": redirect })),
        Err(failure) => failure.into_response(),
    }
}

async fn finish(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<String, Failure> {
    if !has_content_type(headers, "application/json") {
        return Err(Failure::new("The content type must be application/json."));
    }
    let redeem: Redeem = serde_json::from_slice(body)
        .map_err(|_| Failure::new("The request is not what the callback page sends."))?;
    let state = Digest::of(&redeem.state);
    // A second request of the same sign-in waits here and then finds the first one's result.
    let _turn = server.turnstile.pass(state).await;
    let connect = server
        .store
        .pending_connect(instance.name, &state)
        .await?
        .filter(|connect| Moment::now() < connect.expires_at)
        .ok_or_else(Failure::too_late)?;
    let cookie = same_browser(instance, headers, &connect)?;
    if let Some(sealed) = &connect.sealed_code {
        return again(server, instance, &connect, &cookie, sealed).await;
    }
    if redeem.delegation.is_empty() || redeem.delegation.len() > MAX_CHAIN {
        return Err(Failure::new(
            "What Internet Identity sent is empty or too large.",
        ));
    }
    let completed = server
        .signer
        .complete(v1::CompleteRequest {
            connection: Some(reference(&connect, &cookie)),
            delegation_chain: redeem.delegation,
        })
        .await?;
    let granted = Granted::read(completed, &connect)?;
    if granted.scopes.is_empty() {
        return refused_by_level(server, instance, &connect).await;
    }
    let code = Credential::mint(Prefix::Code);
    let slot = add_slot(server, &connect, &cookie, &code).await?;
    record(server, instance, &connect, &cookie, granted, &code, slot).await
}

/// The cookie proves that this browser began the sign-in; the chain proves that it brought the consent.
fn same_browser(
    instance: &Instance,
    headers: &HeaderMap,
    connect: &PendingConnect,
) -> Result<Credential, Failure> {
    Cookie::connect(instance, &connect.state)
        .read(headers)
        .and_then(|text| Credential::parse(Prefix::ConnectCookie, text))
        .filter(|cookie| cookie.digest().matches(&connect.cookie))
        .ok_or_else(|| {
            Failure::new(
                "This sign-in was started in a different browser. Start the connection again from your app and \
                 finish it in the browser it opens.",
            )
        })
}

/// A sign-in that is complete already gives its redirect again, as long as the code is not used.
async fn again(
    server: &Server,
    instance: &Instance,
    connect: &PendingConnect,
    cookie: &Credential,
    sealed: &[u8],
) -> Result<String, Failure> {
    let code = cookie
        .unseal_all(sealed, &[Prefix::Code])
        .and_then(|codes| codes.into_iter().next())
        .ok_or_else(Failure::too_late)?;
    let family = server.store.family(instance.name, &code.digest()).await?;
    match family {
        Some(family)
            if family.credential.spent_at.is_none()
                && Moment::now() < family.credential.expires_at =>
        {
            Ok(return_address(instance, connect).with_code(&code.text()))
        }
        _ => Err(Failure::new(
            "This sign-in is finished already. You can close this page and go back to your app.",
        )),
    }
}

/// What Internet Identity granted, as the signer read it.
struct Granted {
    user_id: String,
    scopes: Scopes,
    access_level: AccessLevel,
    expires_at: Moment,
    replaced: Vec<ConnectionId>,
}

impl Granted {
    fn read(completed: v1::CompleteResponse, connect: &PendingConnect) -> Result<Self, Failure> {
        let access_level = match completed.access_level() {
            v1::AccessLevel::All => AccessLevel::All,
            v1::AccessLevel::Queries => AccessLevel::Queries,
            v1::AccessLevel::Unspecified => {
                return Err(Failure::new("The signer's answer is incomplete."));
            }
        };
        let user = completed
            .user
            .ok_or_else(|| Failure::new("The signer's answer is incomplete."))?;
        let expires_at = Moment::from_nanos(completed.expires_at_ns);
        if expires_at <= Moment::now() {
            return Err(Failure::new(
                "What you allowed at Internet Identity is over already. Start the connection again from your app.",
            ));
        }
        Ok(Self {
            user_id: user.user_id,
            scopes: allowed_by(access_level).intersection(connect.scopes),
            access_level,
            expires_at,
            replaced: completed
                .replaced_connection_ids
                .into_iter()
                .map(ConnectionId::new)
                .collect(),
        })
    }
}

/// Management and funding calls are update calls too.
fn allowed_by(level: AccessLevel) -> Scopes {
    match level {
        AccessLevel::All => Scope::ALL.into_iter().collect(),
        AccessLevel::Queries => Scopes::from_iter([Scope::Read]),
    }
}

/// The person ticked only what needs actions here and allowed only questions there: nothing is left.
async fn refused_by_level(
    server: &Server,
    instance: &Instance,
    connect: &PendingConnect,
) -> Result<String, Failure> {
    server
        .make(&[Change::ForgetConnect(connect.state), close(connect)])
        .await?;
    Ok(return_address(instance, connect).with_error(
        Code::AccessDenied,
        "Internet Identity allows questions only, and only actions were asked for.",
    ))
}

async fn add_slot(
    server: &Server,
    connect: &PendingConnect,
    cookie: &Credential,
    code: &Credential,
) -> Result<String, Failure> {
    let added = server
        .signer
        .add_slots(v1::AddSlotsRequest {
            connection: Some(reference(connect, cookie)),
            slots: vec![v1::NewSlot {
                secret: code.secret().to_wire(),
                expires_at_ns: Moment::now()
                    .plus(server.limits.code_time.as_secs() + SLOT_OUTLIVES_CODE)
                    .nanos(),
            }],
            drop_slot_ids: Vec::new(),
        })
        .await?;
    added
        .slot_ids
        .into_iter()
        .next()
        .ok_or_else(|| Failure::later("The signer's answer is incomplete."))
}

async fn record(
    server: &Server,
    instance: &Instance,
    connect: &PendingConnect,
    cookie: &Credential,
    granted: Granted,
    code: &Credential,
    slot: String,
) -> Result<String, Failure> {
    let now = Moment::now();
    let mut transaction = server.store.begin().await?;
    let still = transaction
        .pending_connect(instance.name, &connect.state)
        .await?;
    let changes = if still.is_some() {
        let issued = Issued {
            code: code.digest(),
            slot,
            sealed: cookie.seal_all(&[code]),
            code_seconds: server.limits.code_time.as_secs(),
        };
        complete(connect, granted, issued, now)
    } else {
        // Pushed out while the signer was at work: nobody will ever present anything for this connection.
        vec![close(connect)]
    };
    transaction.apply(&changes, now).await?;
    server.commit(transaction).await?;
    if still.is_none() {
        return Err(Failure::too_late());
    }
    tracing::info!(connection = %connect.connection, client = %connect.client_id, "connected");
    Ok(return_address(instance, connect).with_code(&code.text()))
}

struct Issued {
    code: Digest,
    slot: String,
    sealed: Vec<u8>,
    code_seconds: u64,
}

/// What a completed sign-in leaves: a connection with one code, and the end of those whose grant it took.
fn complete(
    connect: &PendingConnect,
    granted: Granted,
    issued: Issued,
    now: Moment,
) -> Vec<Change> {
    let mut changes: Vec<_> = granted
        .replaced
        .into_iter()
        .map(|connection| Change::EndConnection {
            connection,
            reason: EndReason::Replaced,
        })
        .collect();
    changes.push(Change::AddConnection(Connection {
        id: connect.connection.clone(),
        instance: connect.instance,
        client_id: connect.client_id.clone(),
        client_name: connect.client_name.clone(),
        user_id: granted.user_id,
        scopes: granted.scopes,
        access_level: granted.access_level,
        may_refresh: connect.may_refresh,
        created_at: now,
        expires_at: granted.expires_at,
        ended: None,
    }));
    changes.push(Change::AddCredential(IssuedCredential {
        hash: issued.code,
        kind: CredentialKind::Code {
            redirect_uri: connect.redirect_uri.clone(),
            code_challenge: connect.code_challenge.clone(),
        },
        connection: connect.connection.clone(),
        predecessor: None,
        predecessor_slot: Some(connect.cookie_slot.clone()),
        slot: issued.slot,
        scopes: granted.scopes,
        issued_at: now,
        expires_at: now.plus(issued.code_seconds).min(granted.expires_at),
        spent_at: None,
        presented_at: None,
        succeeded_at: None,
        sealed: None,
    }));
    changes.push(Change::SealCode {
        state: connect.state,
        sealed: issued.sealed,
    });
    changes
}

fn close(connect: &PendingConnect) -> Change {
    Change::Chore(Chore::Close {
        connection: connect.connection.clone(),
    })
}

fn reference(connect: &PendingConnect, cookie: &Credential) -> v1::ConnectionRef {
    v1::ConnectionRef {
        connection_id: connect.connection.as_str().to_owned(),
        secret: cookie.secret().to_wire(),
    }
}

fn return_address(instance: &Instance, connect: &PendingConnect) -> ReturnAddress {
    ReturnAddress {
        redirect_uri: connect.redirect_uri.clone(),
        state: connect.client_state.clone(),
        issuer: instance.issuer(),
    }
}
