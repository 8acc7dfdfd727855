//! Acting as a user: from Internet Identity's chain to requests that the Internet Computer accepts.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use icgate_proto::Reason;
use icgate_signer::{
    Limits,
    connection::{AccessLevel, AccountName, NewSlot},
    envelope::{Invocation, Standing},
    vault::{NewSlotRow, Outer, SlotChange, SlotRecord, Store, StoreError, slot_id},
};
use serde_json::json;
use support::{Bearer, World, eventually, full, secret};

const ALICE: u64 = 10_000;
const BOB: u64 = 10_001;

#[tokio::test]
async fn acts_as_the_users_accounts() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, completed) = world.connect(&signer, ALICE).await;
    assert_eq!(completed.access, AccessLevel::All);
    assert!(completed.expires_at > world.in_minutes(50));

    let default = world
        .whoami(&signer, &bearer, AccountName::Default)
        .await
        .unwrap();
    assert_eq!(default, world.expected(ALICE, None).await);
    let named = AccountName::Name("savings".to_owned());
    let savings = world.whoami(&signer, &bearer, named.clone()).await.unwrap();
    assert_ne!(savings, default);

    let update = signer
        .sign(world.update(&bearer, named, "whoami_update"))
        .await
        .unwrap();
    assert_eq!(
        (update.rule.as_str(), update.envelope.sender),
        ("update", savings)
    );
    let request_id = update.envelope.request_id;
    let reply = world.send_update(update.envelope).await.unwrap();
    assert_eq!(
        candid::decode_args::<(candid::Principal,)>(&reply).unwrap(),
        (savings,)
    );

    let status = Invocation::ReadState { request_id };
    let status = world.request(&bearer, AccountName::Name("savings".to_owned()), status);
    let status = signer.sign(status).await.unwrap();
    let app = world.devnet.description().canisters.app;
    let request_id = ic_agent::RequestId::new(&request_id);
    let (status, _) = world
        .agent()
        .request_status_signed(&request_id, app, status.envelope.envelope)
        .await
        .unwrap();
    assert!(
        matches!(status, ic_agent::agent::RequestStatusResponse::Replied(_)),
        "{status:?}"
    );
}

#[tokio::test]
async fn a_wrong_account_is_answered_with_those_there_are() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let absent = AccountName::Name("pocket".to_owned());
    let error = world
        .whoami(&signer, &bearer, absent.clone())
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::AccountUnknown);
    assert!(error.message.contains("savings, work"), "{error}");

    // An account made since then is found although the list was kept.
    let account =
        json!({ "ii": "ii", "anchor": ALICE, "origin": support::APP_ORIGIN, "name": "pocket" });
    world.control("accounts", account).await;
    assert!(world.whoami(&signer, &bearer, absent).await.is_ok());
}

#[tokio::test]
async fn a_number_that_is_not_the_users_ends_nothing() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let error = world
        .whoami(&signer, &bearer, AccountName::Number(987_654))
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::AccountUnknown, "{error}");
    assert!(
        world
            .whoami(&signer, &bearer, AccountName::Default)
            .await
            .is_ok()
    );

    // A revoked grant is told apart from it.
    world
        .control("revoke", json!({ "ii": "ii", "anchor": ALICE }))
        .await;
    let error = world
        .whoami(&signer, &bearer, AccountName::Number(987_654))
        .await;
    assert_eq!(error.unwrap_err().reason, Reason::ConnectionEnded);
}

#[tokio::test]
async fn a_query_only_grant_signs_no_update() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, completed) = world
        .connect_with(&signer, ALICE, full(), json!({ "access": "queries" }))
        .await;
    assert_eq!(completed.access, AccessLevel::Queries);
    assert!(
        world
            .whoami(&signer, &bearer, AccountName::Default)
            .await
            .is_ok()
    );
    world.control("requests/reset", json!({})).await;
    let name = AccountName::Name("work".to_owned());
    let error = signer
        .sign(world.update(&bearer, name, "increment"))
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::AccessLevelExceeded);
    assert_eq!(world.count("mcp_prepare_delegation").await, 0);
}

