//! The earlier handshake, `key-request`: Internet Identity's page asks the callback endpoint for a session key, has the
//! user register it, and says so in a second request that nobody may rely on.
//!
//! A key is given away once, together with a finish secret of its own, and only that secret leads to that key. So a
//! person whose page lost the answer asks again and gets another key, while somebody who asked in their name holds a
//! key and a secret that nobody registers.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use icgate_proto::v1;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::{failure::Failure, link::PROPOSED_SECONDS};
use crate::{
    body::{self, Response},
    connection::AccessLevel,
    instance::{Handshake, Instance},
    oauth::{Code, Credential, Prefix, Refusal, Server, has_content_type, no_store_json},
    store::{
        Digest, Moment,
        records::{Change, Decision, KeyRequest, OfferedKey, PendingConnect},
    },
};

/// Longest request of Internet Identity's page that is read, in bytes.
pub(crate) const MAX_BODY: usize = 4 * 1024;
/// How often the page may ask for a key in one sign-in.
const SESSION_KEYS: u32 = 3;

/// Both requests of the page; the second one names an expiration.
#[derive(Deserialize)]
struct Sent {
    state: String,
    expiration: Option<Value>,
    permissions: Option<Value>,
}

/// What the page says of a grant; null when it says nothing that can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Said {
    expires_at: Option<Moment>,
    access_level: Option<AccessLevel>,
}

/// What the signer is asked to begin with.
pub(super) fn asked(instance: &Instance) -> Option<v1::KeyRequest> {
    (instance.handshake == Handshake::KeyRequest).then_some(v1::KeyRequest {
        proposed_seconds: PROPOSED_SECONDS,
        session_keys: SESSION_KEYS,
    })
}

/// The keys that a sign-in of this handshake begins with.
pub(super) fn offered(instance: &Instance, session_keys: Vec<Vec<u8>>) -> Option<KeyRequest> {
    (instance.handshake == Handshake::KeyRequest).then(|| KeyRequest {
        keys: session_keys
            .into_iter()
            .map(|session_key| OfferedKey {
                session_key,
                finish: None,
            })
            .collect(),
        said_expires_at: None,
        said_access_level: None,
    })
}

/// What the signer has to look into: the key that went with the finish secret of this browser.
pub(super) fn registered(
    connect: &PendingConnect,
    finish: &str,
) -> Result<v1::RegisteredKey, Failure> {
    let secret = Credential::parse(Prefix::Finish, finish).map(|secret| secret.digest());
    let request = connect.key_request.as_ref();
    let key = request.zip(secret).and_then(|(request, secret)| {
        request
            .keys
            .iter()
            .find(|key| key.finish.is_some_and(|finish| finish.matches(&secret)))
    });
    let (Some(request), Some(key)) = (request, key) else {
        return Err(Failure::new(
            "This sign-in was not allowed in this browser. Start the connection again from your app and finish it in \
             the browser it opens.",
        ));
    };
    let access_level = match request.said_access_level {
        Some(AccessLevel::Queries) => v1::AccessLevel::Queries,
        Some(AccessLevel::All) | None => v1::AccessLevel::Unspecified,
    };
    Ok(v1::RegisteredKey {
        session_key_der: key.session_key.clone(),
        expires_at_ns: request.said_expires_at.map_or(0, Moment::nanos),
        access_level: access_level.into(),
    })
}

/// Answers Internet Identity's page, which is never redirected.
pub(crate) async fn callback(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    body: &[u8],
) -> Response {
    match answered(server, instance, headers, body).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_json(),
    }
}

