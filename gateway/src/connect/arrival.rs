//! Where every completed sign-in arrives, whichever handshake it came by and wherever it ends.

use http::HeaderValue;
use icgate_proto::v1;

use super::{failure::Failure, question, reference};
use crate::{
    connection::{AccessLevel, ConnectionId},
    instance::Instance,
    oauth::{
        Code, Cookie, Credential, NewSession, Prefix, ReturnAddress, Server, connections_page,
        device,
    },
    scope::{Scope, Scopes},
    store::{
        Digest, Moment,
        records::{
            Change, Chore, Connection, CredentialKind, DeviceChange, DeviceRequest, EndReason,
            Ending, IssuedCredential, PendingConnect,
        },
    },
};

/// A code that is presented at its last moment still has to be exchanged at the signer.
const EXCHANGE_SECONDS: u64 = 60;

/// Where the browser goes from here. It holds a code and a cookie, so nothing prints it.
pub(super) struct Landing {
    pub(super) location: String,
    /// The browser session that the sign-in left.
    pub(super) cookie: Option<HeaderValue>,
}

impl Landing {
    pub(super) fn at(location: String) -> Self {
        Self {
            location,
            cookie: None,
        }
    }
}

/// Refuses a sign-in whose end nobody waits for any more, before anything is registered for it.
pub(super) async fn expected(
    server: &Server,
    instance: &Instance,
    connect: &PendingConnect,
) -> Result<(), Failure> {
    let Ending::Device { device } = &connect.ending else {
        return Ok(());
    };
    let request = server.store.device_request(instance.name, device).await?;
    if request.is_some_and(|request| device::awaits(&request, Moment::now())) {
        Ok(())
    } else {
        Err(unawaited())
    }
}

/// Takes what the user granted. When the sign-in replaced the grant of other connections, the browser goes where the
/// user says which of them go on, and nothing is issued before; otherwise it goes to the sign-in's end. `own` is the
/// session that the browser has already.
pub(super) async fn land(
    server: &Server,
    instance: &Instance,
    connect: &PendingConnect,
    cookie: &Credential,
    own: Option<ConnectionId>,
    completed: v1::CompleteResponse,
) -> Result<Landing, Failure> {
    let granted = Granted::read(completed, connect)?;
    if granted.scopes.is_empty() {
        return refused_by_level(server, instance, connect, granted.replaced).await;
    }
    if question::ask(server, instance, connect, cookie, own.as_ref(), &granted).await? {
        return Ok(Landing::at(question::address(instance, connect)));
    }
    finish(server, instance, connect, cookie, granted, Vec::new()).await
}

/// Keeps what the user granted, what becomes of the connections beside it, and leads the browser to the sign-in's end.
pub(super) async fn finish(
    server: &Server,
    instance: &Instance,
    connect: &PendingConnect,
    cookie: &Credential,
    granted: Granted,
    beside: Vec<Change>,
) -> Result<Landing, Failure> {
    let (code, expires_at) = match connect.ending {
        Ending::Browser => (Credential::mint(Prefix::Session), granted.expires_at),
        Ending::Redirect { .. } | Ending::Device { .. } => {
            (Credential::mint(Prefix::Code), code_expiry(server, connect))
        }
    };
    let slot = add_slot(server, connect, cookie, &code, expires_at).await?;
    // The last that is made at the signer, so that nothing stays there of a sign-in that fails before.
    let session = match connect.ending {
        Ending::Browser => None,
        Ending::Redirect { .. } | Ending::Device { .. } => {
            let opener = reference(connect, cookie);
            server
                .branch_session(opener, granted.scopes, granted.expires_at)
                .await
        }
    };
    let handed_out: Vec<&Credential> = [&code]
        .into_iter()
        .chain(session.iter().map(|session| &session.credential))
        .collect();
    let issued = Issued {
        hash: code.digest(),
        slot,
        expires_at,
        sealed: cookie.seal_all(&handed_out),
        session,
    };
    let unused = issued.session.as_ref().map(NewSession::close);
    let recorded = record(server, instance, connect, granted, beside, issued, &code).await;
    if recorded.is_err()
        && let Some(close) = unused
        && let Err(error) = server.make(&[close]).await
    {
        tracing::error!(%error, "a browser session that nobody has stays at the signer until its grant ends");
    }
    recorded
}