#[tokio::test]
async fn the_ceiling_caps_what_the_user_granted() {
    let world = World::start().await;
    let signer = world.signer().await;
    let mut ceiling = full();
    ceiling.access = AccessLevel::Queries;
    ceiling.expires_at = Some(world.in_minutes(10));
    let (bearer, completed) = world.connect_with(&signer, ALICE, ceiling, json!({})).await;
    assert_eq!(
        (completed.access, Some(completed.expires_at)),
        (AccessLevel::Queries, ceiling.expires_at)
    );
    let error = signer
        .sign(world.update(&bearer, AccountName::Default, "increment"))
        .await;
    assert_eq!(error.unwrap_err().reason, Reason::AccessLevelExceeded);
    assert!(
        world
            .whoami(&signer, &bearer, AccountName::Default)
            .await
            .is_ok()
    );
    world.clock.advance(Duration::from_secs(601));
    let error = world
        .whoami(&signer, &bearer, AccountName::Default)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::ConnectionEnded);
    assert_eq!(
        signer
            .describe(&bearer.id, &bearer.secret)
            .await
            .unwrap()
            .standing,
        Standing::Ended
    );
}

#[tokio::test]
async fn a_chain_is_taken_only_from_internet_identity_for_this_connection() {
    let world = World::start().await;
    let signer = world.signer().await;
    for (fault, reason) in [
        ("tampered_signature", Reason::ChainInvalid),
        ("expired", Reason::ChainExpired),
        ("foreign_leaf", Reason::ChainForeignKey),
        ("other_server", Reason::RegistrationRefused),
    ] {
        let (begun, secret) = world.begin(&signer, full()).await;
        let how = json!({ "fault": fault });
        let chain = world.consent(&begun.registration_key, ALICE, how).await;
        let error = signer
            .complete(&begun.id, secret, &chain)
            .await
            .unwrap_err();
        assert_eq!(error.reason, reason, "{fault}: {error}");
    }
    // Another Internet Identity's chain.
    let (begun, secret) = world.begin(&signer, full()).await;
    let how = json!({ "ii": "ii_prod" });
    let mut chain = world.consent(&begun.registration_key, ALICE, how).await;
    let foreign = signer
        .complete(&begun.id, secret.clone(), &chain)
        .await
        .unwrap_err();
    assert_eq!(foreign.reason, Reason::ChainInvalid);
    // An altered first hop: the canister signature no longer holds.
    chain = world
        .consent(&begun.registration_key, ALICE, json!({}))
        .await;
    let mut altered: serde_json::Value = serde_json::from_str(&chain).unwrap();
    altered["delegations"][0]["delegation"]["expiration"] = json!("7fffffffffffffff");
    let error = signer
        .complete(&begun.id, secret.clone(), &altered.to_string())
        .await;
    assert_eq!(error.unwrap_err().reason, Reason::ChainInvalid);
    // After all that the honest chain is still taken.
    assert!(signer.complete(&begun.id, secret, &chain).await.is_ok());
}

#[tokio::test]
async fn an_old_answer_counts_for_nothing() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let dated = async |milliseconds: u64| {
        let fault = json!({ "kind": "old_certificate", "value": milliseconds });
        world.control("fault", fault).await;
    };
    dated(3 * 60_000 + 1_000).await;
    world.control("requests/reset", json!({})).await;
    let whoami = world.whoami(&signer, &bearer, AccountName::Default);
    let refused = whoami.await.unwrap_err();
    assert_eq!(refused.reason, Reason::IdentityUnavailable, "{refused}");
    // Nothing was asked for with what it said.
    assert_eq!(world.count("mcp_prepare_delegation").await, 1);
    assert_eq!(world.count("mcp_get_delegation").await, 0);

    dated(60_000).await;
    let whoami = world.whoami(&signer, &bearer, AccountName::Default);
    assert_eq!(whoami.await.unwrap(), world.expected(ALICE, None).await);
}

#[tokio::test]
async fn completing_again_or_at_once_registers_once() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (begun, secret) = world.begin(&signer, full()).await;
    let chain = world
        .consent(&begun.registration_key, ALICE, json!({}))
        .await;
    world.control("requests/reset", json!({})).await;
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let (signer, id) = (signer.clone(), begun.id.clone());
            let (secret, chain) = (secret.clone(), chain.clone());
            tokio::spawn(async move { signer.complete(&id, secret, &chain).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap().unwrap());
    }
    answers.push(
        signer
            .complete(&begun.id, secret.clone(), &chain)
            .await
            .unwrap(),
    );
    answers.dedup();
    assert_eq!(
        (answers.len(), world.count("mcp_register_v2").await),
        (1, 1)
    );

    let other = world
        .consent(&begun.registration_key, ALICE, json!({}))
        .await;
    let error = signer
        .complete(&begun.id, secret, &other)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::InvalidArgument);
}

