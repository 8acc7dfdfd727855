//! Several connections of one user: those that go on after another sign-in, and those branched from one.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::{sync::Arc, time::Duration};

use icgate_proto::{Reason, SignerError};
use icgate_signer::{
    Limits, Signer,
    clock::MINUTE,
    connection::{AccessLevel, AccountName, Branched, Ceiling, NewSlot, Scopes},
    envelope::Standing,
};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;
use support::{Bearer, World, eventually, full, secret};

const ALICE: u64 = 10_000;
const BOB: u64 = 10_001;

async fn acts(world: &World, signer: &Arc<Signer>, bearer: &Bearer) -> Result<(), SignerError> {
    let who = world.whoami(signer, bearer, AccountName::Default).await?;
    assert_eq!(who, world.expected(ALICE, None).await);
    Ok(())
}

async fn reason(world: &World, signer: &Arc<Signer>, bearer: &Bearer) -> Option<Reason> {
    let acted = world.whoami(signer, bearer, AccountName::Default).await;
    acted.err().map(|error| error.reason)
}

/// Which of these connections go on.
async fn goes_on(signer: &Signer, by: &Bearer, of: &[&Bearer]) -> Result<Vec<String>, SignerError> {
    let ids: Vec<String> = of.iter().map(|it| it.id.as_str().to_owned()).collect();
    let continued = signer
        .continue_connections(&by.id, &by.secret, &ids)
        .await?;
    Ok(continued.into_iter().map(|it| it.id).collect())
}

async fn branch(
    world: &World,
    signer: &Signer,
    from: &Bearer,
    ceiling: Ceiling,
) -> Result<(Bearer, Branched), SignerError> {
    let slot = NewSlot {
        secret: secret(),
        expires_at: world.in_minutes(600),
    };
    let own = slot.secret.clone();
    let branched = signer.branch(&from.id, &from.secret, ceiling, slot).await?;
    let bearer = Bearer {
        id: branched.id.clone(),
        secret: own,
    };
    Ok((bearer, branched))
}

#[tokio::test]
async fn only_what_was_chosen_goes_on_and_its_bearer_need_not_be_there() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (first, _) = world.connect(&signer, ALICE).await;
    acts(&world, &signer, &first).await.unwrap();
    let (left, _) = branch(&world, &signer, &first, full()).await.unwrap();
    acts(&world, &signer, &left).await.unwrap();
    let (second, completed) = world.connect(&signer, ALICE).await;
    assert_eq!(completed.replaced.len(), 2);
    // Until the user has said so, both wait, and neither is over.
    for bearer in [&first, &left] {
        let error = world
            .whoami(&signer, bearer, AccountName::Default)
            .await
            .unwrap_err();
        assert_eq!(error.reason, Reason::ConnectionReplaced);
        assert!(error.reason.is_retryable());
    }
    // The secret of the first is not needed, and a repetition changes nothing.
    for _ in 0..2 {
        let continued = goes_on(&signer, &second, &[&first, &first]).await.unwrap();
        assert_eq!(continued, [first.id.as_str()]);
    }
    acts(&world, &signer, &first).await.unwrap();
    acts(&world, &signer, &second).await.unwrap();
    assert_eq!(
        reason(&world, &signer, &left).await,
        Some(Reason::ConnectionReplaced)
    );

    // Durable when it was answered.
    signer.stop().await;
    let signer = world.signer().await;
    acts(&world, &signer, &first).await.unwrap();

    // Nobody chose the other one: it is over, and what opened it is gone.
    world.clock.advance(Duration::from_secs(15 * 60 + 1));
    assert_eq!(
        reason(&world, &signer, &left).await,
        Some(Reason::ConnectionEnded)
    );
    assert_eq!(goes_on(&signer, &second, &[&left]).await.unwrap(), [""; 0]);
    let upkeep = tokio::spawn(Arc::clone(&signer).keep_up());
    eventually("what was not continued is forgotten", || async {
        world.rows("connections").await == 2
    })
    .await;
    upkeep.abort();
    assert_eq!(
        (
            world.rows("slots").await,
            world.rows("grants").await,
            world.rows("grant_keys").await
        ),
        (2, 1, 2)
    );
    let described = signer.describe(&first.id, &first.secret).await.unwrap();
    assert_eq!(described.standing, Standing::Live);
}

