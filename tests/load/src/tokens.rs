//! (e) the token endpoint over durable storage: code grants, then refresh grants in rotation.
//!
//! Every sign-in is one of a person of its own, played through the whole way to an authorization code before anything
//! is measured. Exchanging all codes is one short round of code grants and gives the refresh tokens; from then on each
//! connection follows its rotation: the next request presents what the last answer gave.

use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use http::{Method, Request, header};
use http_body_util::Full;
use icgate_system::{Browser, Client, Consent, Instance, Stack};
use serde_json::Value;

use crate::{
    Failure, Settings,
    closed_loop::{self, Sample},
    connection::{Connection, connect, send},
    report::Tokens,
    rounds::{Rounds, median},
};

/// Signed-in connections: many more than requests in flight, as the records of a server with many users lie apart.
const SIGNED_IN: u64 = 256;
/// Sign-ins prepared at the same time.
const AT_ONCE: usize = 8;
/// The first of the people; one each, since a second sign-in of one person would replace the first one's grant.
const FIRST_PERSON: u64 = 20_000;

pub(crate) async fn measure(stack: &Stack, settings: Settings) -> Result<Tokens, Failure> {
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let prepared = Instant::now();
    let codes = codes(stack, &client).await;
    eprintln!(
        "icgate-load: {SIGNED_IN} sign-ins in {:.1} s",
        prepared.elapsed().as_secs_f64()
    );
    let processes = [
        ("gateway", stack.gateway.process().pid()),
        ("signer", stack.signer.process().pid()),
    ];
    let mut code = Rounds::of(&processes);
    let mut held = Vec::new();
    let exchange = exchange_all(&client, codes, settings.connections, &mut held);
    code.add(exchange).await?;

    let mut rotation = Rotation {
        address: stack.gateway.address().to_owned(),
        client_id: client.client_id.clone(),
        held,
    };
    rotation
        .load(settings.connections, settings.short_round())
        .await?;
    let mut refresh = Rounds::of(&processes);
    let mut fsyncs = Vec::new();
    for round in 0..settings.rounds {
        fsyncs.push(fsyncs_per_second(stack.dir(), settings.short_round())?);
        let load = rotation.load(settings.connections, settings.round());
        refresh.add(load).await?;
        eprintln!(
            "icgate-load: refresh grants, round {} of {}",
            round + 1,
            settings.rounds
        );
    }
    Ok(Tokens {
        code: code.figures(),
        refresh: refresh.figures(),
        fsyncs_per_second: median(fsyncs),
    })
}

/// An authorization code of every person, not exchanged yet.
async fn codes(stack: &Stack, client: &Client) -> Vec<String> {
    stream::iter(0..SIGNED_IN)
        .map(|person| async move {
            let consent = Consent {
                anchor: FIRST_PERSON + person,
                ..Consent::default()
            };
            client
                .authorize(&mut Browser::new(), &stack.devnet, &consent)
                .await
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

/// Exchanges every code once, so many at a time; `held` becomes the refresh tokens.
async fn exchange_all(
    client: &Client,
    codes: Vec<String>,
    in_flight: usize,
    held: &mut Vec<String>,
) -> Result<Sample, Failure> {
    let start = Instant::now();
    let exchanged: Vec<_> = stream::iter(codes)
        .map(|code| async move {
            let sent = Instant::now();
            let (status, answer) = client.exchange(&code).await;
            let latency = sent.elapsed();
            if !status.is_success() {
                return Err::<_, Failure>(format!("{status}: {answer}").into());
            }
            Ok((latency, refresh_token(&answer)?))
        })
        .buffer_unordered(in_flight)
        .try_collect()
        .await?;
    let elapsed = start.elapsed();
    let (latencies, tokens): (Vec<_>, Vec<_>) = exchanged.into_iter().unzip();
    held.extend(tokens);
    Ok(Sample { latencies, elapsed })
}

/// Connections that are refreshed in turn, each with the refresh token of its last answer.
struct Rotation {
    /// `127.0.0.1:PORT`
    address: String,
    client_id: String,
    held: Vec<String>,
}

impl Rotation {
    /// Refreshes for a while on so many HTTP connections, each with its share of the signed-in ones.
    async fn load(&mut self, connections: usize, during: Duration) -> Result<Sample, Failure> {
        let share = self.held.len().div_ceil(connections.max(1)).max(1);
        let (address, client_id) = (&self.address, &self.client_id);
        let shares = self.held.chunks_mut(share);
        let connected = try_join_all((0..shares.len()).map(|_| connect(address))).await?;
        let callers = shares.zip(connected).map(|(held, mut connection)| {
            async move |count: u64| {
                let turn = count as usize % held.len();
                let held = &mut held[turn];
                *held = refresh(&mut connection, address, client_id, held).await?;
                Ok(())
            }
        });
        closed_loop::run(callers, during).await
    }
}

/// One refresh grant; gives the next refresh token, which has to be another one.
async fn refresh(
    connection: &mut Connection,
    address: &str,
    client_id: &str,
    token: &str,
) -> Result<String, Failure> {
    // Neither holds anything that would have to be escaped.
    let body = format!("grant_type=refresh_token&client_id={client_id}&refresh_token={token}");
    let request = Request::builder()
        .method(Method::POST)
        .uri("/oauth/token")
        .header(header::HOST, address)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::new(Bytes::from(body)))?;
    let answer: Value = serde_json::from_slice(&send(connection, request).await?)?;
    let next = refresh_token(&answer)?;
    if next == token {
        return Err("the refresh token was not replaced".into());
    }
    Ok(next)
}

fn refresh_token(answer: &Value) -> Result<String, Failure> {
    let token = answer["refresh_token"].as_str();
    token
        .map(str::to_owned)
        .ok_or_else(|| format!("no refresh token: {answer}").into())
}

/// Writes of 4 KiB, each on disk before the next: what storage without grouped commits could at most do, twice per
/// grant.
fn fsyncs_per_second(dir: &Path, during: Duration) -> Result<f64, Failure> {
    let mut file = File::create(dir.join("fsync"))?;
    let (start, mut count) = (Instant::now(), 0.0);
    while start.elapsed() < during {
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        count += 1.0;
    }
    Ok(count / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_without_a_refresh_token_is_a_failure() {
        let answer = json!({ "access_token": "a", "refresh_token": "r" });
        assert_eq!(refresh_token(&answer).unwrap(), "r");
        assert!(refresh_token(&json!({ "error": "invalid_grant" })).is_err());
    }

    #[test]
    fn fsyncs_are_counted() {
        let rate = fsyncs_per_second(&std::env::temp_dir(), Duration::from_millis(20));
        assert!(rate.unwrap() > 0.0);
    }
}
