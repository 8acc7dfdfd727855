//! The edge's certificate, read again when its files change.

use std::{
    convert::Infallible,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use pingora_core::listeners::tls::Acceptor;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::EdgeError;
use crate::config::TlsFiles;

/// How often the files are looked at. SIGHUP makes it happen at once.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The current certificate and key.
#[derive(Debug)]
pub(super) struct Certificate {
    files: TlsFiles,
    current: ArcSwap<CertifiedKey>,
}

impl Certificate {
    /// Reads the files for the first time.
    pub(super) fn open(files: &TlsFiles) -> Result<Self, EdgeError> {
        Ok(Self {
            current: ArcSwap::from_pointee(load(files)?),
            files: files.clone(),
        })
    }

    /// Takes what the files hold now; a pair that cannot be used leaves the old one in place.
    pub(super) fn reload(&self) {
        match load(&self.files) {
            Ok(pair) => {
                self.current.store(Arc::new(pair));
                info!(cert = %self.files.cert.display(), "certificate reloaded");
            }
            Err(error) => warn!(%error, "keeping the old certificate"),
        }
    }

    /// The pair that the next handshake gets.
    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }

    fn stamp(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.files.cert, &self.files.key].map(|path| stamp(path))
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = path.metadata().ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn load(files: &TlsFiles) -> Result<CertifiedKey, EdgeError> {
    let wrong = |path: &Path, cause: String| EdgeError::Certificate {
        path: path.to_owned(),
        cause,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(&files.cert, error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong(&files.key, error.to_string()))?;
    // Refuses an empty chain and a key that is not the certificate's.
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| wrong(&files.cert, error.to_string()))
}

/// TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
pub(super) fn acceptor(certificate: &Arc<Certificate>) -> Result<Acceptor, EdgeError> {
    let resolver: Arc<dyn ResolvesServerCert> = certificate.clone();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| EdgeError::Certificate {
            path: certificate.files.cert.clone(),
            cause: error.to_string(),
        })?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Acceptor::from_server_config(Arc::new(config)))
}

/// Reloads the certificate whenever its files change or SIGHUP arrives; without one there is nothing to do.
pub(super) async fn keep_fresh(certificate: Option<Arc<Certificate>>) -> Infallible {
    let Some(certificate) = certificate else {
        return std::future::pending().await;
    };
    let mut hangup = signal(SignalKind::hangup()).ok();
    let mut seen = certificate.stamp();
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => false,
            Some(()) = next(&mut hangup) => true,
        };
        let now = certificate.stamp();
        if asked || now != seen {
            certificate.reload();
            seen = now;
        }
    }
}

async fn next(hangup: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    match hangup {
        Some(hangup) => hangup.recv().await,
        None => std::future::pending().await,
    }
}