#[tokio::test]
async fn the_earlier_end_and_the_lower_level_hold() {
    let world = World::start().await;
    let signer = world.signer().await;
    let mut ceiling = full();
    ceiling.expires_at = Some(world.in_minutes(5));
    let (brief, _) = world.connect_with(&signer, ALICE, ceiling, json!({})).await;
    let (long, _) = branch(&world, &signer, &brief, full()).await.unwrap();
    let (second, at_second) = world
        .connect_with(&signer, ALICE, full(), json!({ "access": "queries" }))
        .await;
    let ids: Vec<String> = [&brief, &long]
        .iter()
        .map(|it| it.id.as_str().to_owned())
        .collect();
    let continued = signer
        .continue_connections(&second.id, &second.secret, &ids)
        .await
        .unwrap();
    for one in &continued {
        assert_eq!(one.access, AccessLevel::Queries);
        assert!(one.expires_at <= ceiling.expires_at.unwrap());
        assert!(one.expires_at <= at_second.expires_at);
    }
    assert_eq!(continued.len(), 2);
    let update = signer.sign(world.update(&brief, AccountName::Default, "increment"));
    assert_eq!(
        update.await.unwrap_err().reason,
        Reason::AccessLevelExceeded
    );
    acts(&world, &signer, &brief).await.unwrap();

    // A later sign-in that allows more does not raise it again.
    let (third, _) = world.connect(&signer, ALICE).await;
    assert_eq!(goes_on(&signer, &third, &[&brief]).await.unwrap().len(), 1);
    let update = signer.sign(world.update(&brief, AccountName::Default, "increment"));
    assert_eq!(
        update.await.unwrap_err().reason,
        Reason::AccessLevelExceeded
    );
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(
        reason(&world, &signer, &brief).await,
        Some(Reason::ConnectionEnded)
    );
    let described = signer.describe(&third.id, &third.secret).await.unwrap();
    assert_eq!(described.standing, Standing::Live);
}

#[tokio::test]
async fn nobody_elses_connection_is_continued() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (bob, _) = world.connect(&signer, BOB).await;
    let (bob_again, _) = world.connect(&signer, BOB).await;
    let (first, _) = world.connect(&signer, ALICE).await;
    let (second, _) = world.connect(&signer, ALICE).await;
    // Bob's, one that replaced nothing of hers, and one that was never there.
    let nowhere = Bearer {
        id: world.begin(&signer, full()).await.0.id,
        secret: secret(),
    };
    for (by, of) in [
        (&second, &bob),
        (&second, &bob_again),
        (&second, &second),
        (&second, &nowhere),
        (&bob_again, &first),
    ] {
        assert_eq!(goes_on(&signer, by, &[of]).await.unwrap(), [""; 0]);
    }
    // Neither the replaced connection's own secret opens the way, nor somebody else's.
    for (id, secret, expected) in [
        (&first.id, &first.secret, Reason::ConnectionReplaced),
        (&second.id, &first.secret, Reason::SecretRefused),
    ] {
        let ids = [first.id.as_str().to_owned()];
        let refused = signer.continue_connections(id, secret, &ids).await;
        assert_eq!(refused.unwrap_err().reason, expected);
    }
    let many = vec![first.id.as_str().to_owned(); 65];
    let refused = signer
        .continue_connections(&second.id, &second.secret, &many)
        .await;
    assert_eq!(refused.unwrap_err().reason, Reason::InvalidArgument);
    assert_eq!(
        reason(&world, &signer, &bob).await,
        Some(Reason::ConnectionReplaced)
    );
}