#[tokio::test]
async fn one_delegation_serves_many_calls_and_is_renewed_before_it_lapses() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    world.control("requests/reset", json!({})).await;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (signer, request) = (
                signer.clone(),
                world.query(&bearer, AccountName::Default, "whoami"),
            );
            tokio::spawn(async move { signer.sign(request).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(world.count("mcp_prepare_delegation").await, 1);
    assert_eq!(world.count("mcp_get_delegation").await, 1);

    signer.renew_due().await;
    assert_eq!(world.count("mcp_prepare_delegation").await, 1);
    // Shortly before the five minutes are over, after a call not long ago.
    for seconds in [190, 60] {
        world.clock.advance(Duration::from_secs(seconds));
        signer
            .sign(world.query(&bearer, AccountName::Default, "whoami"))
            .await
            .unwrap();
    }
    assert_eq!(world.count("mcp_prepare_delegation").await, 1);
    signer.renew_due().await;
    assert_eq!(world.count("mcp_prepare_delegation").await, 2);
}

#[tokio::test]
async fn a_revoked_grant_ends_the_connection_for_good() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    world
        .control("revoke", json!({ "ii": "ii", "anchor": ALICE }))
        .await;
    world.control("requests/reset", json!({})).await;
    for _ in 0..3 {
        let error = world
            .whoami(&signer, &bearer, AccountName::Default)
            .await
            .unwrap_err();
        assert_eq!(error.reason, Reason::ConnectionEnded);
        assert!(error.message.contains("reconnect"), "{error}");
    }
    assert_eq!(world.count("mcp_prepare_delegation").await, 1, "no retries");
    let slot = NewSlot {
        secret: secret(),
        expires_at: world.in_minutes(5),
    };
    let error = signer
        .add_slots(&bearer.id, &bearer.secret, &[slot])
        .await
        .unwrap_err();
    assert_eq!(
        error.reason,
        Reason::ConnectionEnded,
        "no new credentials either"
    );

    signer.stop().await;
    let restarted = world.signer().await;
    let error = world
        .whoami(&restarted, &bearer, AccountName::Default)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::ConnectionEnded);
    assert_eq!(
        world.count("mcp_prepare_delegation").await,
        1,
        "the end is durable"
    );
}

