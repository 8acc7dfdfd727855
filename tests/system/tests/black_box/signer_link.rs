//! The signer by itself, as a service with a client certificate sees it.

use icgate_proto::{
    Link, Reason, SignerClient,
    v1::{
        AccountSelector, CloseRequest, ConnectionState, DescribeRequest, DropSlotsRequest,
        GetPrincipalRequest, NewSlot, SignQueryRequest, SignUpdateRequest,
        sign_stream_request::Call,
    },
};
use icgate_system::{Consent, Instance, SignerConnection, Stack, nanoseconds_from_now};

const ORIGIN: &str = "https://app.example";

async fn connected(stack: &Stack, client: &SignerClient, consent: &Consent) -> SignerConnection {
    let secret = SignerConnection::secret("cookie");
    let connection = SignerConnection::begin(client, Instance::Beta, secret)
        .await
        .expect("begin");
    let chain = connection
        .consent(&stack.devnet, stack.gateway.url(), consent)
        .await;
    connection.complete(client, &chain).await.expect("complete");
    connection
}

fn account() -> Option<AccountSelector> {
    Some(AccountSelector {
        origin: ORIGIN.to_owned(),
        account: None,
    })
}

#[tokio::test]
async fn the_wrong_secret_opens_nothing() {
    let stack = Stack::start().await;
    let client = stack.signer.client();
    let connection = connected(&stack, &client, &Consent::default()).await;
    let wrong = SignerConnection::secret("somebody else's");
    let mut stranger = connection.clone();
    stranger.id = "AAAAAAAAAAAAAAAAAAAAAA".to_owned();
    stack.devnet.reset_requests().await;
    for reference in [connection.opened_by(&wrong), stranger.reference()] {
        let describe = DescribeRequest {
            connection: reference.clone(),
        };
        let first = client.describe(describe).await.expect_err("describe");
        let request = GetPrincipalRequest {
            connection: reference.clone(),
            account: account(),
        };
        let second = client
            .get_principal(request)
            .await
            .expect_err("get_principal");
        let query = SignQueryRequest {
            connection: reference,
            account: account(),
            canister_id: stack.devnet.principal("app").as_slice().to_vec(),
            method: "whoami".to_owned(),
            arg: b"DIDL\0\0".to_vec(),
            ingress_expiry_ns: 0,
        };
        let third = client
            .sign(Call::Query(query.clone()))
            .await
            .expect_err("sign on the stream");
        let fourth = client
            .sign_unary(Call::Query(query))
            .await
            .expect_err("sign unary");
        for error in [first, second, third, fourth] {
            assert_eq!(error.reason, Reason::SecretRefused, "{error}");
        }
    }
    let asked = stack.devnet.requests().await;
    assert!(
        asked.is_empty(),
        "nobody is asked for a stranger: {asked:?}"
    );
}

#[tokio::test]
async fn hostile_chains_are_refused_each_for_its_reason() {
    let stack = Stack::start().await;
    let client = stack.signer.client();
    let cases = [
        ("tampered_signature", Reason::ChainInvalid),
        ("expired", Reason::ChainExpired),
        ("foreign_leaf", Reason::ChainForeignKey),
        ("other_server", Reason::RegistrationRefused),
    ];
    for (fault, reason) in cases {
        let secret = SignerConnection::secret(fault);
        let connection = SignerConnection::begin(&client, Instance::Beta, secret)
            .await
            .expect("begin");
        let hostile = Consent {
            fault: Some(fault),
            ..Consent::default()
        };
        let chain = connection
            .consent(&stack.devnet, stack.gateway.url(), &hostile)
            .await;
        let error = connection.complete(&client, &chain).await.expect_err(fault);
        assert_eq!(error.reason, reason, "{fault}: {error}");
    }
}

#[tokio::test]
async fn a_chain_of_the_other_internet_identity_is_refused() {
    let stack = Stack::start().await;
    let client = stack.signer.client();
    let begin = |instance, name: &str| {
        SignerConnection::begin(&client, instance, SignerConnection::secret(name))
    };
    let beta = begin(Instance::Beta, "beta").await.expect("begin");
    let prod = begin(Instance::Prod, "prod").await.expect("begin");
    let chain = prod
        .consent(&stack.devnet, stack.gateway.url(), &Consent::default())
        .await;
    let error = beta
        .complete(&client, &chain)
        .await
        .expect_err("a foreign chain");
    assert_eq!(error.reason, Reason::ChainForeignKey, "{error}");
}