#[tokio::test]
async fn what_was_revoked_stays_revoked() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (first, _) = world.connect(&signer, ALICE).await;
    world
        .control("revoke", json!({ "ii": "ii", "anchor": ALICE }))
        .await;
    assert_eq!(
        reason(&world, &signer, &first).await,
        Some(Reason::ConnectionEnded)
    );
    let (second, completed) = world.connect(&signer, ALICE).await;
    assert_eq!(completed.replaced, [""; 0]);
    assert_eq!(goes_on(&signer, &second, &[&first]).await.unwrap(), [""; 0]);
    assert_eq!(
        reason(&world, &signer, &first).await,
        Some(Reason::ConnectionEnded)
    );

    // What was closed is not there to go on, and a grant that ended since continues nothing.
    let (third, _) = world.connect(&signer, ALICE).await;
    signer.close(&second.id).await.unwrap();
    assert_eq!(goes_on(&signer, &third, &[&second]).await.unwrap(), [""; 0]);
    let (fourth, _) = world.connect(&signer, ALICE).await;
    world
        .control("revoke", json!({ "ii": "ii", "anchor": ALICE }))
        .await;
    assert_eq!(
        reason(&world, &signer, &fourth).await,
        Some(Reason::ConnectionEnded)
    );
    let refused = goes_on(&signer, &fourth, &[&third]).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ConnectionEnded);
}

/// Interferes with the next call of a method of Internet Identity.
async fn interfere(world: &World, method: &str, action: &str) {
    let canister = world.devnet.description().canisters.ii.to_text();
    let order = json!({ "canister": canister, "method": method, "action": action });
    world.control("interfere", order).await;
}

/// Waits until a call is held.
async fn held(world: &World) {
    let look = || async { world.look("held").await["held"] == 1 };
    eventually("a call is held", look).await;
}

#[tokio::test]
async fn a_grant_that_a_sign_in_has_just_replaced_is_not_ended_as_if_it_were_revoked() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (first, _) = world.connect(&signer, ALICE).await;
    // Internet Identity has registered the new key, and the signer does not know yet.
    interfere(&world, "mcp_register_v2", "hold_after").await;
    let meanwhile = async {
        held(&world).await;
        let error = world.whoami(&signer, &first, AccountName::Default).await;
        world.control("release", json!({})).await;
        error.unwrap_err()
    };
    let ((second, completed), error) = tokio::join!(world.connect(&signer, ALICE), meanwhile);
    assert_eq!(error.reason, Reason::ConnectionReplaced);
    assert_eq!(completed.replaced, [first.id.as_str()]);
    assert_eq!(goes_on(&signer, &second, &[&first]).await.unwrap().len(), 1);
    acts(&world, &signer, &first).await.unwrap();
}

#[tokio::test]
async fn a_call_under_way_when_its_grant_is_replaced_does_not_end_it() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (first, _) = world.connect(&signer, ALICE).await;
    interfere(&world, "mcp_prepare_delegation", "hold_before").await;
    let second = async {
        held(&world).await;
        let (second, _) = world.connect(&signer, ALICE).await;
        world.control("release", json!({})).await;
        second
    };
    let under_way = world.whoami(&signer, &first, AccountName::Default);
    let (error, second) = tokio::join!(under_way, second);
    assert_eq!(error.unwrap_err().reason, Reason::ConnectionReplaced);
    assert_eq!(goes_on(&signer, &second, &[&first]).await.unwrap().len(), 1);
    acts(&world, &signer, &first).await.unwrap();
}

