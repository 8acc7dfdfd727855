//! The signer over its real link: mutual TLS, roles, errors, and the signing stream.
#![allow(clippy::unwrap_used, reason = "test code")]

#[path = "support/link.rs"]
mod link;
mod support;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use icgate_proto::{
    ERROR_DOMAIN, Link, Reason, SignerClient, SignerError,
    v1::{
        self, connections_client::ConnectionsClient, identities_client::IdentitiesClient,
        sign_stream_request::Call, signing_client::SigningClient,
    },
};
use icgate_signer::{Limits, connection::AccountName};
use rcgen::SanType;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::json;
use support::{APP_ORIGIN, Bearer, World, secret};
use tokio::io::AsyncReadExt;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

const ALICE: u64 = 10_000;

fn reference(bearer: &Bearer) -> Option<v1::ConnectionRef> {
    Some(v1::ConnectionRef {
        connection_id: bearer.id.as_str().to_owned(),
        secret: bearer.secret.to_wire(),
    })
}

fn default_account() -> Option<v1::AccountSelector> {
    Some(v1::AccountSelector {
        origin: APP_ORIGIN.to_owned(),
        account: None,
    })
}

fn query(world: &World, bearer: &Bearer, method: &str) -> v1::SignQueryRequest {
    v1::SignQueryRequest {
        connection: reference(bearer),
        account: default_account(),
        canister_id: world.devnet.description().canisters.app.as_slice().to_vec(),
        method: method.to_owned(),
        arg: candid::encode_args(()).unwrap(),
        ingress_expiry_ns: world.in_minutes(4),
    }
}

#[tokio::test]
async fn the_whole_path_over_the_link() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let served = link::served(world.signer().await, dir.path()).await;
    let client = link::gateway(dir.path(), served.port);

    let cookie = secret();
    let begun = client
        .begin(v1::BeginRequest {
            instance: "beta".to_owned(),
            ceiling: Some(v1::Ceiling {
                scopes: vec![1, 2, 3],
                access_level: 2,
                expires_at_ns: 0,
            }),
            secret: cookie.to_wire(),
            slot_expires_at_ns: world.in_minutes(10),
            key_request: None,
        })
        .await
        .unwrap();
    let connection = |secret: &icgate_proto::ConnectionSecret| {
        Some(v1::ConnectionRef {
            connection_id: begun.connection_id.clone(),
            secret: secret.to_wire(),
        })
    };
    let delegation_chain = world
        .consent(&begun.registration_key_der, ALICE, json!({}))
        .await;
    let complete = v1::CompleteRequest {
        connection: connection(&cookie),
        delegation_chain,
        registered_key: None,
    };
    let completed = client.complete(complete).await.unwrap();
    assert_eq!(completed.access_level(), v1::AccessLevel::All);

    // Code, then token: each opened by the one before.
    let (code, token) = (secret(), secret());
    for (from, to) in [(&cookie, &code), (&code, &token)] {
        let slot = v1::NewSlot {
            secret: to.to_wire(),
            expires_at_ns: world.in_minutes(60),
        };
        let add = v1::AddSlotsRequest {
            connection: connection(from),
            slots: vec![slot],
            drop_slot_ids: Vec::new(),
        };
        assert_eq!(client.add_slots(add).await.unwrap().slot_ids.len(), 1);
    }
    let described = client
        .describe(v1::DescribeRequest {
            connection: connection(&token),
        })
        .await
        .unwrap();
    assert_eq!(
        (described.state(), described.user),
        (v1::ConnectionState::Live, completed.user)
    );

    let accounts = client
        .list_accounts(v1::ListAccountsRequest {
            connection: connection(&token),
            origin: "https://APP.example:443/path".to_owned(),
        })
        .await
        .unwrap();
    assert_eq!(accounts.origin, APP_ORIGIN);
    let names: Vec<_> = accounts
        .accounts
        .iter()
        .filter_map(|account| account.name.as_deref())
        .collect();
    assert!(
        names.contains(&"savings") && names.contains(&"work"),
        "{names:?}"
    );
    let principal = client
        .get_principal(v1::GetPrincipalRequest {
            connection: connection(&token),
            account: default_account(),
        })
        .await
        .unwrap();
    assert_eq!(
        principal.principal,
        world.expected(ALICE, None).await.as_slice()
    );

    client
        .close(v1::CloseRequest {
            connection_id: begun.connection_id.clone(),
        })
        .await
        .unwrap();
    let gone = client
        .describe(v1::DescribeRequest {
            connection: connection(&token),
        })
        .await;
    assert_eq!(gone.unwrap_err().reason, Reason::SecretRefused);

    served.stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), served.serving)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn stream_and_unary_give_the_same_answers() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let signer = world
        .signer_with(
            Limits {
                requests_in_flight: 4,
                ..Limits::default()
            },
            World::outer(),
        )
        .await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let served = link::served(signer, dir.path()).await;
    let client = link::gateway(dir.path(), served.port);

    let read_state = v1::SignReadStateRequest {
        connection: reference(&bearer),
        account: default_account(),
        request_id: vec![7; 32],
        ingress_expiry_ns: world.in_minutes(4),
    };
    let update = v1::SignUpdateRequest {
        connection: reference(&bearer),
        account: default_account(),
        canister_id: world.devnet.description().canisters.app.as_slice().to_vec(),
        method: "increment".to_owned(),
        arg: candid::encode_args(()).unwrap(),
        ingress_expiry_ns: world.in_minutes(4),
        nonce: vec![1; 16],
        approval: None,
    };
    let wrong_secret = Bearer {
        secret: secret(),
        ..bearer.clone()
    };
    let calls = [
        Call::Query(query(&world, &bearer, "whoami")),
        Call::Update(update.clone()),
        Call::ReadState(read_state.clone()),
        Call::Query(query(&world, &wrong_secret, "whoami")),
        Call::Query(v1::SignQueryRequest {
            account: None,
            ..query(&world, &bearer, "whoami")
        }),
        Call::Query(v1::SignQueryRequest {
            canister_id: vec![1; 30],
            ..query(&world, &bearer, "m")
        }),
        Call::Query(v1::SignQueryRequest {
            ingress_expiry_ns: 1,
            ..query(&world, &bearer, "m")
        }),
        Call::Query(query(&world, &bearer, "")),
        Call::Update(v1::SignUpdateRequest {
            nonce: vec![1; 33],
            ..update
        }),
        Call::ReadState(v1::SignReadStateRequest {
            request_id: vec![7; 31],
            ..read_state
        }),
    ];
    for (number, call) in calls.into_iter().enumerate() {
        let (streamed, unary) = (
            client.sign(call.clone()).await,
            client.sign_unary(call).await,
        );
        assert_eq!(streamed, unary, "call {number}");
        assert_eq!(streamed.is_ok(), number < 3, "call {number}");
    }

    // Many more at once than the stream may have in flight.
    let client = Arc::new(client);
    let many: Vec<_> = (0..200)
        .map(|_| {
            let (client, call) = (
                Arc::clone(&client),
                Call::Query(query(&world, &bearer, "whoami")),
            );
            tokio::spawn(async move { client.sign(call).await })
        })
        .collect();
    for call in many {
        let signed = call.await.unwrap().unwrap();
        assert_eq!(signed.decision.unwrap().rule, "query");
    }
    served.stop.cancel();
}

