//! API keys, for headless use. Only a live browser session makes one: nothing else can open a slot for it.

use icgate_proto::{Reason, v1};

use super::{API_KEY, Branched, Owner, Session, connections_page};
use crate::{
    body::Response,
    candid::foreign::one_line,
    instance::Instance,
    oauth::{
        Server,
        answer::{Refusal, see_other},
        credential::{Credential, Prefix},
        form::Form,
        token::signer_failed,
    },
    pages,
    scope::{Scope, Scopes},
    store::{
        Moment,
        records::{Change, Chore, CredentialKind, EndReason},
    },
};

/// Longest name of a key, in characters.
const MAX_NAME: usize = 64;
/// The lives that can be chosen, in days; 0 is as long as the session's grant.
pub(crate) const DAYS: [u64; 4] = [1, 7, 30, 0];

/// A key as it was asked for, within what the session may do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewKey {
    name: String,
    scopes: Scopes,
    days: u64,
}

impl NewKey {
    /// Reads the form.
    pub(super) fn read(form: &Form<'_>, session: &Session) -> Result<Self, &'static str> {
        let name = one_line(form.get("name").unwrap_or_default(), MAX_NAME + 1);
        let name = name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return Err("Give the key a name of at most 64 characters.");
        }
        let scopes = form
            .all("scope")
            .filter_map(|name| name.parse::<Scope>().ok())
            .collect::<Scopes>()
            .intersection(session.connection.scopes);
        if scopes.is_empty() {
            return Err("Tick at least one thing the key may do.");
        }
        let days = form
            .get("days")
            .and_then(|days| days.parse().ok())
            .filter(|days| DAYS.contains(days))
            .ok_or("Choose how long the key lasts.")?;
        Ok(Self {
            name: name.to_owned(),
            scopes,
            days,
        })
    }

    /// Never beyond the session's own end.
    fn expires_at(&self, session_end: Moment, now: Moment) -> Moment {
        match self.days {
            0 => session_end,
            days => now.plus(days * 24 * 3600).min(session_end),
        }
    }
}

impl Server {
    /// Makes a key and shows it, this once. One of the same name is revoked in the same moment.
    pub(super) async fn make_key(
        &self,
        instance: &Instance,
        session: &Session,
        key: NewKey,
    ) -> Result<Response, Refusal> {
        let now = Moment::now();
        let of = &session.connection;
        let expires_at = key.expires_at(of.expires_at, now);
        let credential = Credential::mint(Prefix::ApiKey);
        let request = v1::BranchRequest {
            connection: Some(v1::ConnectionRef {
                connection_id: of.id.as_str().to_owned(),
                secret: session.credential.secret().to_wire(),
            }),
            ceiling: Some(v1::Ceiling {
                scopes: key.scopes.to_wire(),
                access_level: v1::AccessLevel::All.into(),
                expires_at_ns: expires_at.nanos(),
            }),
            secret: credential.secret().to_wire(),
            slot_expires_at_ns: expires_at.nanos(),
        };
        let branched = match self.signer.branch(request).await {
            Ok(response) => Branched::read(response),
            Err(error) => match error.reason {
                // The grant is over: the page offers to sign in again.
                Reason::ConnectionEnded | Reason::SecretRefused => {
                    self.end(instance.name, of.id.clone(), EndReason::Ended)
                        .await?;
                    return see_other(&connections_page(instance));
                }
                _ => return Err(signer_failed(&error)),
            },
        };
        let branched = branched.ok_or_else(incomplete)?;

        let mut transaction = self.store.begin().await?;
        let live = transaction
            .connection(instance.name, &of.id)
            .await?
            .is_some_and(|session| session.is_live(now));
        if !live {
            // Ended while the signer was at work: what it made goes again.
            let close = Chore::Close {
                connection: branched.connection,
            };
            transaction.apply(&[Change::Chore(close)], now).await?;
            self.commit(transaction).await?;
            return see_other(&connections_page(instance));
        }
        let others = transaction
            .connections_of_user(instance.name, &of.user_id, now)
            .await?;
        let rotated = others
            .into_iter()
            .map(|other| other.connection)
            .filter(|other| {
                other.client_id == API_KEY && other.client_name.as_ref() == Some(&key.name)
            })
            .map(|other| Change::EndConnection {
                connection: other.id,
                reason: EndReason::Revoked,
            });
        let mut changes: Vec<_> = rotated.collect();
        let owner = Owner {
            instance: instance.name,
            user_id: &of.user_id,
            scopes: key.scopes,
        };
        let client = (API_KEY, key.name.as_str());
        let kind = CredentialKind::ApiKey;
        changes.extend(branched.record(&owner, client, &credential, kind, now));
        transaction.apply(&changes, now).await?;
        self.commit(transaction).await?;
        tracing::info!(key = %branched.connection, "an API key was made");
        Ok(pages::new_key(&pages::NewKey {
            instance,
            name: &key.name,
            text: &credential.text(),
            scopes: key.scopes,
            expires_at: branched.expires_at,
            back: &connections_page(instance),
        }))
    }
}

fn incomplete() -> Refusal {
    Refusal::new(
        crate::oauth::Code::ServerError,
        "The signer's answer is incomplete.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::{AccessLevel, ConnectionId},
        instance::InstanceName,
        store::records::Connection,
    };

    fn session() -> Session {
        Session {
            credential: Credential::mint(Prefix::Session),
            connection: Connection {
                id: ConnectionId::new("s"),
                instance: InstanceName::Beta,
                client_id: super::super::BROWSER.to_owned(),
                client_name: None,
                user_id: "u".to_owned(),
                scopes: Scopes::from_iter([Scope::Read, Scope::Write]),
                access_level: AccessLevel::All,
                may_refresh: false,
                created_at: Moment::from_seconds(0),
                expires_at: Moment::from_seconds(10 * 24 * 3600),
                ended: None,
            },
        }
    }

    fn read(form: &str) -> Result<NewKey, &'static str> {
        NewKey::read(&Form::parse_lists(form.as_bytes()).unwrap(), &session())
    }

    #[test]
    fn a_key_stays_within_its_session() {
        let key = read("name=+ci%0A&scope=ic:read&scope=ic:manage&days=30").unwrap();
        assert_eq!(
            (key.name.as_str(), key.scopes),
            ("ci", Scopes::from_iter([Scope::Read]))
        );
        let end = session().connection.expires_at;
        let now = Moment::from_seconds(100);
        assert_eq!(key.expires_at(end, now), end);
        let day = read("name=a&scope=ic:read&days=1").unwrap();
        assert_eq!(day.expires_at(end, now), now.plus(24 * 3600));
        let whole = read("name=a&scope=ic:read&days=0").unwrap();
        assert_eq!(whole.expires_at(end, now), end);
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        let long = "x".repeat(MAX_NAME + 1);
        for form in [
            "scope=ic:read&days=1".to_owned(),
            "name=%0A%E2%80%8B&scope=ic:read&days=1".to_owned(),
            format!("name={long}&scope=ic:read&days=1"),
            "name=a&days=1".to_owned(),
            "name=a&scope=ic:manage&days=1".to_owned(),
            "name=a&scope=ic:read".to_owned(),
            "name=a&scope=ic:read&days=2".to_owned(),
            "name=a&scope=ic:read&days=-1".to_owned(),
        ] {
            assert!(read(&form).is_err(), "{form}");
        }
    }
}