#[tokio::test]
async fn what_was_revoked_ends_although_somebody_signs_in_all_the_time() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (first, _) = world.connect(&signer, ALICE).await;
    acts(&world, &signer, &first).await.unwrap();
    world.begin(&signer, full()).await;
    world
        .control("revoke", json!({ "ii": "ii", "anchor": ALICE }))
        .await;
    // Another app, so that Internet Identity has to be asked.
    let number = AccountName::Number(987_654);
    let asked = world.whoami(&signer, &first, number).await;
    assert_eq!(asked.unwrap_err().reason, Reason::ConnectionReplaced);
    // What was at hand is not used in doubt.
    assert_eq!(
        reason(&world, &signer, &first).await,
        Some(Reason::ConnectionReplaced)
    );
    world.clock.advance(Duration::from_secs(31));
    world.begin(&signer, full()).await;
    for _ in 0..2 {
        assert_eq!(
            reason(&world, &signer, &first).await,
            Some(Reason::ConnectionEnded)
        );
    }
}

#[tokio::test]
async fn a_third_sign_in_asks_again_about_what_the_second_left_open() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (first, _) = world.connect(&signer, ALICE).await;
    let (second, _) = world.connect(&signer, ALICE).await;
    let (third, completed) = world.connect(&signer, ALICE).await;
    let mut replaced = completed.replaced;
    replaced.sort();
    let mut expected = [first.id.as_str(), second.id.as_str()];
    expected.sort_unstable();
    assert_eq!(replaced, expected);
    let refused = goes_on(&signer, &second, &[&first]).await.unwrap_err();
    assert_eq!(refused.reason, Reason::ConnectionReplaced);
    assert_eq!(goes_on(&signer, &third, &[&first]).await.unwrap().len(), 1);
    acts(&world, &signer, &first).await.unwrap();
    assert_eq!(
        reason(&world, &signer, &second).await,
        Some(Reason::ConnectionReplaced)
    );
}

#[tokio::test]
async fn a_branch_acts_by_itself_within_its_ceiling() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (first, completed) = world.connect(&signer, ALICE).await;
    let ceiling = Ceiling {
        scopes: Scopes {
            read: true,
            ..Scopes::default()
        },
        access: AccessLevel::Queries,
        expires_at: Some(world.in_minutes(10)),
    };
    let (branched, answer) = branch(&world, &signer, &first, ceiling).await.unwrap();
    assert_eq!(
        (Some(answer.expires_at), answer.access),
        (ceiling.expires_at, AccessLevel::Queries)
    );
    acts(&world, &signer, &branched).await.unwrap();
    let update = signer.sign(world.update(&branched, AccountName::Default, "increment"));
    assert!(matches!(
        update.await.unwrap_err().reason,
        Reason::AccessLevelExceeded | Reason::ScopeExceeded
    ));
    let described = signer
        .describe(&branched.id, &branched.secret)
        .await
        .unwrap();
    assert_eq!(described.standing, Standing::Live);
    assert_eq!(described.user, Some(completed.user));

    // More than it has it cannot give away.
    let refused = branch(&world, &signer, &branched, full()).await;
    assert_eq!(refused.unwrap_err().reason, Reason::InvalidArgument);
    // Neither secret opens the other; the end of one is not the end of the other; a restart changes nothing.
    for (id, secret) in [(&branched.id, &first.secret), (&first.id, &branched.secret)] {
        let refused = signer.describe(id, secret).await.unwrap_err();
        assert_eq!(refused.reason, Reason::SecretRefused);
    }
    signer.close(&first.id).await.unwrap();
    signer.stop().await;
    let signer = world.signer().await;
    acts(&world, &signer, &branched).await.unwrap();
    world.clock.advance(Duration::from_secs(601));
    assert_eq!(
        reason(&world, &signer, &branched).await,
        Some(Reason::ConnectionEnded)
    );
}