#[tokio::test]
async fn only_certificates_with_the_role_may_call() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let served = link::served(world.signer().await, dir.path()).await;
    let uri = |san: &str| SanType::URI(san.try_into().unwrap());
    let dns = |san: &str| SanType::DnsName(san.try_into().unwrap());

    for san in [
        uri("spiffe://icgate/gateway2"),
        dns("gateway"),
        uri("spiffe://icgate/gatewa"),
        dns(link::OBSERVER),
    ] {
        let channel = link::link_as(dir.path(), served.port, san)
            .channel()
            .unwrap();
        for (method, code) in every_method(channel).await {
            assert_eq!(code, Reason::RoleForbidden, "{method}");
        }
    }
    for (san, is_healthy) in [
        (dns(link::OBSERVER), true),
        (dns("stranger.example"), false),
    ] {
        let channel = link::link_as(dir.path(), served.port, san)
            .channel()
            .unwrap();
        let answer = HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await;
        assert_eq!(answer.is_ok(), is_healthy);
    }
    // The same subject from the configured role may call everything.
    let as_gateway = link::link_as(dir.path(), served.port, uri(link::GATEWAY));
    for (method, reason) in every_method(as_gateway.channel().unwrap()).await {
        assert_ne!(reason, Reason::RoleForbidden, "{method}");
    }
    served.stop.cancel();
}

