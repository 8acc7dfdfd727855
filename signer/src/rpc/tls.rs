use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tracing::{info, warn};

const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The PEM files of the signer's end of the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The signer's certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CA whose client certificates are accepted.
    pub client_ca: PathBuf,
}

/// Why the link's TLS cannot be set up.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or holds nothing of its kind.
    #[error("{path}: {cause}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The files do not make a TLS server.
    #[error("the signer-link certificates are not usable: {0}")]
    Config(String),
}

/// The TLS configuration new connections get; replaced when the files change.
pub struct TlsIdentity {
    files: TlsFiles,
    current: ArcSwap<TlsConfig>,
}

/// One reading of the files.
pub(super) struct TlsConfig {
    pub(super) server: Arc<ServerConfig>,
    /// The signer's own certificate, with which its health command presents itself.
    pub(super) own: CertificateDer<'static>,
}

impl TlsIdentity {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let current = ArcSwap::from_pointee(files.config()?);
        Ok(Self { files, current })
    }

    /// Reads the files again. Connections that stand keep what they have; see
    /// [`crate::Limits::connection_age_seconds`].
    ///
    /// # Errors
    /// See [`TlsError`]; the earlier configuration then stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.store(Arc::new(self.files.config()?));
        Ok(())
    }

    /// Reloads whenever a file changes, for as long as the signer runs.
    pub async fn watch(self: Arc<Self>) {
        let mut seen = self.files.stamps();
        let mut tick = tokio::time::interval(WATCH_EVERY);
        loop {
            tick.tick().await;
            let now = self.files.stamps();
            if now != seen {
                seen = now;
                match self.reload() {
                    Ok(()) => info!("signer-link certificates reloaded"),
                    Err(cause) => {
                        warn!(%cause, "changed signer-link certificates are not usable; the earlier ones stay")
                    }
                }
            }
        }
    }

    /// The configuration for a new connection.
    pub(super) fn current(&self) -> Arc<TlsConfig> {
        self.current.load_full()
    }
}

impl TlsFiles {
    fn config(&self) -> Result<TlsConfig, TlsError> {
        let unusable = |error: &dyn std::fmt::Display| TlsError::Config(error.to_string());
        let mut roots = RootCertStore::empty();
        for ca in certificates(&self.client_ca)? {
            roots.add(ca).map_err(|error| unusable(&error))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| unusable(&error))?;
        let chain = certificates(&self.cert)?;
        let own = chain[0].clone();
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| pem(&self.key, &error))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| unusable(&error))?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(|error| unusable(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would skip the check of the client's certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(TlsConfig {
            server: Arc::new(config),
            own,
        })
    }

    fn stamps(&self) -> [Option<(SystemTime, u64)>; 3] {
        [&self.cert, &self.key, &self.client_ca].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
    }
}

/// At least one certificate.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem(path, &error))?;
    if certificates.is_empty() {
        return Err(pem(path, &"no certificate in the file"));
    }
    Ok(certificates)
}

fn pem(path: &Path, cause: &dyn std::fmt::Display) -> TlsError {
    TlsError::Pem {
        path: path.to_owned(),
        cause: cause.to_string(),
    }
}
