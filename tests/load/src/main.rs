//! Measures icgate on loopback: requests per second, latency, CPU per request and resident memory, each beside a
//! baseline that runs in the same minutes on the same machine. Ratios are what counts: on a shared machine absolute
//! rates move by a factor of two.
//!
//! Servers and the load generator are pinned to different cores, targets take turns in rounds, and every figure is the
//! median of its rounds.
#![forbid(unsafe_code)]

mod accounting;
mod bare;
mod calls;
mod closed_loop;
mod report;
mod signing;

use std::{error::Error, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use accounting::Side;
use icgate_system::Stack;
use report::Report;

/// Whatever stops a measurement; the program has nothing to decide about it.
type Failure = Box<dyn Error + Send + Sync>;

/// Measures icgate on loopback and prints a markdown table.
#[derive(Debug, Parser)]
#[command(name = "icgate-load", version)]
struct Args {
    /// Exits with 1 when a bar is missed.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

/// How hard and how long.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Settings {
    /// Seconds a target is loaded in one round.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rounds; figures are medians over them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// HTTP connections, each with one request in flight.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Signing requests in flight.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
}

impl Settings {
    fn round(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the baseline: hyper and rmcp with nothing around them.
    #[command(hide = true)]
    Bare {
        /// JSON of the `tools/list` result to answer with.
        #[arg(long)]
        tools: PathBuf,
        /// Where the bound address is written.
        #[arg(long)]
        ready_file: PathBuf,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    // One worker on each side: the figures are about one core.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime.map_err(Failure::from).and_then(|runtime| {
        runtime.block_on(async {
            match &args.command {
                Some(Command::Bare { tools, ready_file }) => {
                    bare::serve(tools, ready_file).await.map(|()| None)
                }
                None => measure(args.settings).await.map(Some),
            }
        })
    });
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(report)) => {
            print!("{report}");
            if args.check && !report.passes() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            eprintln!("icgate-load: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(settings: Settings) -> Result<Report, Failure> {
    let mut report = Report::new(settings);
    let stack = Stack::start().await;
    let (gateway, signer) = (stack.gateway.process().pid(), stack.signer.process().pid());
    report.resident("gateway", accounting::resident_mib(gateway)?);
    report.resident("signer", accounting::resident_mib(signer)?);
    accounting::pin(gateway, Side::Server);
    accounting::pin(signer, Side::Server);
    accounting::pin(stack.devnet.process().pid(), Side::Load);
    accounting::pin(std::process::id(), Side::Load);

    eprintln!("icgate-load: MCP calls");
    calls::measure(&stack, settings, &mut report).await?;
    eprintln!("icgate-load: signatures");
    signing::measure(&stack, settings, &mut report).await?;
    report.resident("gateway after load", accounting::resident_mib(gateway)?);
    report.resident("signer after load", accounting::resident_mib(signer)?);
    Ok(report)
}
