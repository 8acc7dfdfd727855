//! Where every completed sign-in arrives, whichever handshake it came by and wherever it ends.

use icgate_proto::v1;

use super::{failure::Failure, reference};
use crate::{
    connection::{AccessLevel, ConnectionId},
    instance::Instance,
    oauth::{Code, Credential, Prefix, ReturnAddress, Server, device},
    scope::{Scope, Scopes},
    store::{
        Digest, Moment,
        records::{
            Change, Chore, Connection, CredentialKind, DeviceChange, DeviceRequest, EndReason,
            Ending, IssuedCredential, PendingConnect,
        },
    },
};

/// Life of an authorization code.
const CODE_SECONDS: u64 = 120;
/// A code that is presented at its last moment still has to be exchanged at the signer.
const EXCHANGE_SECONDS: u64 = 60;

/// Where the browser goes from here.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) location: String,
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

/// Keeps what the user granted and leads the browser to the sign-in's end.
pub(super) async fn land(
    server: &Server,
    instance: &Instance,
    connect: &PendingConnect,
    cookie: &Credential,
    completed: v1::CompleteResponse,
) -> Result<Landing, Failure> {
    let granted = Granted::read(completed, connect)?;
    if granted.scopes.is_empty() {
        return refused_by_level(server, instance, connect).await;
    }
    let code = Credential::mint(Prefix::Code);
    let expires_at = code_expiry(connect, Moment::now());
    let slot = add_slot(server, connect, cookie, &code, expires_at).await?;
    let issued = Issued {
        hash: code.digest(),
        slot,
        expires_at,
        sealed: cookie.seal_all(&[&code]),
    };
    record(server, instance, connect, granted, issued, &code).await
}

/// A sign-in that is complete already leads to the same place again, as long as its code is not used.
pub(super) async fn again(
    server: &Server,
    instance: &Instance,
    connect: &PendingConnect,
    cookie: &Credential,
    sealed: &[u8],
) -> Result<Landing, Failure> {
    let code = cookie
        .unseal_all(sealed, &[Prefix::Code])
        .and_then(|codes| codes.into_iter().next())
        .ok_or_else(Failure::too_late)?;
    if matches!(connect.ending, Ending::Device { .. }) {
        return Ok(landing(instance, connect, &code));
    }
    let family = server.store.family(instance.name, &code.digest()).await?;
    match family {
        Some(family)
            if family.credential.spent_at.is_none()
                && Moment::now() < family.credential.expires_at =>
        {
            Ok(landing(instance, connect, &code))
        }
        _ => Err(Failure::new(
            "This sign-in is finished already. You can close this page and go back to your app.",
        )),
    }
}

fn landing(instance: &Instance, connect: &PendingConnect, code: &Credential) -> Landing {
    let location = match return_address(instance, connect) {
        Some(address) => address.with_code(&code.text()),
        None => device::done(instance),
    };
    Landing { location }
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
) -> Result<Landing, Failure> {
    let mut changes = vec![Change::ForgetConnect(connect.state), close(connect)];
    if let Ending::Device { device } = connect.ending {
        changes.push(Change::Device(DeviceChange::Denied(device)));
    }
    server.make(&changes).await?;
    let text = "Internet Identity allows questions only, and only actions were asked for.";
    match return_address(instance, connect) {
        Some(address) => Ok(Landing {
            location: address.with_error(Code::AccessDenied, text),
        }),
        None => Err(Failure::new(format!(
            "{text} Start again on your device and allow actions, or tick Read."
        ))),
    }
}

/// A code is fetched at once; a device may take until it stops waiting.
fn code_expiry(connect: &PendingConnect, now: Moment) -> Moment {
    let soon = now.plus(CODE_SECONDS);
    match connect.ending {
        Ending::Redirect { .. } => soon,
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
    };
    let changes = match &end {
        Ok(end) => complete(connect, granted, issued, end, now),
        Err(_) => end_replaced(granted.replaced)
            .chain([close(connect)])
            .collect(),
    };
    transaction.apply(&changes, now).await?;
    server.commit(transaction).await?;
    end?;
    tracing::info!(connection = %connect.connection, client = %connect.client_id, "connected");
    Ok(landing(instance, connect, code))
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
}

/// What a completed sign-in leaves: a connection with one code, and the end of those whose grant it took.
fn complete(
    connect: &PendingConnect,
    granted: Granted,
    issued: Issued,
    end: &End,
    now: Moment,
) -> Vec<Change> {
    let expires_at = issued.expires_at.min(granted.expires_at);
    let mut changes: Vec<_> = end_replaced(granted.replaced).collect();
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
        Ending::Device { .. } => None,
    }
}