#[tokio::test]
async fn signing_in_again_replaces_the_users_earlier_grant_and_nobody_elses() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (first, at_first) = world.connect(&signer, ALICE).await;
    let (bob, _) = world.connect(&signer, BOB).await;
    world
        .whoami(&signer, &first, AccountName::Default)
        .await
        .unwrap();
    let (second, at_second) = world.connect(&signer, ALICE).await;
    assert_eq!(at_second.user, at_first.user);
    assert_eq!(at_second.replaced, [first.id.as_str()]);
    // What Internet Identity no longer honours is not kept either.
    assert_eq!(world.rows("grant_keys").await, 2);
    let error = world
        .whoami(&signer, &first, AccountName::Default)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::ConnectionReplaced);
    for bearer in [&second, &bob] {
        assert!(
            world
                .whoami(&signer, bearer, AccountName::Default)
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn a_signer_without_network_says_so_and_recovers() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    world.is_cut.store(true, Ordering::SeqCst);
    let error = world
        .whoami(&signer, &bearer, AccountName::Default)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::IdentityUnavailable);
    assert!(error.reason.is_retryable());
    world.is_cut.store(false, Ordering::SeqCst);
    assert!(
        world
            .whoami(&signer, &bearer, AccountName::Default)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn answers_that_were_tampered_with_are_not_believed() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let ii = world.devnet.description().canisters.ii.to_text();
    for kind in ["query_signature", "certificate", "foreign_subnet"] {
        world.control("fault", json!({ "kind": "none" })).await;
        let canister = (kind != "foreign_subnet").then_some(&ii);
        world
            .control("fault", json!({ "kind": kind, "canister": canister }))
            .await;
        let error = world
            .whoami(&signer, &bearer, AccountName::Default)
            .await
            .unwrap_err();
        assert_eq!(error.reason, Reason::IdentityUnexpected, "{kind}");
    }
    world.control("fault", json!({ "kind": "none" })).await;
    assert!(
        world
            .whoami(&signer, &bearer, AccountName::Default)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn connections_survive_a_restart_and_a_new_master_key() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, completed) = world.connect(&signer, ALICE).await;
    let before = world
        .whoami(&signer, &bearer, AccountName::Default)
        .await
        .unwrap();
    let (begun, pending) = world.begin(&signer, full()).await;
    signer.stop().await;

    let rotated = Outer::new(World::master_key("2", 2), vec![World::master_key("1", 1)]);
    let signer = world.signer_with(Limits::default(), rotated).await;
    assert_eq!(
        world.whoami(&signer, &bearer, AccountName::Default).await,
        Ok(before)
    );
    signer.stop().await;

    // The old generation is not needed any more: every record is under the new one.
    let only_new = Outer::new(World::master_key("2", 2), Vec::new());
    let signer = world.signer_with(Limits::default(), only_new).await;
    assert_eq!(
        world.whoami(&signer, &bearer, AccountName::Default).await,
        Ok(before)
    );
    let described = signer.describe(&bearer.id, &bearer.secret).await.unwrap();
    assert_eq!(described.user, Some(completed.user));
    let chain = world.consent(&begun.registration_key, BOB, json!({})).await;
    assert!(signer.complete(&begun.id, pending, &chain).await.is_ok());
}

#[tokio::test]
async fn the_database_with_its_master_key_opens_nothing_without_a_secret() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let stranger = Bearer {
        id: bearer.id.clone(),
        secret: secret(),
    };
    let error = world
        .whoami(&signer, &stranger, AccountName::Default)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::SecretRefused);
    // Warm or not, wrong secret or no such connection: the same answer.
    world
        .whoami(&signer, &bearer, AccountName::Default)
        .await
        .unwrap();
    let nowhere = Bearer {
        id: world.begin(&signer, full()).await.0.id,
        secret: secret(),
    };
    for stranger in [&stranger, &nowhere] {
        assert_eq!(
            world.whoami(&signer, stranger, AccountName::Default).await,
            Err(error.clone())
        );
    }
    signer.stop().await;
    // A thief's copy of database and master key.
    let thief = world.signer().await;
    assert_eq!(
        world.whoami(&thief, &stranger, AccountName::Default).await,
        Err(error)
    );
}

#[tokio::test]
async fn slots_give_and_take_access() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (first, _) = world.connect(&signer, ALICE).await;
    let second = Bearer {
        id: first.id.clone(),
        secret: secret(),
    };
    let slot = |minutes| NewSlot {
        secret: second.secret.clone(),
        expires_at: world.in_minutes(minutes),
    };
    let error = signer
        .add_slots(&first.id, &second.secret, &[slot(5)])
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::SecretRefused);
    let ids = signer
        .add_slots(&first.id, &first.secret, &[slot(5)])
        .await
        .unwrap();
    assert_eq!(
        signer
            .add_slots(&first.id, &first.secret, &[slot(60)])
            .await
            .unwrap(),
        ids
    );
    for bearer in [&first, &second] {
        assert!(
            world
                .whoami(&signer, bearer, AccountName::Default)
                .await
                .is_ok()
        );
    }
    // At once, also while the connection is open in memory; the other credential works on.
    signer.drop_slots(&first.id, &ids).await.unwrap();
    signer.drop_slots(&first.id, &ids).await.unwrap();
    let error = world
        .whoami(&signer, &second, AccountName::Default)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::SecretRefused);
    assert!(
        world
            .whoami(&signer, &first, AccountName::Default)
            .await
            .is_ok()
    );

    signer
        .add_slots(&first.id, &first.secret, &[slot(5)])
        .await
        .unwrap();
    assert!(
        world
            .whoami(&signer, &second, AccountName::Default)
            .await
            .is_ok()
    );
    world.clock.advance(Duration::from_secs(301));
    let error = world
        .whoami(&signer, &second, AccountName::Default)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::SecretRefused, "a slot lapses");
}

#[tokio::test]
async fn lapsed_slots_take_no_room_and_do_not_stay() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let slots = |count| -> Vec<NewSlot> {
        let slot = |_| NewSlot {
            secret: secret(),
            expires_at: world.in_minutes(1),
        };
        (0..count).map(slot).collect()
    };
    let add = async |count| {
        let slots = slots(count);
        let added = signer.add_slots(&bearer.id, &bearer.secret, &slots).await;
        added.map(|ids| ids.len())
    };
    assert_eq!(add(64).await, Ok(64));
    assert_eq!(add(64).await, Ok(64));
    assert_eq!(world.rows("slots").await, 96);
    assert_eq!(add(65).await.unwrap_err().reason, Reason::InvalidArgument);
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(add(10).await, Ok(10));
    assert_eq!(world.rows("slots").await, 11);

    world.clock.advance(Duration::from_secs(61));
    let upkeep = tokio::spawn(Arc::clone(&signer).keep_up());
    eventually("the key in a lapsed slot is forgotten", || async {
        world.rows("slots").await == 1
    })
    .await;
    upkeep.abort();
}

