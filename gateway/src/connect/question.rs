//! The question about the user's other connections: Internet Identity keeps one grant per identity, so a sign-in
//! replaces the grant of every connection the user had. Those the user ticks move to the new grant.
//!
//! Until the answer nothing is issued for the sign-in, and the others wait: their agents are told to try again. A
//! browser that never answers leaves nothing behind: the others end when the sign-in's time is over, and so does the
//! connection that nobody holds a credential of.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;
use icgate_proto::v1;
use subtle::ConstantTimeEq;

use super::{
    arrival::{self, Granted, Landing, allowed_by, level_of},
    failure::Failure,
    redeem::same_browser,
    reference,
};
use crate::{
    body::Response,
    connection::{AccessLevel, ConnectionId},
    instance::Instance,
    oauth::{Credential, Form, Server, has_content_type, is_foreign, see_other},
    pages,
    store::{
        Digest, Listed, Moment,
        records::{Change, Chore, EndReason, PendingConnect, SiblingChange},
    },
};

/// Where the question is asked, below the instance's prefix.
pub(crate) const PATH: &str = "/oauth/connect/others";

/// Where this sign-in's question is asked. The name in the link opens nothing without the connect cookie.
pub(super) fn address(instance: &Instance, connect: &PendingConnect) -> String {
    let name = URL_SAFE_NO_PAD.encode(connect.state.as_bytes());
    format!("{}{PATH}?sign_in={name}", instance.issuer())
}

/// Keeps what has to be asked about the connections whose grant the sign-in replaced; says whether that is anything.
/// The browser's earlier session is not asked about: the sign-in leaves a new one.
pub(super) async fn ask(
    server: &Server,
    instance: &Instance,
    connect: &PendingConnect,
    cookie: &Credential,
    own: Option<&ConnectionId>,
    sign_in: &Granted,
) -> Result<bool, Failure> {
    // A request that comes again after a later sign-in has nothing to say about the connections of that one.
    granted(server, connect, cookie).await?;
    let replaced = &sign_in.replaced;
    let now = Moment::now();
    let mut transaction = server.store.begin().await?;
    let (mut changes, mut asks) = (Vec::new(), false);
    let users = transaction
        .connections_of_user(instance.name, &sign_in.user_id, now)
        .await?;
    // Those that the signer knows to be over already, for example as siblings of one that was revoked.
    let over = users.into_iter().map(|listed| listed.connection);
    changes.extend(
        over.filter(|other| other.created_at < connect.created_at && !replaced.contains(&other.id))
            .map(|other| Change::EndConnection {
                connection: other.id,
                reason: EndReason::Ended,
            }),
    );
    for id in replaced {
        let connection = id.clone();
        changes.push(match transaction.connection(instance.name, id).await? {
            Some(other) if other.is_live(now) && own != Some(id) => {
                asks = true;
                Change::Sibling(SiblingChange::Ask {
                    connection,
                    by: connect.connection.clone(),
                    expires_at: connect.expires_at,
                })
            }
            Some(_) => Change::EndConnection {
                connection,
                reason: EndReason::Replaced,
            },
            // Of a sign-in whose own question was never answered.
            None => Change::Chore(Chore::Close { connection }),
        });
    }
    transaction.apply(&changes, now).await?;
    server.commit(transaction).await?;
    Ok(asks)
}

/// Shows the question.
pub(crate) async fn asked(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    query: &str,
) -> Response {
    match show(server, instance, headers, query).await {
        Ok(page) => page,
        Err(failure) => failure.into_page(),
    }
}

async fn show(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    query: &str,
) -> Result<Response, Failure> {
    let form = Form::parse(query.as_bytes()).map_err(|_| Failure::too_late())?;
    let sign_in = form.get("sign_in").unwrap_or_default();
    let (connect, cookie) = find(server, instance, headers, sign_in).await?;
    if let Some(sealed) = &connect.sealed_code {
        let landing = arrival::again(server, instance, &connect, &cookie, sealed).await?;
        return lead(landing, instance);
    }
    let others = server
        .store
        .replaced_by(&connect.connection, Moment::now())
        .await?;
    Ok(pages::question(&pages::Question {
        action: format!("{}{PATH}", instance.issuer()),
        sign_in,
        csrf: csrf(&cookie),
        client_name: connect.client_name.as_deref(),
        others: &others,
        minutes: connect.expires_at.since(Moment::now()).div_ceil(60),
        shared_identity: server.shared_identity(),
    }))
}