#[tokio::test]
async fn nothing_branches_from_what_is_not_live() {
    let world = World::start().await;
    let signer = world.signer().await;
    let (begun, pending) = world.begin(&signer, full()).await;
    let pending = Bearer {
        id: begun.id,
        secret: pending,
    };
    let refused = branch(&world, &signer, &pending, full()).await;
    assert_eq!(refused.unwrap_err().reason, Reason::ConnectionPending);
    signer.close(&pending.id).await.unwrap();
    let (first, _) = world.connect(&signer, ALICE).await;
    let (second, _) = world.connect(&signer, ALICE).await;
    let refused = branch(&world, &signer, &first, full()).await;
    assert_eq!(refused.unwrap_err().reason, Reason::ConnectionReplaced);
    world
        .control("revoke", json!({ "ii": "ii", "anchor": ALICE }))
        .await;
    assert_eq!(
        reason(&world, &signer, &second).await,
        Some(Reason::ConnectionEnded)
    );
    let refused = branch(&world, &signer, &second, full()).await;
    assert_eq!(refused.unwrap_err().reason, Reason::ConnectionEnded);
    let stranger = Bearer {
        secret: secret(),
        ..second
    };
    let refused = branch(&world, &signer, &stranger, full()).await;
    assert_eq!(refused.unwrap_err().reason, Reason::SecretRefused);
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_connections() {
    let world = World::start().await;
    let limits = Limits {
        connections_per_grant: 3,
        ..Limits::default()
    };
    let signer = world.signer_with(limits, World::outer()).await;
    let (first, _) = world.connect(&signer, ALICE).await;
    let (second, _) = branch(&world, &signer, &first, full()).await.unwrap();
    let (third, _) = branch(&world, &signer, &first, full()).await.unwrap();
    let refused = branch(&world, &signer, &first, full()).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Overloaded);
    assert!(refused.message.contains("end one first"), "{refused}");
    // Nobody else is in the way of it, and what ends makes room.
    let (bob, _) = world.connect(&signer, BOB).await;
    branch(&world, &signer, &bob, full()).await.unwrap();
    signer.close(&third.id).await.unwrap();
    let (third, _) = branch(&world, &signer, &first, full()).await.unwrap();

    let (again, _) = world.connect(&signer, ALICE).await;
    let all = [&first, &second, &third];
    let refused = goes_on(&signer, &again, &all).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Overloaded);
    assert_eq!(
        goes_on(&signer, &again, &all[..2]).await.unwrap().len(),
        2,
        "all or none"
    );
}

/// Whatever ceilings are asked for, one after another: no branch ever permits more than what it was branched from.
#[test]
fn no_chain_of_branches_widens_anything() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (world, signer, root) = runtime.block_on(async {
        let world = World::start().await;
        let limits = Limits {
            connections_per_grant: 10_000,
            ..Limits::default()
        };
        let signer = world.signer_with(limits, World::outer()).await;
        let (root, _) = world.connect(&signer, ALICE).await;
        (world, signer, root)
    });
    let now = world.clock.now();
    let ceiling = (
        any::<[bool; 3]>(),
        any::<bool>(),
        proptest::option::of(1..90u64),
    )
        .prop_map(move |([read, write, manage], all, minutes)| Ceiling {
            scopes: Scopes {
                read,
                write,
                manage,
            },
            access: if all {
                AccessLevel::All
            } else {
                AccessLevel::Queries
            },
            expires_at: minutes.map(|minutes| now + minutes * MINUTE),
        });
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&proptest::collection::vec(ceiling, 1..6), |ceilings| {
            runtime.block_on(async {
                let mut from = root.clone();
                for ceiling in ceilings {
                    let before = signer.describe(&from.id, &from.secret).await.unwrap();
                    let allowed = ceiling.within(&before.ceiling);
                    let made = branch(&world, &signer, &from, ceiling).await;
                    prop_assert_eq!(made.is_ok(), allowed);
                    let Ok((bearer, answer)) = made else { continue };
                    let after = signer.describe(&bearer.id, &bearer.secret).await.unwrap();
                    prop_assert!(after.access <= before.access && after.access <= ceiling.access);
                    prop_assert!(after.expires_at <= before.expires_at);
                    prop_assert!(ceiling.expires_at.is_none_or(|end| after.expires_at <= end));
                    prop_assert_eq!(answer.expires_at, after.expires_at);
                    prop_assert!(after.ceiling.within(&before.ceiling));
                    from = bearer;
                }
                Ok(())
            })
        })
        .unwrap();
}