/// A sign-in that is complete already leads to the same place again, as long as its code is not used.
pub(super) async fn again(
    server: &Server,
    instance: &Instance,
    connect: &PendingConnect,
    cookie: &Credential,
    sealed: &[u8],
) -> Result<Landing, Failure> {
    let prefixes = match connect.ending {
        Ending::Browser => [Prefix::Session, Prefix::Session],
        Ending::Redirect { .. } | Ending::Device { .. } => [Prefix::Code, Prefix::Session],
    };
    let mut credentials = cookie
        .unseal_all(sealed, &prefixes)
        .ok_or_else(Failure::too_late)?
        .into_iter();
    let code = credentials.next().ok_or_else(Failure::too_late)?;
    let session = credentials.next();
    let digest = session.as_ref().unwrap_or(&code).digest();
    let session_end = server.store.family(instance.name, &digest).await?;
    let session_end = session_end.map(|family| family.credential.expires_at);
    let landing = |code| {
        let end = session_end.unwrap_or(connect.expires_at);
        landing(instance, connect, code, session.as_ref(), end)
    };
    if matches!(connect.ending, Ending::Device { .. }) {
        return Ok(landing(&code));
    }
    let family = server.store.family(instance.name, &code.digest()).await?;
    match family {
        Some(family)
            if family.credential.spent_at.is_none()
                && Moment::now() < family.credential.expires_at =>
        {
            Ok(landing(&code))
        }
        _ => Err(Failure::new(
            "This sign-in is finished already. You can close this page and go back to your app.",
        )),
    }
}

/// `session` is there unless the code is the session itself.
fn landing(
    instance: &Instance,
    connect: &PendingConnect,
    code: &Credential,
    session: Option<&Credential>,
    session_end: Moment,
) -> Landing {
    let (location, session) = match (&connect.ending, return_address(instance, connect)) {
        (Ending::Browser, _) => (connections_page(instance), Some(code)),
        (_, Some(address)) => (address.with_code(&code.text()), session),
        (_, None) => (device::done(instance), session),
    };
    let seconds = session_end.since(Moment::now());
    Landing {
        location,
        cookie: session.map(|session| Cookie::session(instance).set(&session.text(), seconds)),
    }
}

/// What Internet Identity granted, as the signer read it.
pub(super) struct Granted {
    pub(super) user_id: String,
    scopes: Scopes,
    access_level: AccessLevel,
    expires_at: Moment,
    pub(super) replaced: Vec<ConnectionId>,
}