/// Takes the answer: what was ticked goes on, what was not ends, and the sign-in with it reaches its end. The same
/// answer again leads to the same place; another one changes nothing any more.
pub(crate) async fn answered(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    if is_foreign(headers, instance) {
        return Failure::foreign().into_page();
    }
    match take(server, instance, headers, body).await {
        Ok(response) => response,
        Err(failure) => failure.into_page(),
    }
}

async fn take(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Failure> {
    if !has_content_type(headers, "application/x-www-form-urlencoded") {
        return Err(Failure::new("The request is not what this page sends."));
    }
    // A box for each other connection, and no more than a person has.
    let form =
        Form::parse_lists(body).map_err(|_| Failure::new("The form has too many fields."))?;
    let sign_in = form.get("sign_in").unwrap_or_default();
    let _turn = server.turnstile.pass(name(sign_in)?).await;
    let (connect, cookie) = find(server, instance, headers, sign_in).await?;
    let sent = form.get("csrf").unwrap_or_default();
    if !bool::from(sent.as_bytes().ct_eq(csrf(&cookie).as_bytes())) {
        return Err(Failure::foreign());
    }
    if let Some(sealed) = &connect.sealed_code {
        let landing = arrival::again(server, instance, &connect, &cookie, sealed).await?;
        return lead(landing, instance);
    }
    let granted = granted(server, &connect, &cookie).await?;
    let others = server
        .store
        .replaced_by(&connect.connection, Moment::now())
        .await?;
    let ticked: Vec<&str> = form.all("go_on").collect();
    let going_on = go_on(server, &connect, &cookie, &others, &ticked).await?;
    let beside = decide(&others, &going_on);
    let landing = arrival::finish(server, instance, &connect, &cookie, granted, beside).await?;
    tracing::info!(
        connection = %connect.connection,
        others = others.len(),
        go_on = going_on.len(),
        "the user said which connections go on"
    );
    lead(landing, instance)
}

/// The sign-in behind a name, if this browser began it.
async fn find(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    sign_in: &str,
) -> Result<(PendingConnect, Credential), Failure> {
    let connect = server
        .store
        .pending_connect(instance.name, &name(sign_in)?)
        .await?
        .filter(|connect| Moment::now() < connect.expires_at)
        .ok_or_else(Failure::too_late)?;
    let cookie = same_browser(instance, headers, &connect)?;
    Ok((connect, cookie))
}

fn name(sign_in: &str) -> Result<Digest, Failure> {
    let bytes = URL_SAFE_NO_PAD.decode(sign_in);
    let bytes = bytes.map_err(|_| Failure::too_late())?;
    Digest::try_from(bytes.as_slice()).map_err(|()| Failure::too_late())
}

/// What the user granted, as the signer keeps it: a later sign-in may have replaced this one meanwhile.
async fn granted(
    server: &Server,
    connect: &PendingConnect,
    cookie: &Credential,
) -> Result<Granted, Failure> {
    let request = v1::DescribeRequest {
        connection: Some(reference(connect, cookie)),
    };
    let described = server.signer.describe(request).await?;
    if described.state() != v1::ConnectionState::Live {
        return Err(Failure::too_late());
    }
    let completed = v1::CompleteResponse {
        access_level: described.access_level,
        expires_at_ns: described.expires_at_ns,
        user: described.user,
        replaced_connection_ids: Vec::new(),
    };
    Granted::read(completed, connect)
}

/// What a connection that goes on may do now.
struct GoingOn {
    expires_at: Moment,
    access_level: AccessLevel,
}

async fn go_on(
    server: &Server,
    connect: &PendingConnect,
    cookie: &Credential,
    others: &[Listed],
    ticked: &[&str],
) -> Result<HashMap<ConnectionId, GoingOn>, Failure> {
    let ids: Vec<String> = others
        .iter()
        .map(|other| other.connection.id.as_str())
        .filter(|id| ticked.contains(id))
        .map(str::to_owned)
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let request = v1::ContinueRequest {
        connection: Some(reference(connect, cookie)),
        connection_ids: ids,
    };
    let continued = server.signer.r#continue(request).await?.connections;
    let read = |one: v1::ContinuedConnection| {
        let access_level = level_of(one.access_level())?;
        let going_on = GoingOn {
            expires_at: Moment::from_nanos(one.expires_at_ns),
            access_level,
        };
        Some((ConnectionId::new(one.connection_id), going_on))
    };
    Ok(continued.into_iter().filter_map(read).collect())
}

/// What was ticked and may go on does; everything else ends, and so does what could do nothing any more.
fn decide(others: &[Listed], going_on: &HashMap<ConnectionId, GoingOn>) -> Vec<Change> {
    others
        .iter()
        .map(|other| {
            let connection = &other.connection;
            let now = going_on.get(&connection.id).map(|now| {
                let scopes = connection.scopes.intersection(allowed_by(now.access_level));
                (now, scopes)
            });
            match now {
                Some((now, scopes)) if !scopes.is_empty() => Change::Sibling(SiblingChange::GoOn {
                    connection: connection.id.clone(),
                    expires_at: now.expires_at.min(connection.expires_at),
                    access_level: now.access_level.min(connection.access_level),
                    scopes,
                }),
                _ => Change::EndConnection {
                    connection: connection.id.clone(),
                    reason: EndReason::Replaced,
                },
            }
        })
        .collect()
}

/// To this server's own pages by redirect; to an app by a page of its own, since browsers hold what follows a form to
/// the policy of the form's page, which cannot name every app.
fn lead(landing: Landing, instance: &Instance) -> Result<Response, Failure> {
    let here = landing
        .location
        .strip_prefix(instance.public_url.as_str())
        .is_some_and(|rest| rest.starts_with('/'));
    let mut response = if here {
        see_other(&landing.location).map_err(|refusal| Failure::new(refusal.description))?
    } else {
        pages::back_to_app("Signed in", &landing.location)
    };
    if let Some(cookie) = landing.cookie {
        response
            .headers_mut()
            .append(http::header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Binds the form to the browser that began the sign-in: only it has the connect cookie.
fn csrf(cookie: &Credential) -> String {
    cookie.form_token("others")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        instance::InstanceName,
        scope::{Scope, Scopes},
        store::records::Connection,
    };

    fn other(id: &str, scopes: Scopes) -> Listed {
        Listed {
            connection: Connection {
                id: ConnectionId::new(id),
                instance: InstanceName::Beta,
                client_id: "c".to_owned(),
                client_name: None,
                user_id: "u".to_owned(),
                scopes,
                access_level: AccessLevel::All,
                may_refresh: true,
                created_at: Moment::from_seconds(0),
                expires_at: Moment::from_seconds(100),
                ended: None,
            },
            last_used_at: Moment::from_seconds(5),
        }
    }

    #[test]
    fn nothing_goes_on_with_more_than_it_had_or_was_granted() {
        let all: Scopes = Scope::ALL.into_iter().collect();
        let others = [
            other("on", all),
            other("off", all),
            other("nothing left", Scopes::from_iter([Scope::Write])),
        ];
        let now = |seconds| GoingOn {
            expires_at: Moment::from_seconds(seconds),
            access_level: AccessLevel::Queries,
        };
        let going_on = HashMap::from([
            (ConnectionId::new("on"), now(500)),
            (ConnectionId::new("nothing left"), now(50)),
        ]);
        let end = |id| Change::EndConnection {
            connection: ConnectionId::new(id),
            reason: EndReason::Replaced,
        };
        let expected = [
            Change::Sibling(SiblingChange::GoOn {
                connection: ConnectionId::new("on"),
                expires_at: Moment::from_seconds(100),
                access_level: AccessLevel::Queries,
                scopes: Scopes::from_iter([Scope::Read]),
            }),
            end("off"),
            end("nothing left"),
        ];
        assert_eq!(decide(&others, &going_on), expected);
    }
}
