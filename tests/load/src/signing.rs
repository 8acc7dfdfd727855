//! (d) signed envelopes per second over mutual TLS, unary and on the stream, beside what one core does in process.

use std::time::Duration;

use icgate_proto::{
    SignerClient,
    v1::{AccountSelector, SignUpdateRequest, sign_stream_request::Call},
};
use icgate_system::{Consent, Instance, SignerConnection, Stack};

use crate::{
    Failure, Settings,
    baseline::InProcess,
    closed_loop::{self, Sample},
    report::Signing,
    rounds::{Rounds, median},
};

/// Bytes of argument in every signed call.
const ARG_LEN: usize = 100;

/// How requests reach the signer.
#[derive(Clone, Copy)]
enum Form {
    Unary,
    Stream,
}

pub(crate) async fn measure(stack: &Stack, settings: Settings) -> Result<Signing, Failure> {
    let client = stack.signer.client();
    let request = update_of_a_live_connection(stack, &client).await?;
    let model = client.sign(Call::Update(request.clone())).await?;
    let in_process = InProcess::like(&model.envelope)?;
    let signer = [("signer", stack.signer.process().pid())];
    let (mut unary, mut stream) = (Rounds::of(&signer), Rounds::of(&signer));
    let (mut raw, mut built, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for form in [Form::Unary, Form::Stream] {
        let during = settings.short_round();
        sign(&client, &request, form, settings.in_flight, during).await?;
    }
    for round in 0..settings.rounds {
        let (during, in_flight) = (settings.round(), settings.in_flight);
        let load = sign(&client, &request, Form::Unary, in_flight, during);
        unary.add(load).await?;
        raw.push(in_process.raw_per_second(settings.short_round()));
        let in_process = in_process.per_second(settings.short_round());
        let load = sign(&client, &request, Form::Stream, in_flight, during);
        let sample = stream.add(load).await?;
        // What is compared ran one right after the other.
        shares.push(sample.per_second() / in_process);
        built.push(in_process);
        eprintln!(
            "icgate-load: signatures, round {} of {}",
            round + 1,
            settings.rounds
        );
    }
    Ok(Signing {
        raw_per_second: median(raw),
        in_process_per_second: median(built),
        unary: unary.figures(),
        stream: stream.figures(),
        stream_share: median(shares),
    })
}

/// A connection of another identity than the MCP calls use: registering it ends no grant of theirs.
async fn update_of_a_live_connection(
    stack: &Stack,
    client: &SignerClient,
) -> Result<SignUpdateRequest, Failure> {
    let secret = SignerConnection::secret("load");
    let connection = SignerConnection::begin(client, Instance::Beta, secret).await?;
    let consent = Consent {
        anchor: 10_001,
        ..Consent::default()
    };
    let chain = connection
        .consent(&stack.devnet, stack.gateway.url(), &consent)
        .await;
    connection.complete(client, &chain).await?;
    Ok(SignUpdateRequest {
        connection: connection.reference(),
        account: Some(AccountSelector {
            origin: "https://app.example".to_owned(),
            account: None,
        }),
        canister_id: stack.devnet.principal("app").as_slice().to_vec(),
        method: "add".to_owned(),
        arg: vec![7; ARG_LEN],
        // The signer's own choice.
        ingress_expiry_ns: 0,
        nonce: vec![0; 16],
        approval: None,
    })
}

/// Keeps so many requests under way for a while.
async fn sign(
    client: &SignerClient,
    request: &SignUpdateRequest,
    form: Form,
    in_flight: usize,
    during: Duration,
) -> Result<Sample, Failure> {
    let callers = (0..in_flight as u64).map(|caller| {
        async move |count: u64| {
            let mut request = request.clone();
            // No two requests are the same.
            request.nonce[..8].copy_from_slice(&count.to_le_bytes());
            request.nonce[8..].copy_from_slice(&caller.to_le_bytes());
            let signed = match form {
                Form::Unary => client.sign_unary(Call::Update(request)).await?,
                Form::Stream => client.sign(Call::Update(request)).await?,
            };
            if signed.envelope.is_empty() {
                return Err("an empty envelope".into());
            }
            Ok(())
        }
    });
    closed_loop::run(callers, during).await
}