/// The reason of every method's answer to an empty request, which is never a good one.
async fn every_method(channel: tonic::transport::Channel) -> HashMap<&'static str, Reason> {
    let mut connections = ConnectionsClient::new(channel.clone());
    let mut identities = IdentitiesClient::new(channel.clone());
    let mut signing = SigningClient::new(channel);
    let stream = tokio_stream::iter([v1::SignStreamRequest::default()]);
    let streamed = async {
        match signing.clone().sign_stream(stream).await {
            Ok(replies) => Ok(replies.into_inner().message().await.unwrap().unwrap()),
            Err(status) => Err(status),
        }
    };
    let streamed = match streamed.await {
        Ok(v1::SignStreamReply {
            outcome: Some(v1::sign_stream_reply::Outcome::Error(error)),
            ..
        }) => SignerError::from(error).reason,
        Ok(reply) => panic!("{reply:?}"),
        Err(status) => SignerError::from(status).reason,
    };
    fn reason<T: std::fmt::Debug>(answer: Result<T, tonic::Status>) -> Reason {
        SignerError::from(answer.unwrap_err()).reason
    }
    HashMap::from([
        (
            "begin",
            reason(connections.begin(v1::BeginRequest::default()).await),
        ),
        (
            "complete",
            reason(connections.complete(v1::CompleteRequest::default()).await),
        ),
        (
            "add_slots",
            reason(connections.add_slots(v1::AddSlotsRequest::default()).await),
        ),
        (
            "drop_slots",
            reason(
                connections
                    .drop_slots(v1::DropSlotsRequest::default())
                    .await,
            ),
        ),
        (
            "describe",
            reason(connections.describe(v1::DescribeRequest::default()).await),
        ),
        (
            "close",
            reason(connections.close(v1::CloseRequest::default()).await),
        ),
        (
            "continue",
            reason(connections.r#continue(v1::ContinueRequest::default()).await),
        ),
        (
            "branch",
            reason(connections.branch(v1::BranchRequest::default()).await),
        ),
        (
            "list_accounts",
            reason(
                identities
                    .list_accounts(v1::ListAccountsRequest::default())
                    .await,
            ),
        ),
        (
            "get_principal",
            reason(
                identities
                    .get_principal(v1::GetPrincipalRequest::default())
                    .await,
            ),
        ),
        (
            "sign_query",
            reason(signing.sign_query(v1::SignQueryRequest::default()).await),
        ),
        (
            "sign_update",
            reason(signing.sign_update(v1::SignUpdateRequest::default()).await),
        ),
        (
            "sign_read_state",
            reason(
                signing
                    .sign_read_state(v1::SignReadStateRequest::default())
                    .await,
            ),
        ),
        ("sign_stream", streamed),
    ])
}

#[tokio::test]
async fn errors_carry_their_reason_and_tell_nothing_else() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let served = link::served(signer, dir.path()).await;
    let channel = link::gateway_link(dir.path(), served.port)
        .channel()
        .unwrap();
    let stranger = Bearer {
        secret: secret(),
        ..bearer
    };
    let request = v1::DescribeRequest {
        connection: reference(&stranger),
    };
    let status = ConnectionsClient::new(channel)
        .describe(request)
        .await
        .unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.domain.as_str(), info.reason.as_str()),
        (ERROR_DOMAIN, "SECRET_REFUSED")
    );
    assert_eq!(status.code(), Code::Unauthenticated);
    served.stop.cancel();
}

#[tokio::test]
async fn reflection_names_the_services() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let served = link::served(world.signer().await, dir.path()).await;
    let channel = link::gateway_link(dir.path(), served.port)
        .channel()
        .unwrap();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(services) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = services
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    for name in ["Connections", "Identities", "Signing"] {
        assert!(
            names.contains(&format!("icgate.signer.v1.{name}")),
            "{names:?}"
        );
    }
    served.stop.cancel();
}

#[tokio::test]
async fn strangers_do_not_get_through_the_handshake() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let foreign = tempfile::tempdir().unwrap();
    link::init(foreign.path());
    let served = link::served(world.signer().await, dir.path()).await;
    let ours = link::gateway_link(dir.path(), served.port);
    let theirs = link::gateway_link(foreign.path(), served.port);
    let tls13 = &[&rustls::version::TLS13][..];

    assert!(
        shakes_hands(&ours, Some(&ours), tls13).await,
        "the honest client does"
    );
    assert!(
        !shakes_hands(&ours, Some(&theirs), tls13).await,
        "another CA's client"
    );
    assert!(!shakes_hands(&ours, None, tls13).await, "no certificate");
    assert!(
        !shakes_hands(&ours, Some(&ours), &[&rustls::version::TLS12]).await,
        "TLS 1.2"
    );
    served.stop.cancel();
}

