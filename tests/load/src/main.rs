//! Measures icgate on loopback: requests per second, latency, CPU per request and resident memory, each beside a
//! baseline that runs in the same minutes on the same machine. Ratios are what counts: on a shared machine absolute
//! rates move by a factor of two.
//!
//! Servers and the load generator are pinned to different cores, targets take turns in rounds, and every figure is the
//! median of its rounds.
#![forbid(unsafe_code)]

mod bars;
mod baseline;
mod calls;
mod certificates;
mod closed_loop;
mod connection;
mod cores;
mod machine;
mod mcp_request;
mod process_figures;
mod report;
mod rounds;
mod settings;
mod signing;
mod tokens;

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use icgate_system::Stack;
use tokio::runtime;

use crate::{
    cores::{Side, pin},
    machine::Machine,
    process_figures::resident_mib,
    report::{Memory, Report},
    settings::Settings,
};

/// Everybody signs in from this machine: what bounds one address is out of the way.
const CROWD_FROM_ONE_ADDRESS: &str = "[limits]
authorize_per_minute = 1000000
consent_per_minute = 1000000
redeem_per_minute = 1000000
sign_ins_per_address = 1024
";

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

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the baseline: hyper and rmcp with nothing around them.
    #[command(hide = true)]
    Baseline {
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
    let outcome = match args.command {
        Some(Command::Baseline { tools, ready_file }) => serve_baseline(&tools, &ready_file),
        None => measure_and_print(args.settings.resolved(), args.check),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("icgate-load: {error}");
        ExitCode::FAILURE
    })
}

fn serve_baseline(tools: &Path, ready_file: &Path) -> Result<ExitCode, Failure> {
    // The runtime that the gateway has, too.
    runtime::Runtime::new()?.block_on(baseline::serve(tools, ready_file))?;
    Ok(ExitCode::SUCCESS)
}

fn measure_and_print(settings: Settings, check: bool) -> Result<ExitCode, Failure> {
    // The load generator has one core, so one thread.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(measure(settings))?;
    print!("{report}");
    eprintln!("icgate-load: written to {}", report.save()?.display());
    Ok(if check && !report.passes() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn measure(settings: Settings) -> Result<Report, Failure> {
    let machine = Machine::read();
    let stack = Stack::start_with(CROWD_FROM_ONE_ADDRESS).await;
    let after_start = memory(&stack)?;
    pin(stack.gateway.process().pid(), Side::Server);
    pin(stack.signer.process().pid(), Side::Server);
    pin(stack.devnet.process().pid(), Side::Load);
    pin(std::process::id(), Side::Load);
    Ok(Report {
        machine,
        settings,
        calls: calls::measure(&stack, settings).await?,
        signing: signing::measure(&stack, settings).await?,
        tokens: tokens::measure(&stack, settings).await?,
        certificates: certificates::measure(&stack, settings).await?,
        after_start,
        after_load: memory(&stack)?,
    })
}

fn memory(stack: &Stack) -> Result<Memory, Failure> {
    Ok(Memory {
        gateway_mib: resident_mib(stack.gateway.process().pid())?,
        signer_mib: resident_mib(stack.signer.process().pid())?,
    })
}