#[tokio::test]
async fn a_slot_dropped_meanwhile_adds_none() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let file = world.dir.path().join("signer.db");
    let store = Store::open(&file, World::outer()).await.unwrap();
    let by = slot_id(bearer.id.as_str(), &bearer.secret);
    let rows = [NewSlotRow {
        id: "new".to_owned(),
        record: SlotRecord {
            sealed: Vec::new(),
            expires_at: world.in_minutes(5),
        },
    }];
    let add = || {
        let change = SlotChange {
            added: &rows,
            dropped: &[],
            cap: 64,
            now: world.clock.now(),
        };
        store.exchange_slots(bearer.id.as_str(), &by, change)
    };
    assert!(add().await.is_ok());
    let dropped = [by.clone()];
    signer.drop_slots(&bearer.id, &dropped).await.unwrap();
    assert!(matches!(add().await, Err(StoreError::NoConnection)));
}

#[tokio::test]
async fn a_closed_connection_is_gone() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    world
        .whoami(&signer, &bearer, AccountName::Default)
        .await
        .unwrap();
    signer.close(&bearer.id).await.unwrap();
    signer.close(&bearer.id).await.unwrap();
    let error = world
        .whoami(&signer, &bearer, AccountName::Default)
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::SecretRefused);
    let late = NewSlot {
        secret: secret(),
        expires_at: world.in_minutes(5),
    };
    let error = signer
        .add_slots(&bearer.id, &bearer.secret, &[late])
        .await
        .unwrap_err();
    assert_eq!(error.reason, Reason::SecretRefused);
}

#[tokio::test]
async fn pending_connections_are_bounded_and_never_push_out_a_live_one() {
    let world = World::start().await;
    let limits = Limits {
        pending_connections: 3,
        ..Limits::default()
    };
    let signer = world.signer_with(limits, World::outer()).await;
    let (live, _) = world.connect(&signer, ALICE).await;
    let mut begun = Vec::new();
    for _ in 0..5 {
        let (begun_now, secret) = world.begin(&signer, full()).await;
        begun.push((begun_now.id, secret));
    }
    for (number, (id, secret)) in begun.iter().enumerate() {
        assert_eq!(
            signer.describe(id, secret).await.is_ok(),
            number >= 2,
            "{number}"
        );
    }
    let request = world.query(
        &Bearer {
            id: begun[4].0.clone(),
            secret: begun[4].1.clone(),
        },
        AccountName::Default,
        "whoami",
    );
    assert_eq!(
        signer.sign(request).await.unwrap_err().reason,
        Reason::ConnectionPending
    );
    assert!(
        world
            .whoami(&signer, &live, AccountName::Default)
            .await
            .is_ok()
    );

    world.clock.advance(Duration::from_secs(15 * 60));
    let (id, secret) = &begun[4];
    assert_eq!(
        signer.describe(id, secret).await.unwrap_err().reason,
        Reason::SecretRefused
    );
}

#[tokio::test]
async fn a_connection_whose_user_is_slow_delays_nobody() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (alice, _) = world.connect(&signer, ALICE).await;
    let (bob, _) = world.connect(&signer, BOB).await;
    world
        .whoami(&signer, &bob, AccountName::Default)
        .await
        .unwrap();
    let ii = world.devnet.description().canisters.ii.to_text();
    world
        .control(
            "fault",
            json!({ "kind": "slow_ms", "value": 3000, "canister": ii }),
        )
        .await;
    let (slow, request) = (
        signer.clone(),
        world.query(&alice, AccountName::Default, "whoami"),
    );
    let slow = tokio::spawn(async move { slow.sign(request).await });
    eventually("the slow call is under way", || async {
        world.count("mcp_prepare_delegation").await >= 2
    })
    .await;
    let quick = signer
        .sign(world.query(&bob, AccountName::Default, "whoami"))
        .await;
    assert!(quick.is_ok() && !slow.is_finished());
    assert!(slow.await.unwrap().is_ok());
}