/// Whether a client gets a TLS connection on which the signer speaks. A server that refuses the client's certificate
/// says so only after the client's side of the handshake is done, so one byte of HTTP/2 is awaited.
async fn shakes_hands(
    ours: &Link,
    client: Option<&Link>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> bool {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&ours.ca).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        None => config.with_no_client_auth(),
        Some(link) => {
            let chain = vec![CertificateDer::from_pem_file(&link.cert).unwrap()];
            let key = PrivateKeyDer::from_pem_file(&link.key).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let icgate_proto::Endpoint::Tcp { host, port } = &ours.endpoint else {
        unreachable!()
    };
    let tcp = tokio::net::TcpStream::connect((host.as_str(), *port))
        .await
        .unwrap();
    let name = ServerName::try_from(host.clone()).unwrap();
    match tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
    {
        Ok(mut stream) => {
            use tokio::io::AsyncWriteExt;
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            stream.write_all(preface).await.is_ok() && stream.read_u8().await.is_ok()
        }
        Err(_) => false,
    }
}

#[tokio::test]
async fn new_certificates_are_taken_up_without_a_restart() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let served = link::served(world.signer().await, dir.path()).await;
    let standing = link::gateway_link(dir.path(), served.port)
        .channel()
        .unwrap();
    let check = |channel| async move {
        HealthClient::new(channel)
            .check(HealthCheckRequest::default())
            .await
    };
    check(standing.clone()).await.unwrap();

    let renewed = tempfile::tempdir().unwrap();
    link::init(renewed.path());
    for file in ["signer.pem", "signer.key", "ca.pem"] {
        let [from, to] = [&renewed, &dir].map(|dir| dir.path().join("signer").join(file));
        std::fs::copy(from, to).unwrap();
    }
    served.tls.reload().unwrap();

    let new = link::gateway_link(renewed.path(), served.port)
        .channel()
        .unwrap();
    assert!(check(new).await.is_ok(), "the new CA's client");
    let old = link::gateway_link(dir.path(), served.port)
        .channel()
        .unwrap();
    assert!(check(old).await.is_err(), "the old CA's client");
    assert!(check(standing).await.is_ok(), "a connection that stands");

    std::fs::write(dir.path().join("signer/signer.key"), "broken").unwrap();
    assert!(served.tls.reload().is_err());
    let new = link::gateway_link(renewed.path(), served.port)
        .channel()
        .unwrap();
    assert!(check(new).await.is_ok(), "unusable files change nothing");
    served.stop.cancel();
}

#[tokio::test]
async fn a_slow_handshake_holds_up_nobody() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let served = link::served(world.signer().await, dir.path()).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(
            tokio::net::TcpStream::connect(("127.0.0.1", served.port))
                .await
                .unwrap(),
        );
    }
    let client = SignerClient::new(&link::gateway_link(dir.path(), served.port)).unwrap();
    let refused = client
        .describe(v1::DescribeRequest { connection: None })
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::InvalidArgument);
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_secs(10), silent[0].read(&mut byte)).await;
    assert!(
        matches!(closed, Ok(Ok(0) | Err(_))),
        "closed after five seconds: {closed:?}"
    );
    served.stop.cancel();
}

#[tokio::test]
async fn strangers_without_a_certificate_do_not_use_up_the_connections() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let limits = Limits {
        tls_connections: 2,
        ..Limits::default()
    };
    let signer = world.signer_with(limits, World::outer()).await;
    let served = link::served(signer, dir.path()).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        let stranger = tokio::net::TcpStream::connect(("127.0.0.1", served.port)).await;
        silent.push(stranger.unwrap());
    }
    assert!(link::gateway(dir.path(), served.port).is_serving().await);
    served.stop.cancel();
}

#[tokio::test]
async fn a_stopping_signer_answers_what_is_under_way() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let signer = world.signer().await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let served = link::served(Arc::clone(&signer), dir.path()).await;
    let client = link::gateway(dir.path(), served.port);
    let ii = world.devnet.description().canisters.ii.to_text();
    world.control("requests/reset", json!({})).await;
    world
        .control(
            "fault",
            json!({ "kind": "slow_ms", "value": 1000, "canister": ii }),
        )
        .await;
    let call = Call::Query(query(&world, &bearer, "whoami"));
    let under_way = tokio::spawn(async move { client.sign(call).await });
    support::eventually("the call is under way", || async {
        world.count("mcp_prepare_delegation").await == 1
    })
    .await;
    served.stop.cancel();
    assert!(under_way.await.unwrap().is_ok());
    tokio::time::timeout(Duration::from_secs(11), served.serving)
        .await
        .unwrap()
        .unwrap();
    let request = world.query(&bearer, AccountName::Default, "whoami");
    assert!(signer.sign(request).await.is_ok());
}

#[tokio::test]
async fn an_aged_connection_is_replaced_and_the_next_call_works() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let limits = Limits {
        connection_age_seconds: 1,
        ..Limits::default()
    };
    let signer = world.signer_with(limits, World::outer()).await;
    let (bearer, _) = world.connect(&signer, ALICE).await;
    let served = link::served(signer, dir.path()).await;
    let client = link::gateway(dir.path(), served.port);
    let call = || client.sign(Call::Query(query(&world, &bearer, "whoami")));
    // Through several replacements, each of which may lose what was on its way at that moment and nothing more.
    let (started, mut calls, mut lost) = (Instant::now(), 0, 0);
    while started.elapsed() < Duration::from_secs(5) {
        calls += 1;
        match call().await {
            Ok(_) => {}
            Err(error) if error.reason.is_retryable() => lost += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(calls > 50 && lost <= 5, "{lost} of {calls} calls were lost");
    assert!(call().await.is_ok());
    served.stop.cancel();
}