async fn answered(
    server: &Server,
    instance: &Instance,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    let malformed = || {
        Refusal::new(
            Code::InvalidRequest,
            "It is not what Internet Identity sends.",
        )
    };
    if !has_content_type(headers, "application/json") {
        return Err(malformed());
    }
    let sent: Sent = serde_json::from_slice(body).map_err(|_| malformed())?;
    let state = Digest::of(&sent.state);
    // Those who guess never reach the one writer.
    let known = server.store.pending_connect(instance.name, &state).await?;
    let mut open = match known {
        Some(_) => Some(server.store.begin().await?),
        None => None,
    };
    let connect = match &mut open {
        Some(transaction) => transaction.pending_connect(instance.name, &state).await?,
        None => None,
    };
    let now = Moment::now();
    let (changes, response) = match &sent.expiration {
        None => {
            let finish = Credential::mint(Prefix::Finish);
            let Decision { changes, answer } = give(connect.as_ref(), finish.digest(), now);
            (changes, given(instance, &sent.state, answer, &finish))
        }
        Some(expiration) => {
            let said = Said::read(expiration, sent.permissions.as_ref());
            // A late or repeated notice must not look like a failure.
            let mut response = Response::new(body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            (note(connect.as_ref(), said, now), response)
        }
    };
    if let Some(mut transaction) = open
        && !changes.is_empty()
    {
        transaction.apply(&changes, now).await?;
        server.commit(transaction).await?;
    }
    Ok(response)
}

fn given(
    instance: &Instance,
    state: &str,
    session_key: Option<Vec<u8>>,
    finish: &Credential,
) -> Response {
    let Some(session_key) = session_key else {
        return no_store_json(StatusCode::FORBIDDEN, &json!({ "error": "invalid_state" }));
    };
    let query = Serializer::new(String::new())
        .append_pair("id", state)
        .append_pair("fs", &finish.text())
        .finish();
    let answer = json!({
        "public_key": URL_SAFE_NO_PAD.encode(session_key),
        "finish_url": format!("{}?{query}", instance.endpoint("oauth/finish")),
    });
    no_store_json(StatusCode::OK, &answer)
}

/// The next key that nobody has, from now on tied to the finish secret that goes with it.
fn give(
    connect: Option<&PendingConnect>,
    finish: Digest,
    now: Moment,
) -> Decision<Option<Vec<u8>>> {
    let open = connect.filter(|connect| connect.sealed_code.is_none() && now < connect.expires_at);
    let Some((connect, mut request)) =
        open.and_then(|connect| Some((connect, connect.key_request.clone()?)))
    else {
        return Decision::only(None);
    };
    let Some(key) = request.keys.iter_mut().find(|key| key.finish.is_none()) else {
        return Decision::only(None);
    };
    key.finish = Some(finish);
    let session_key = key.session_key.clone();
    Decision {
        changes: vec![Change::NoteKeyRequest {
            state: connect.state,
            key_request: request,
        }],
        answer: Some(session_key),
    }
}

/// Anybody who knows the state can say anything, so what is said can only shorten and lower.
fn note(connect: Option<&PendingConnect>, said: Said, now: Moment) -> Vec<Change> {
    let open = connect.filter(|connect| connect.sealed_code.is_none() && now < connect.expires_at);
    let Some((connect, before)) = open.and_then(|open| Some((open, open.key_request.as_ref()?)))
    else {
        return Vec::new();
    };
    let after = KeyRequest {
        said_expires_at: lower(before.said_expires_at, said.expires_at),
        said_access_level: lower(before.said_access_level, said.access_level),
        ..before.clone()
    };
    if after == *before {
        return Vec::new();
    }
    vec![Change::NoteKeyRequest {
        state: connect.state,
        key_request: after,
    }]
}

fn lower<T: Ord + Copy>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

impl Said {
    fn read(expiration: &Value, permissions: Option<&Value>) -> Self {
        let nanos = expiration.as_str().and_then(|text| text.parse().ok());
        if nanos.is_none() {
            tracing::warn!("Internet Identity's page named an expiration that is no number");
        }
        Self {
            expires_at: nanos.map(Moment::from_nanos),
            access_level: match permissions.and_then(Value::as_str) {
                Some("queries") => Some(AccessLevel::Queries),
                Some("all") => Some(AccessLevel::All),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::ConnectionId, instance::InstanceName, scope::Scopes, store::records::Ending,
    };

    fn moment(seconds: u64) -> Moment {
        Moment::from_seconds(1_000_000 + seconds)
    }

    fn connect(keys: &[&str]) -> PendingConnect {
        PendingConnect {
            state: Digest::of("state"),
            instance: InstanceName::Beta,
            cookie: Digest::of("cookie"),
            cookie_slot: "slot".to_owned(),
            connection: ConnectionId::new("connection"),
            client_id: "client".to_owned(),
            client_name: None,
            may_refresh: true,
            ending: Ending::Device {
                device: Digest::of("device"),
            },
            key_request: Some(KeyRequest {
                keys: keys
                    .iter()
                    .map(|key| OfferedKey {
                        session_key: key.as_bytes().to_vec(),
                        finish: None,
                    })
                    .collect(),
                said_expires_at: None,
                said_access_level: None,
            }),
            scopes: Scopes::NONE,
            created_at: moment(0),
            expires_at: moment(600),
            sealed_code: None,
        }
    }

    /// Makes the changes of a decision, as the store would.
    fn apply(connect: &mut PendingConnect, changes: &[Change]) {
        for change in changes {
            let Change::NoteKeyRequest { state, key_request } = change else {
                panic!("{change:?}");
            };
            assert_eq!(*state, connect.state);
            connect.key_request = Some(key_request.clone());
        }
    }

    fn ask(connect: &mut PendingConnect) -> Option<(Vec<u8>, Credential)> {
        let finish = Credential::mint(Prefix::Finish);
        let Decision { changes, answer } = give(Some(connect), finish.digest(), moment(1));
        apply(connect, &changes);
        answer.map(|key| (key, finish))
    }

    #[test]
    fn every_key_is_given_once_and_belongs_to_its_secret() {
        let mut connect = connect(&["a", "b"]);
        let (first, first_secret) = ask(&mut connect).unwrap();
        let (second, second_secret) = ask(&mut connect).unwrap();
        assert_eq!(
            (first.as_slice(), second.as_slice()),
            (&b"a"[..], &b"b"[..])
        );
        assert!(ask(&mut connect).is_none());
        for (secret, key) in [(first_secret, first), (second_secret, second)] {
            let registered = registered(&connect, &secret.text()).ok().unwrap();
            assert_eq!(registered.session_key_der, key);
        }
        let guessed = Credential::mint(Prefix::Finish);
        assert!(registered(&connect, &guessed.text()).is_err());
        assert!(registered(&connect, "").is_err());
    }

    #[test]
    fn nothing_is_given_to_a_sign_in_that_is_unknown_over_or_of_the_other_handshake() {
        let finish = Digest::of("finish");
        let open = connect(&["a"]);
        assert_eq!(give(None, finish, moment(1)), Decision::only(None));
        assert_eq!(give(Some(&open), finish, moment(600)), Decision::only(None));
        let complete = PendingConnect {
            sealed_code: Some(Vec::new()),
            ..open.clone()
        };
        assert_eq!(
            give(Some(&complete), finish, moment(1)),
            Decision::only(None)
        );
        let other = PendingConnect {
            key_request: None,
            ..open
        };
        assert_eq!(give(Some(&other), finish, moment(1)), Decision::only(None));
    }

    #[test]
    fn what_is_said_only_shortens_and_lowers() {
        let mut connect = connect(&["a"]);
        let say = |connect: &mut PendingConnect, said| {
            let changes = note(Some(connect), said, moment(1));
            apply(connect, &changes);
            let request = connect.key_request.clone().unwrap();
            (request.said_expires_at, request.said_access_level)
        };
        let all = Said {
            expires_at: Some(moment(50)),
            access_level: Some(AccessLevel::All),
        };
        let queries = Said {
            expires_at: Some(moment(90)),
            access_level: Some(AccessLevel::Queries),
        };
        say(&mut connect, all);
        let lowest = (Some(moment(50)), Some(AccessLevel::Queries));
        assert_eq!(say(&mut connect, queries), lowest);
        assert_eq!(say(&mut connect, all), lowest);
        assert!(note(Some(&connect), Said::default(), moment(1)).is_empty());
        assert!(note(None, all, moment(1)).is_empty());
        assert!(note(Some(&connect), all, moment(600)).is_empty());
    }

    #[test]
    fn the_page_may_say_nonsense() {
        let read = |expiration, permissions: Value| Said::read(&expiration, Some(&permissions));
        assert_eq!(
            read(json!("5000000000"), json!("queries")),
            Said {
                expires_at: Some(Moment::from_seconds(5)),
                access_level: Some(AccessLevel::Queries),
            }
        );
        for nonsense in [
            json!(5),
            json!("-1"),
            json!(""),
            json!({}),
            json!("99999999999999999999"),
        ] {
            assert_eq!(read(nonsense.clone(), nonsense), Said::default());
        }
    }
}
