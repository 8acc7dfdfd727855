use std::{
    io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Uri};
use tower::service_fn;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the signer listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `https://host:port`
    Tcp {
        /// DNS name or address; also the name its certificate must carry.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `unix:path`; TLS is spoken over the socket all the same, with the name `localhost`.
    Unix(PathBuf),
}

impl FromStr for Endpoint {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Endpoint::Unix(PathBuf::from(path)));
        }
        let uri: Uri = text.parse().map_err(|_| LinkError::Endpoint)?;
        match (uri.scheme_str(), uri.host(), uri.port_u16(), uri.path()) {
            (Some("https"), Some(host), Some(port), "/" | "") => Ok(Endpoint::Tcp {
                host: host.trim_matches(['[', ']']).to_owned(),
                port,
            }),
            _ => Err(LinkError::Endpoint),
        }
    }
}

impl Endpoint {
    fn server_name(&self) -> Result<ServerName<'static>, LinkError> {
        let name = match self {
            Endpoint::Tcp { host, .. } => host.clone(),
            Endpoint::Unix(_) => "localhost".to_owned(),
        };
        ServerName::try_from(name).map_err(|_| LinkError::Endpoint)
    }
}

/// How to reach the signer: its endpoint and the PEM files of a mutual-TLS client. The files are read again at
/// every connect, so replacing them needs no restart.
#[derive(Debug, Clone)]
pub struct Link {
    /// Where the signer listens.
    pub endpoint: Endpoint,
    /// CA that issued the signer's certificate.
    pub ca: PathBuf,
    /// This client's certificate chain; its SAN decides its role.
    pub cert: PathBuf,
    /// This client's private key.
    pub key: PathBuf,
}

/// Why a link to the signer cannot be made.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The endpoint's text is neither `https://host:port` nor `unix:path`.
    #[error("the signer's address must be https://host:port or unix:path")]
    Endpoint,
    /// A PEM file cannot be read or holds no certificate or key.
    #[error("{path}: {cause}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What the PEM reader said.
        cause: String,
    },
    /// The certificate, key and CA do not make a TLS client.
    #[error("the signer-link certificates are not usable: {0}")]
    Tls(#[from] rustls::Error),
}

impl Link {
    /// A channel that connects on first use and again whenever the connection was lost.
    ///
    /// # Errors
    /// When the endpoint or the files cannot be used as they are now.
    pub fn channel(&self) -> Result<Channel, LinkError> {
        self.tls_config()?;
        self.endpoint.server_name()?;
        let link = Arc::new(self.clone());
        let endpoint = tonic::transport::Endpoint::from_static("https://signer.icgate")
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20);
        // The scheme only names the service; TLS is the connector's own.
        let endpoint = endpoint.origin(Uri::from_static("http://signer.icgate"));
        Ok(
            endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
                let link = Arc::clone(&link);
                async move { link.connect().await.map(TokioIo::new) }
            })),
        )
    }

    async fn connect(&self) -> io::Result<Box<dyn Io>> {
        let connector = TlsConnector::from(Arc::new(self.tls_config().map_err(io::Error::other)?));
        let name = self.endpoint.server_name().map_err(io::Error::other)?;
        let connecting = async {
            let stream: Box<dyn Io> = match &self.endpoint {
                Endpoint::Tcp { host, port } => {
                    let tcp = TcpStream::connect((host.as_str(), *port)).await?;
                    tcp.set_nodelay(true)?;
                    Box::new(connector.connect(name, tcp).await?)
                }
                Endpoint::Unix(path) => Box::new(
                    connector
                        .connect(name, UnixStream::connect(path).await?)
                        .await?,
                ),
            };
            Ok(stream)
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    fn tls_config(&self) -> Result<rustls::ClientConfig, LinkError> {
        let mut roots = rustls::RootCertStore::empty();
        for ca in certificates(&self.ca)? {
            roots.add(ca)?;
        }
        let chain = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|cause| LinkError::Pem {
            path: self.key.clone(),
            cause: cause.to_string(),
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let pem = |cause: String| LinkError::Pem {
        path: path.to_owned(),
        cause,
    };
    let certs = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|cause| pem(cause.to_string()))?;
    if certs.is_empty() {
        Err(pem("no certificate in the file".to_owned()))
    } else {
        Ok(certs)
    }
}

trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Io for T {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_https_or_unix() {
        assert_eq!(
            "https://signer:9443".parse::<Endpoint>().unwrap(),
            Endpoint::Tcp {
                host: "signer".to_owned(),
                port: 9443
            }
        );
        assert_eq!(
            "https://[::1]:9443".parse::<Endpoint>().unwrap(),
            Endpoint::Tcp {
                host: "::1".to_owned(),
                port: 9443
            }
        );
        assert_eq!(
            "unix:/run/icgate/signer.sock".parse::<Endpoint>().unwrap(),
            Endpoint::Unix("/run/icgate/signer.sock".into())
        );
        for wrong in [
            "http://signer:9443",
            "https://signer",
            "https://s:1/path",
            "unix:",
            "",
            "signer:1",
        ] {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
        }
    }
}
