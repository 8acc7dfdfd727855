use std::{
    fs,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{ConfigArgs, Failure};
use crate::{
    Setup, Signer,
    clock::Clock,
    config::Config,
    rpc::{Listening, TlsIdentity, serve},
    transport::Direct,
};

#[derive(Args, Clone)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where to write the bound address once the signer listens.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

pub(super) async fn run(args: RunArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    warn_of_plain_http(&config);
    let outer = config.outer().map_err(Failure::config)?;
    let tls = Arc::new(TlsIdentity::load(config.tls.clone()).map_err(Failure::config)?);
    make_private_dir(&config.state_dir)?;
    let setup = Setup {
        transport: Arc::new(Direct::new(config.ic_url).map_err(Failure::other)?),
        root_key: config.ic_root_key,
        outer,
        instances: config.instances,
        limits: config.limits,
        clock: Clock::default(),
    };
    let signer = Signer::start(&config.state_dir, setup)
        .await
        .map_err(Failure::other)?;
    let cannot_listen =
        |error| Failure::Other(format!("cannot listen on {}: {error}", config.listen));
    let listening = Listening::bind(&config.listen)
        .await
        .map_err(cannot_listen)?;
    let address = listening.address().map_err(Failure::other)?.to_string();

    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone(), Arc::clone(&tls))?);
    tokio::spawn(Arc::clone(&tls).watch());
    let upkeep = tokio::spawn(Arc::clone(&signer).keep_up());
    info!(address, "listening");
    if let Some(path) = &args.ready_file {
        write_whole(path, &address).map_err(Failure::other)?;
    }
    let served = serve(Arc::clone(&signer), listening, tls, config.roles, stop).await;
    upkeep.abort();
    signer.stop().await;
    served.map_err(Failure::other)
}

/// Every answer is verified, but what is sent would be open to read on the way.
fn warn_of_plain_http(config: &Config) {
    let is_loopback = match config.ic_url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if config.ic_url.scheme() == "http" && !is_loopback {
        warn!(ic_url = %config.ic_url, "the Internet Computer is reached without TLS");
    }
}

/// Listens for signals from now on: SIGTERM and SIGINT stop, SIGHUP reads the certificates again.
fn stop_on_signal(
    stop: CancellationToken,
    tls: Arc<TlsIdentity>,
) -> Result<impl Future<Output = ()>, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::other)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::other)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(Failure::other)?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => match tls.reload() {
                    Ok(()) => info!("signer-link certificates reloaded"),
                    Err(cause) => warn!(%cause, "signer-link certificates are not usable; the earlier ones stay"),
                },
            }
        }
        info!("stopping");
        stop.cancel();
    })
}

fn make_private_dir(path: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| {
            Failure::Config(format!("the state directory {}: {error}", path.display()))
        })
}

/// Writes a file that is either whole or not there.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&partial)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(&partial, path)
}
