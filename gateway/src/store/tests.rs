use std::path::Path;

use super::{
    Digest, Limits, Moment, Registered, Store,
    records::{
        Change, Chore, Client, Connection, CredentialKind, EndReason, Ending, IssuedCredential,
        KeyRequest, OfferedKey, PendingConnect,
    },
};
use crate::{
    connection::{AccessLevel, ConnectionId},
    instance::InstanceName,
    scope::{Scope, Scopes},
};

const LIMITS: Limits = Limits {
    clients: 3,
    clients_per_address: 3,
    pending_connects: 2,
    device_requests: 2,
    device_requests_per_address: 2,
    pending_connects_per_address: 2,
    connections: 2,
    credentials_per_connection: 3,
    approvals: 3,
};

pub(super) fn at(seconds: u64) -> Moment {
    Moment::from_seconds(1_000_000 + seconds)
}

async fn open(directory: &Path) -> Store {
    Store::open(directory, LIMITS).await.unwrap()
}

pub(super) fn client(id: &str, created: u64) -> Client {
    Client {
        id: id.to_owned(),
        name: Some("name".to_owned()),
        redirect_uris: vec!["http://127.0.0.1/cb".to_owned()],
        may_refresh: true,
        may_use_device: true,
        created_at: at(created),
    }
}

pub(super) fn pending(state: &str, client_id: &str, created: u64) -> PendingConnect {
    PendingConnect {
        state: Digest::of(state),
        instance: InstanceName::Beta,
        cookie: Digest::of("cookie"),
        cookie_slot: "slot".to_owned(),
        connection: ConnectionId::new("connection"),
        client_id: client_id.to_owned(),
        client_name: Some("name".to_owned()),
        may_refresh: false,
        ending: Ending::Redirect {
            redirect_uri: "http://127.0.0.1/cb".to_owned(),
            client_state: Some("state".to_owned()),
            code_challenge: "challenge".to_owned(),
        },
        key_request: Some(KeyRequest {
            keys: vec![OfferedKey {
                session_key: vec![1, 2],
                finish: Some(Digest::of("finish")),
            }],
            said_expires_at: Some(at(9)),
            said_access_level: Some(AccessLevel::Queries),
        }),
        scopes: Scopes::from_iter([Scope::Read]),
        created_at: at(created),
        expires_at: at(created + 600),
        sealed_code: None,
    }
}

pub(super) fn connection(id: &str, client_id: &str) -> Connection {
    Connection {
        id: ConnectionId::new(id),
        instance: InstanceName::Prod,
        client_id: client_id.to_owned(),
        client_name: None,
        user_id: "user".to_owned(),
        scopes: Scopes::from_iter([Scope::Read, Scope::Write]),
        access_level: AccessLevel::Queries,
        may_refresh: false,
        created_at: at(0),
        expires_at: at(1_000),
        ended: None,
    }
}

fn credential(name: &str, issued: u64) -> IssuedCredential {
    IssuedCredential {
        hash: Digest::of(name),
        kind: CredentialKind::Access,
        connection: ConnectionId::new("c"),
        predecessor: None,
        predecessor_slot: None,
        slot: format!("slot of {name}"),
        scopes: Scopes::from_iter([Scope::Read]),
        issued_at: at(issued),
        expires_at: at(500),
        spent_at: None,
        presented_at: None,
        succeeded_at: None,
        sealed: None,
    }
}

async fn register(store: &Store, client: &Client) -> Registered {
    let mut transaction = store.begin().await.unwrap();
    let registered = transaction.add_client(client, None).await.unwrap();
    transaction.commit().await.unwrap();
    registered
}

async fn apply(store: &Store, changes: &[Change], now: Moment) -> Vec<Digest> {
    let mut transaction = store.begin().await.unwrap();
    transaction.apply(changes, now).await.unwrap();
    transaction.commit().await.unwrap().revoked
}

