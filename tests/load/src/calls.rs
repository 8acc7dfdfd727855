//! (a) authenticated `tools/list`, (b) an anonymous query, (c) a query as the user with a warm delegation.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use icgate_system::{Call, Consent, Devnet, Era, Instance, START_BOUND, Stack, until};
use serde_json::{Value, json};

use crate::{
    Failure, Settings,
    accounting::{Side, cpu_time, pin},
    closed_loop::{Sample, Target},
    report::{Figures, Report, median},
};

/// Calls counted at devnet to see how many requests to the Internet Computer one costs.
const COUNTED_CALLS: usize = 200;

/// One row of the table: a target and the processes whose CPU it costs.
struct Row {
    name: &'static str,
    target: Target,
    processes: Vec<u32>,
    rounds: Vec<(Sample, Duration)>,
}

pub(crate) async fn measure(
    stack: &Stack,
    settings: Settings,
    report: &mut Report,
) -> Result<(), Failure> {
    let (gateway, signer) = (stack.gateway.process().pid(), stack.signer.process().pid());
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let token = tokens.access_token.as_str();
    let agent = stack.mcp(Instance::Beta, Era::Modern, token);
    let listed = agent.request("tools/list", json!({})).await;
    let bare = Bare::start(stack.dir(), listed.result()).await?;

    pin(bare.child.id(), Side::Server);

    let app = stack.devnet.canister("app");
    let anonymous = Call::query(app, "greet", "(\"Ada\")");
    let as_user = Call::query(app, "whoami", "()").at("app.example");
    let of_gateway = |call: &Call| {
        let params = json!({ "name": "call_canister", "arguments": call.arguments() });
        Target::new(stack.gateway.address(), Some(token), "tools/call", params)
    };
    let echo = json!({ "name": "echo", "arguments": anonymous.arguments() });
    let row = |name, target, processes: &[u32]| Row {
        name,
        target,
        processes: processes.to_vec(),
        rounds: Vec::new(),
    };
    let mut rows = [
        row(
            "bare rmcp `tools/list`",
            Target::new(&bare.address, None, "tools/list", json!({})),
            &[bare.child.id()],
        ),
        row(
            "(a) `tools/list`",
            Target::new(
                stack.gateway.address(),
                Some(token),
                "tools/list",
                json!({}),
            ),
            &[gateway],
        ),
        row(
            "bare rmcp echo",
            Target::new(&bare.address, None, "tools/call", echo),
            &[bare.child.id()],
        ),
        row("(b) anonymous query", of_gateway(&anonymous), &[gateway]),
        row(
            "(c) query as the user",
            of_gateway(&as_user),
            &[gateway, signer],
        ),
    ];

    same_bytes(&rows[0].target.once().await?, &rows[1].target.once().await?)?;
    for row in &rows {
        // Delegations, interfaces, connections: what a first call pays is not measured.
        row.target
            .load(settings.connections, settings.round() / 4)
            .await?;
    }
    report.ic_requests(ic_requests_per_call(&stack.devnet, &rows[4].target).await?);
    for _ in 0..settings.rounds {
        for row in &mut rows {
            let before = total_cpu(&row.processes)?;
            let sample = row
                .target
                .load(settings.connections, settings.round())
                .await?;
            row.rounds
                .push((sample, total_cpu(&row.processes)?.saturating_sub(before)));
        }
    }
    for row in &rows {
        report.calls(row.name, figures(&row.rounds));
    }
    Ok(())
}

fn total_cpu(processes: &[u32]) -> Result<Duration, Failure> {
    processes.iter().map(|pid| cpu_time(*pid)).sum()
}

fn figures(rounds: &[(Sample, Duration)]) -> Figures {
    let of = |figure: &dyn Fn(&Sample, Duration) -> f64| {
        median(rounds.iter().map(|(sample, cpu)| figure(sample, *cpu)))
    };
    let percentile = |sample: &Sample, share: f64| {
        let mut latencies = sample.latencies.clone();
        latencies.sort_unstable();
        let index =
            ((latencies.len() as f64 * share) as usize).min(latencies.len().saturating_sub(1));
        latencies
            .get(index)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    };
    Figures {
        per_second: of(&|sample, _| sample.latencies.len() as f64 / sample.elapsed.as_secs_f64()),
        p50_us: of(&|sample, _| percentile(sample, 0.50)),
        p99_us: of(&|sample, _| percentile(sample, 0.99)),
        cpu_us: of(&|sample, cpu| cpu.as_secs_f64() * 1e6 / sample.latencies.len() as f64),
    }
}

/// The baseline is only one when it answers the same.
fn same_bytes(bare: &[u8], gateway: &[u8]) -> Result<(), Failure> {
    let tools = |body: &[u8]| -> Result<Value, Failure> {
        Ok(serde_json::from_slice::<Value>(body)?["result"]["tools"].clone())
    };
    if tools(bare)? == tools(gateway)? {
        Ok(())
    } else {
        Err("the baseline lists other tools than the gateway".into())
    }
}

async fn ic_requests_per_call(devnet: &Devnet, target: &Target) -> Result<f64, Failure> {
    devnet.reset_requests().await;
    for _ in 0..COUNTED_CALLS {
        target.once().await?;
    }
    Ok(devnet.requests().await.len() as f64 / COUNTED_CALLS as f64)
}

/// The baseline server, a process of its own.
struct Bare {
    child: Child,
    address: String,
}

impl Bare {
    async fn start(dir: &Path, tools: &Value) -> Result<Self, Failure> {
        let (list, ready) = (dir.join("tools.json"), dir.join("bare.ready"));
        fs::write(&list, tools.to_string())?;
        let child = Command::new(std::env::current_exe()?)
            .arg("bare")
            .arg("--tools")
            .arg(&list)
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .spawn()?;
        let mut bare = Self {
            child,
            address: String::new(),
        };
        bare.address = until("the baseline server", START_BOUND, || async {
            fs::read_to_string(&ready)
                .ok()
                .filter(|text| !text.is_empty())
        })
        .await;
        Ok(bare)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
