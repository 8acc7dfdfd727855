//! (d) signed envelopes per second over mutual TLS, unary and on the stream, beside what one core does in process.

use std::{
    borrow::Cow,
    hint::black_box,
    time::{Duration, Instant},
};

use ed25519_dalek::{Signer as _, SigningKey};
use futures_util::future::try_join_all;
use ic_transport_types::{Envelope, EnvelopeContent};
use icgate_proto::{
    SignerClient,
    v1::{AccountSelector, SignUpdateRequest, SignedRequest, sign_stream_request::Call},
};
use icgate_system::{Consent, Instance, SignerConnection, Stack, nanoseconds_from_now};

use crate::{
    Failure, Settings,
    accounting::cpu_time,
    report::{Report, median},
};

/// Bytes of argument in every signed call.
const ARG_LEN: usize = 100;

#[derive(Clone, Copy)]
enum Form {
    Unary,
    Stream,
}

pub(crate) async fn measure(
    stack: &Stack,
    settings: Settings,
    report: &mut Report,
) -> Result<(), Failure> {
    let client = stack.signer.client();
    let secret = SignerConnection::secret("load");
    let connection = SignerConnection::begin(&client, Instance::Beta, secret).await?;
    let chain = connection
        .consent(&stack.devnet, stack.gateway.url(), &Consent::default())
        .await;
    connection.complete(&client, &chain).await?;
    let request = SignUpdateRequest {
        connection: connection.reference(),
        account: Some(AccountSelector {
            origin: "https://app.example".to_owned(),
            account: None,
        }),
        canister_id: stack.devnet.principal("app").as_slice().to_vec(),
        method: "add".to_owned(),
        arg: vec![7; ARG_LEN],
        ingress_expiry_ns: nanoseconds_from_now(240),
        nonce: vec![1; 16],
        approval: None,
    };
    let signed = client.sign(Call::Update(request.clone())).await?;
    client.sign_unary(Call::Update(request.clone())).await?;

    let signer = stack.signer.process().pid();
    let (mut unary, mut stream, mut in_process, mut raw) = (vec![], vec![], vec![], vec![]);
    let (mut unary_cpu, mut stream_cpu) = (vec![], vec![]);
    for _ in 0..settings.rounds {
        raw.push(raw_rate(settings.round() / 4));
        in_process.push(in_process_rate(&signed, settings.round() / 4)?);
        for (form, rates, cpu) in [
            (Form::Unary, &mut unary, &mut unary_cpu),
            (Form::Stream, &mut stream, &mut stream_cpu),
        ] {
            let before = cpu_time(signer)?;
            let (count, elapsed) = sign_for(&client, &request, form, settings).await?;
            let used = cpu_time(signer)?.saturating_sub(before);
            rates.push(count as f64 / elapsed.as_secs_f64());
            cpu.push(used.as_secs_f64() * 1e6 / count as f64);
        }
    }
    report.signing("raw Ed25519, one core, in process", median(raw), None);
    report.signing(
        "build, hash and sign, one core, in process",
        median(in_process),
        None,
    );
    report.signing(
        "(d) unary over mutual TLS",
        median(unary),
        Some(median(unary_cpu)),
    );
    report.signing(
        "(d) stream over mutual TLS",
        median(stream),
        Some(median(stream_cpu)),
    );
    Ok(())
}

/// Keeps `in_flight` requests under way for one round.
async fn sign_for(
    client: &SignerClient,
    request: &SignUpdateRequest,
    form: Form,
    settings: Settings,
) -> Result<(u64, Duration), Failure> {
    let start = Instant::now();
    let end = start + settings.round();
    let callers = (0..settings.in_flight).map(|caller| async move {
        let mut count = 0u64;
        while Instant::now() < end {
            let mut request = request.clone();
            // No two requests are the same.
            request.nonce[..8].copy_from_slice(&count.to_le_bytes());
            request.nonce[8..].copy_from_slice(&(caller as u64).to_le_bytes());
            match form {
                Form::Unary => client.sign_unary(Call::Update(request)).await?,
                Form::Stream => client.sign(Call::Update(request)).await?,
            };
            count += 1;
        }
        Ok::<u64, Failure>(count)
    });
    let count = try_join_all(callers).await?.iter().sum();
    Ok((count, start.elapsed()))
}

fn raw_rate(during: Duration) -> f64 {
    let key = SigningKey::from_bytes(&[7; 32]);
    // 0x0A, "ic-request" and a request id.
    let mut message = [0u8; 43];
    rate(during, |n| {
        message[..8].copy_from_slice(&n.to_le_bytes());
        black_box(key.sign(&message));
    })
}

/// Builds the very envelope that the signer gave, with another nonce each time.
fn in_process_rate(signed: &SignedRequest, during: Duration) -> Result<f64, Failure> {
    let key = SigningKey::from_bytes(&[7; 32]);
    let model: Envelope<'static> = serde_cbor::from_slice(&signed.envelope)?;
    let EnvelopeContent::Call {
        ingress_expiry,
        sender,
        canister_id,
        method_name,
        arg,
        ..
    } = model.content.into_owned()
    else {
        return Err("the signer was asked for an update".into());
    };
    Ok(rate(during, |n| {
        let mut nonce = vec![0; 16];
        nonce[..8].copy_from_slice(&n.to_le_bytes());
        let content = EnvelopeContent::Call {
            nonce: Some(nonce),
            ingress_expiry,
            sender,
            canister_id,
            method_name: method_name.clone(),
            arg: arg.clone(),
            sender_info: None,
        };
        let signature = key.sign(&content.to_request_id().signable());
        let envelope = Envelope {
            content: Cow::Borrowed(&content),
            sender_pubkey: model.sender_pubkey.clone(),
            sender_sig: Some(signature.to_vec()),
            sender_delegation: model.sender_delegation.clone(),
        };
        black_box(envelope.encode_bytes());
    }))
}

fn rate(during: Duration, mut work: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < during {
        work(count);
        count += 1;
    }
    count as f64 / start.elapsed().as_secs_f64()
}