async fn leave(store: &Store, pending: &PendingConnect) {
    let mut transaction = store.begin().await.unwrap();
    transaction
        .add_pending_connect(pending, None)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut code = credential("code", 1);
    code.kind = CredentialKind::Code {
        redirect_uri: "http://127.0.0.1/cb".to_owned(),
        code_challenge: "challenge".to_owned(),
    };
    let mut successor = credential("successor", 2);
    successor.predecessor = Some(code.hash);
    successor.predecessor_slot = Some(code.slot.clone());
    {
        let store = open(directory.path()).await;
        register(&store, &client("a", 0)).await;
        leave(&store, &pending("s", "a", 0)).await;
        let changes = [
            Change::AddConnection(connection("c", "a")),
            Change::AddCredential(code.clone()),
            Change::AddCredential(successor.clone()),
            Change::Spend {
                hash: code.hash,
                sealed: vec![1, 2],
            },
        ];
        apply(&store, &changes, at(5)).await;
        let mut dropped = store.begin().await.unwrap();
        dropped.add_client(&client("b", 0), None).await.unwrap();
        drop(dropped);
    }
    let store = open(directory.path()).await;
    assert_eq!(store.client("a").await.unwrap(), Some(client("a", 0)));
    assert_eq!(store.client("b").await.unwrap(), None);
    let state = Digest::of("s");
    let found = store
        .pending_connect(InstanceName::Beta, &state)
        .await
        .unwrap();
    assert_eq!(found, Some(pending("s", "a", 0)));
    assert!(
        store
            .pending_connect(InstanceName::Prod, &state)
            .await
            .unwrap()
            .is_none()
    );
    let family = store
        .family(InstanceName::Prod, &code.hash)
        .await
        .unwrap()
        .unwrap();
    code.spent_at = Some(at(5));
    code.sealed = Some(vec![1, 2]);
    assert_eq!(family.credential, code);
    assert_eq!(family.connection, connection("c", "a"));
    assert_eq!(family.successors, [successor]);
    assert!(
        store
            .family(InstanceName::Beta, &code.hash)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn an_answer_that_is_made_again_leaves_when_a_credential_was_spent() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    register(&store, &client("a", 0)).await;
    let token = credential("token", 1);
    let spent = |sealed: u8| Change::Spend {
        hash: token.hash,
        sealed: vec![sealed],
    };
    let added = [
        Change::AddConnection(connection("c", "a")),
        Change::AddCredential(token.clone()),
    ];
    apply(&store, &added, at(1)).await;
    apply(&store, &[spent(1)], at(5)).await;
    apply(&store, &[spent(2)], at(90)).await;
    let family = store.family(InstanceName::Prod, &token.hash).await;
    let credential = family.unwrap().unwrap().credential;
    assert_eq!(credential.spent_at, Some(at(5)));
    assert_eq!(credential.sealed, Some(vec![2]));
}

#[tokio::test]
async fn a_commit_waits_for_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let mut transaction = store.begin().await.unwrap();
    let synchronous = sqlx::query_scalar::<_, i64>("PRAGMA synchronous")
        .fetch_one(&mut *transaction.open)
        .await;
    assert_eq!(synchronous.unwrap(), 2, "FULL");
}

#[tokio::test]
async fn a_flood_of_registrations_evicts_only_clients_without_a_connection() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    register(&store, &client("signed in", 0)).await;
    apply(
        &store,
        &[Change::AddConnection(connection("c", "signed in"))],
        at(0),
    )
    .await;
    register(&store, &client("signing in", 1)).await;
    leave(&store, &pending("s", "signing in", 1)).await;
    for flood in 0..20 {
        let client = client(&format!("flood {flood}"), 100 + flood);
        assert_eq!(register(&store, &client).await, Registered::Yes);
    }
    for kept in ["signed in", "signing in", "flood 19"] {
        assert!(store.client(kept).await.unwrap().is_some(), "{kept}");
    }
    assert!(store.client("flood 18").await.unwrap().is_none());
    leave(&store, &pending("t", "flood 19", 2)).await;
    assert_eq!(
        register(&store, &client("one more", 9)).await,
        Registered::Full
    );
}

#[tokio::test]
async fn imported_clients_are_never_evicted_and_change_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let import = async |clients: &[Client]| {
        let mut transaction = store.begin().await.unwrap();
        transaction.import_clients(clients).await.unwrap();
        transaction.commit().await.unwrap();
    };
    let flood = async |from: u64| {
        for number in from..from + 5 {
            let client = client(&format!("flood {number}"), 100 + number);
            assert_eq!(register(&store, &client).await, Registered::Yes);
        }
    };
    let brought: Vec<Client> = (0..5).map(|n| client(&format!("brought {n}"), n)).collect();
    import(&brought).await;
    flood(0).await;
    for client in &brought {
        assert_eq!(
            store.client(&client.id).await.unwrap().as_ref(),
            Some(client)
        );
    }
    // Three registered ones have room beside them.
    assert!(store.client("flood 2").await.unwrap().is_some());

    let renamed = Client {
        name: Some("Another name".to_owned()),
        created_at: at(9),
        ..brought[1].clone()
    };
    import(std::slice::from_ref(&renamed)).await;
    let kept = store.client("brought 1").await.unwrap().unwrap();
    assert_eq!((kept.name, kept.created_at), (renamed.name, at(1)));
    flood(50).await;
    assert!(store.client("brought 0").await.unwrap().is_none());
    assert!(store.client("brought 1").await.unwrap().is_some());
}

#[tokio::test]
async fn the_oldest_sign_in_makes_room() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for (position, state) in ["a", "b", "c"].into_iter().enumerate() {
        leave(&store, &pending(state, "client", position as u64)).await;
    }
    for (state, kept) in [("a", false), ("b", true), ("c", true)] {
        let found = store
            .pending_connect(InstanceName::Beta, &Digest::of(state))
            .await;
        assert_eq!(found.unwrap().is_some(), kept, "{state}");
    }
}

