use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{error, info};

use super::{failed, misconfigured};
use crate::{
    app::{App, AppError},
    config::Config,
    edge::{self, EdgeError, Handler},
    oauth::OauthError,
};

pub(super) async fn run(config: Config, ready_file: Option<PathBuf>) -> ExitCode {
    let app = match App::open(&config).await {
        Ok(app) => app,
        Err(AppError::Oauth(OauthError::Clients(error))) => return misconfigured(&error),
        Err(AppError::Oauth(OauthError::Introspectors(error))) => return misconfigured(&error),
        Err(error) => return failed(&error),
    };
    match serve_until_signal(&config, ready_file, Arc::new(app)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Serves until SIGTERM or SIGINT, then drains. The bound URL is logged and, if asked for, written to
/// `ready_file` in one step.
///
/// # Errors
/// As [`edge::serve`].
pub async fn serve_until_signal(
    config: &Config,
    ready_file: Option<PathBuf>,
    handler: Arc<dyn Handler>,
) -> Result<(), EdgeError> {
    let (stop, stopping) = watch::channel(false);
    let tls = config.tls.is_some();
    let ready = move |address: SocketAddr| {
        let url = format!("{}://{address}", if tls { "https" } else { "http" });
        info!(address = %url, "listening");
        if let Some(path) = ready_file
            && let Err(error) = announce(&path, &url)
        {
            error!(%error, path = %path.display(), "the ready file could not be written");
        }
    };
    let serving = edge::serve(config, config.limits, handler, stopping, ready);
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        signal = stop_signal() => info!(signal, "stopping"),
    }
    stop.send_replace(true);
    serving.await
}

fn announce(path: &Path, url: &str) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    fs::write(&unfinished, url)?;
    fs::rename(&unfinished, path)
}

async fn stop_signal() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        error!("signals cannot be received; stop this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_file_appears_whole_and_replaces_an_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready");
        for url in ["http://127.0.0.1:1", "http://127.0.0.1:2"] {
            announce(&path, url).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), url);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