#[tokio::test]
async fn a_read_only_connection_signs_no_update() {
    let stack = Stack::start().await;
    let client = stack.signer.client();
    let read_only = Consent {
        access: "queries",
        ..Consent::default()
    };
    let connection = connected(&stack, &client, &read_only).await;
    let update = SignUpdateRequest {
        connection: connection.reference(),
        account: account(),
        canister_id: stack.devnet.principal("app").as_slice().to_vec(),
        method: "increment".to_owned(),
        arg: b"DIDL\0\0".to_vec(),
        ingress_expiry_ns: 0,
        nonce: Vec::new(),
        approval: None,
    };
    let error = client
        .sign(Call::Update(update))
        .await
        .expect_err("an update");
    assert!(
        matches!(
            error.reason,
            Reason::AccessLevelExceeded | Reason::ScopeExceeded
        ),
        "{error}"
    );
}

#[tokio::test]
async fn slots_open_and_close_a_connection() {
    let stack = Stack::start().await;
    let client = stack.signer.client();
    let connection = connected(&stack, &client, &Consent::default()).await;
    let token = SignerConnection::secret("token");
    let slots = icgate_proto::v1::AddSlotsRequest {
        connection: connection.reference(),
        slots: vec![NewSlot {
            secret: token.to_wire(),
            expires_at_ns: nanoseconds_from_now(3600),
        }],
        drop_slot_ids: Vec::new(),
    };
    let added = client.add_slots(slots.clone()).await.expect("add a slot");
    let again = client.add_slots(slots).await.expect("add it again");
    assert_eq!(added.slot_ids, again.slot_ids);

    let describe = || DescribeRequest {
        connection: connection.opened_by(&token),
    };
    let described = client
        .describe(describe())
        .await
        .expect("describe by token");
    assert_eq!(described.state(), ConnectionState::Live);

    let drop = DropSlotsRequest {
        connection_id: connection.id.clone(),
        slot_ids: added.slot_ids,
    };
    client.drop_slots(drop).await.expect("drop the slot");
    let error = client
        .describe(describe())
        .await
        .expect_err("a dropped slot");
    assert_eq!(error.reason, Reason::SecretRefused);

    let close = || CloseRequest {
        connection_id: connection.id.clone(),
    };
    client.close(close()).await.expect("close");
    client.close(close()).await.expect("close twice");
    let request = DescribeRequest {
        connection: connection.reference(),
    };
    match client.describe(request).await {
        Ok(described) => assert_eq!(described.state(), ConnectionState::Ended),
        Err(error) => assert!(
            matches!(
                error.reason,
                Reason::SecretRefused | Reason::ConnectionEnded
            ),
            "{error}"
        ),
    }
}

#[tokio::test]
async fn a_foreign_certificate_is_refused() {
    let stack = Stack::start().await;
    let other = Stack::start().await;
    let link = |ca: String, cert: String, key: String| Link {
        endpoint: stack.signer.url().parse().expect("an https URL"),
        ca: ca.into(),
        cert: cert.into(),
        key: key.into(),
    };
    let own = |name: &str| stack.signer.link_file(name);
    let foreign = |name: &str| other.signer.link_file(name);
    let cases = [
        (
            "of another CA",
            link(
                own("ca.pem"),
                foreign("gateway.pem"),
                foreign("gateway.key"),
            ),
        ),
        // The signer's own pair lies beside it; as a client it has no role.
        (
            "of the signer itself",
            link(
                own("ca.pem"),
                own("../signer/signer.pem"),
                own("../signer/signer.key"),
            ),
        ),
        (
            "trusting another CA",
            link(foreign("ca.pem"), own("gateway.pem"), own("gateway.key")),
        ),
    ];
    for (name, link) in cases {
        let client = SignerClient::new(&link).expect("usable files");
        let begun =
            SignerConnection::begin(&client, Instance::Beta, SignerConnection::secret(name)).await;
        let error = begun.expect_err(name);
        assert!(
            matches!(
                error.reason,
                Reason::SignerUnavailable | Reason::RoleForbidden
            ),
            "{name}: {error}"
        );
    }
    let client = stack.signer.client();
    SignerConnection::begin(&client, Instance::Beta, SignerConnection::secret("own"))
        .await
        .expect("the gateway's own certificate");
}