#[tokio::test]
async fn live_connections_are_counted_and_never_evicted() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for id in ["c", "d"] {
        assert!(store.has_room_for_connection(at(0)).await.unwrap());
        apply(&store, &[Change::AddConnection(connection(id, "a"))], at(0)).await;
    }
    assert!(!store.has_room_for_connection(at(0)).await.unwrap());
    assert!(store.has_room_for_connection(at(1_000)).await.unwrap());
}

#[tokio::test]
async fn credentials_of_one_connection_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    apply(
        &store,
        &[Change::AddConnection(connection("c", "a"))],
        at(0),
    )
    .await;
    for (name, issued) in [("1", 1), ("2", 2), ("3", 3)] {
        let change = Change::AddCredential(credential(name, issued));
        assert_eq!(apply(&store, &[change], at(issued)).await, []);
    }
    let change = Change::AddCredential(credential("4", 4));
    assert_eq!(apply(&store, &[change], at(4)).await, [Digest::of("1")]);
}

#[tokio::test]
async fn ending_a_connection_tells_its_tokens_and_leaves_one_chore() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    let changes = [
        Change::AddConnection(connection("c", "a")),
        Change::AddCredential(credential("t", 1)),
    ];
    apply(&store, &changes, at(0)).await;
    let end = Change::EndConnection {
        connection: ConnectionId::new("c"),
        reason: EndReason::Revoked,
    };
    assert_eq!(
        apply(&store, std::slice::from_ref(&end), at(2)).await,
        [Digest::of("t")]
    );
    // It ends once.
    assert_eq!(apply(&store, &[end], at(3)).await, []);
    let due = store.due_chores(at(3), 10).await.unwrap();
    let close = Chore::Close {
        connection: ConnectionId::new("c"),
    };
    assert_eq!(
        due.iter().map(|due| &due.chore).collect::<Vec<_>>(),
        [&close]
    );
    let family = store
        .family(InstanceName::Prod, &Digest::of("t"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(family.connection.ended, Some(EndReason::Revoked));
}

#[tokio::test]
async fn chores_wait_longer_each_time_and_survive_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let chore = Chore::DropSlots {
        connection: ConnectionId::new("c"),
        slots: vec!["x".to_owned(), "y".to_owned()],
    };
    let store = open(directory.path()).await;
    apply(&store, &[Change::Chore(chore.clone())], at(0)).await;
    let due = store.due_chores(at(0), 10).await.unwrap();
    store.postpone_chores(&due, at(0)).await.unwrap();
    assert!(store.due_chores(at(1), 10).await.unwrap().is_empty());
    let due = store.due_chores(at(2), 10).await.unwrap();
    store.postpone_chores(&due, at(2)).await.unwrap();
    assert!(store.due_chores(at(5), 10).await.unwrap().is_empty());
    drop(store);
    let store = open(directory.path()).await;
    let due = store.due_chores(at(6), 10).await.unwrap();
    assert_eq!(due[0].chore, chore);
    store.finish_chores(&due).await.unwrap();
    assert!(store.due_chores(at(9_999), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_reaper_takes_what_is_over_and_keeps_what_detects_reuse() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    register(&store, &client("a", 0)).await;
    leave(&store, &pending("s", "a", 0)).await;
    let changes = [
        Change::AddConnection(connection("c", "a")),
        Change::AddCredential(credential("lapsed", 1)),
        Change::AddCredential(credential("spent", 2)),
        Change::Spend {
            hash: Digest::of("spent"),
            sealed: Vec::new(),
        },
    ];
    apply(&store, &changes, at(3)).await;
    store.reap(at(700)).await.unwrap();
    assert!(
        store
            .pending_connect(InstanceName::Beta, &Digest::of("s"))
            .await
            .unwrap()
            .is_none()
    );
    let due = store.due_chores(at(700), 10).await.unwrap();
    let forgotten = Chore::Close {
        connection: ConnectionId::new("connection"),
    };
    assert_eq!(
        due.iter().map(|due| &due.chore).collect::<Vec<_>>(),
        [&forgotten],
        "the signer forgets the sign-in too"
    );
    let known = async |name| {
        let family = store.family(InstanceName::Prod, &Digest::of(name)).await;
        family.unwrap().is_some()
    };
    assert!(!known("lapsed").await);
    assert!(known("spent").await);
    store.reap(at(1_000)).await.unwrap();
    assert!(!known("spent").await);
    // Its client has no connection left and may be evicted from now on.
    store.reap(at(1_001)).await.unwrap();
    for flood in 0..3 {
        register(&store, &client(&format!("flood {flood}"), 2_000)).await;
    }
    assert!(store.client("a").await.unwrap().is_none());
}

#[tokio::test]
async fn use_is_noted_and_never_set_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    apply(
        &store,
        &[Change::AddConnection(connection("c", "a"))],
        at(0),
    )
    .await;
    for seconds in [50, 20] {
        let mut transaction = store.begin().await.unwrap();
        transaction
            .note_use([(ConnectionId::new("c"), at(seconds))])
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }
    let noted: i64 = sqlx::query_scalar("SELECT last_used_at FROM connections")
        .fetch_one(&store.readers)
        .await
        .unwrap();
    assert_eq!(noted, 1_000_050);
}