impl Granted {
    pub(super) fn read(
        completed: v1::CompleteResponse,
        connect: &PendingConnect,
    ) -> Result<Self, Failure> {
        let access_level = level_of(completed.access_level())
            .ok_or_else(|| Failure::new("The signer's answer is incomplete."))?;
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

/// The level as the signer says it.
pub(crate) fn level_of(level: v1::AccessLevel) -> Option<AccessLevel> {
    match level {
        v1::AccessLevel::All => Some(AccessLevel::All),
        v1::AccessLevel::Queries => Some(AccessLevel::Queries),
        v1::AccessLevel::Unspecified => None,
    }
}

/// Management and funding calls are update calls too.
pub(super) fn allowed_by(level: AccessLevel) -> Scopes {
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
    replaced: Vec<ConnectionId>,
) -> Result<Landing, Failure> {
    let mut changes: Vec<_> = end_replaced(replaced).collect();
    changes.extend([Change::ForgetConnect(connect.state), close(connect)]);
    if let Ending::Device { device } = connect.ending {
        changes.push(Change::Device(DeviceChange::Denied(device)));
    }
    server.make(&changes).await?;
    let text = "Internet Identity allows questions only, and only actions were asked for.";
    match return_address(instance, connect) {
        Some(address) => Ok(Landing::at(address.with_error(Code::AccessDenied, text))),
        None => Err(Failure::new(format!(
            "{text} Start again on your device and allow actions, or tick Read."
        ))),
    }
}

/// A code is fetched at once; a device may take until it stops waiting.
fn code_expiry(server: &Server, connect: &PendingConnect) -> Moment {
    let soon = Moment::now().plus(server.limits.code_time.as_secs());
    match connect.ending {
        Ending::Redirect { .. } | Ending::Browser => soon,
        Ending::Device { .. } => soon.max(connect.expires_at),
    }
}

async fn add_slot(
    server: &Server,
    connect: &PendingConnect,
    cookie: &Credential,
    code: &Credential,
    expires_at: Moment,
) -> Result<String, Failure> {
    let added = server
        .signer
        .add_slots(v1::AddSlotsRequest {
            connection: Some(reference(connect, cookie)),
            slots: vec![v1::NewSlot {
                secret: code.secret().to_wire(),
                expires_at_ns: expires_at.plus(EXCHANGE_SECONDS).nanos(),
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
    granted: Granted,
    beside: Vec<Change>,
    issued: Issued,
    code: &Credential,
) -> Result<Landing, Failure> {
    let now = Moment::now();
    let mut transaction = server.store.begin().await?;
    let end = match &connect.ending {
        // Pushed out while the signer was at work: nobody will ever present anything for this connection.
        _ if transaction
            .pending_connect(instance.name, &connect.state)
            .await?
            .is_none() =>
        {
            Err(Failure::too_late())
        }
        Ending::Redirect {
            redirect_uri,
            code_challenge,
            ..
        } => Ok(End::Redirect {
            redirect_uri: redirect_uri.clone(),
            code_challenge: code_challenge.clone(),
        }),
        Ending::Device { device } => transaction
            .device_request(instance.name, device)
            .await?
            .and_then(|request| device_end(request, code, now))
            .ok_or_else(unawaited),
        Ending::Browser => Ok(End::Browser),
    };
    let session_end = granted.expires_at;
    let session = issued.session.as_ref().map(|it| it.credential.clone());
    let changes = match &end {
        Ok(end) => complete(connect, granted, issued, end, now),
        Err(_) => vec![close(connect)],
    };
    transaction.apply(&beside, now).await?;
    transaction.apply(&changes, now).await?;
    server.commit(transaction).await?;
    end?;
    tracing::info!(connection = %connect.connection, client = %connect.client_id, "connected");
    Ok(landing(
        instance,
        connect,
        code,
        session.as_ref(),
        session_end,
    ))
}

/// The end of a sign-in as it stands when it arrives.
enum End {
    Redirect {
        redirect_uri: String,
        code_challenge: String,
    },
    Device {
        device: Digest,
        code_challenge: Option<String>,
        sealed: Vec<u8>,
    },
    Browser,
}

fn device_end(request: DeviceRequest, code: &Credential, now: Moment) -> Option<End> {
    let sealed = device::awaits(&request, now).then(|| device::seal(&request, code))??;
    Some(End::Device {
        device: request.device_code,
        code_challenge: request.code_challenge,
        sealed,
    })
}

struct Issued {
    hash: Digest,
    slot: String,
    expires_at: Moment,
    sealed: Vec<u8>,
    session: Option<NewSession>,
}

/// What a completed sign-in leaves: a connection with one code, and a browser session.
fn complete(
    connect: &PendingConnect,
    granted: Granted,
    issued: Issued,
    end: &End,
    now: Moment,
) -> Vec<Change> {
    let expires_at = issued.expires_at.min(granted.expires_at);
    let mut changes = Vec::new();
    if let Some(session) = issued.session {
        changes.extend(session.record(connect.instance, &granted.user_id, now));
    }
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
    let kind = match end {
        End::Redirect {
            redirect_uri,
            code_challenge,
        } => CredentialKind::Code {
            redirect_uri: redirect_uri.clone(),
            code_challenge: code_challenge.clone(),
        },
        End::Device {
            device,
            code_challenge,
            sealed,
        } => {
            changes.push(Change::Device(DeviceChange::Completed {
                device: *device,
                sealed: sealed.clone(),
                expires_at,
            }));
            CredentialKind::Device {
                code_challenge: code_challenge.clone(),
            }
        }
        End::Browser => CredentialKind::Session,
    };
    changes.push(Change::AddCredential(IssuedCredential {
        hash: issued.hash,
        kind,
        connection: connect.connection.clone(),
        predecessor: None,
        predecessor_slot: Some(connect.cookie_slot.clone()),
        slot: issued.slot,
        scopes: granted.scopes,
        issued_at: now,
        expires_at,
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

fn end_replaced(replaced: Vec<ConnectionId>) -> impl Iterator<Item = Change> {
    replaced
        .into_iter()
        .map(|connection| Change::EndConnection {
            connection,
            reason: EndReason::Replaced,
        })
}

fn close(connect: &PendingConnect) -> Change {
    Change::Chore(Chore::Close {
        connection: connect.connection.clone(),
    })
}

fn unawaited() -> Failure {
    Failure::new(
        "The device does not wait for this sign-in any more. Start again on the device: it shows a new code.",
    )
}

fn return_address(instance: &Instance, connect: &PendingConnect) -> Option<ReturnAddress> {
    match &connect.ending {
        Ending::Redirect {
            redirect_uri,
            client_state,
            ..
        } => Some(ReturnAddress {
            redirect_uri: redirect_uri.clone(),
            state: client_state.clone(),
            issuer: instance.issuer(),
        }),
        Ending::Device { .. } | Ending::Browser => None,
    }
}
