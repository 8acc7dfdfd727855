//! The link's certificates and a server on them.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test code; every test binary uses a part of this"
)]

use std::{path::Path, process::Command, sync::Arc};

use icgate_proto::{Endpoint, Link, SignerClient};
use icgate_signer::{
    Signer,
    access::{Role, RoleRule},
    rpc::{Listen, Listening, TlsFiles, TlsIdentity, serve},
};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const GATEWAY: &str = "spiffe://icgate/gateway";
pub const OBSERVER: &str = "observer.example";

/// Runs `icgate-signer init`.
pub fn init(dir: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_icgate-signer"))
        .args(["init", "--dir"])
        .arg(dir)
        .status();
    assert!(status.unwrap().success());
}

pub fn tls_files(dir: &Path) -> TlsFiles {
    TlsFiles {
        cert: dir.join("signer/signer.pem"),
        key: dir.join("signer/signer.key"),
        client_ca: dir.join("signer/ca.pem"),
    }
}

pub struct Served {
    pub port: u16,
    pub tls: Arc<TlsIdentity>,
    pub stop: CancellationToken,
    pub serving: JoinHandle<()>,
}

/// Serves a signer on a free port of loopback with the certificates of a directory that `init` made.
pub async fn served(signer: Arc<Signer>, dir: &Path) -> Served {
    let listen = Listen::Tcp("127.0.0.1:0".parse().unwrap());
    let listening = Listening::bind(&listen).await.unwrap();
    let Listen::Tcp(address) = listening.address().unwrap() else {
        unreachable!()
    };
    let tls = Arc::new(TlsIdentity::load(tls_files(dir)).unwrap());
    let rules =
        [(Role::Gateway, GATEWAY), (Role::Observer, OBSERVER)].map(|(role, san)| RoleRule {
            role,
            san: san.to_owned(),
        });
    let stop = CancellationToken::new();
    let serving = serve(
        signer,
        listening,
        Arc::clone(&tls),
        rules.to_vec(),
        stop.clone(),
    );
    let serving = tokio::spawn(async move { serving.await.unwrap() });
    Served {
        port: address.port(),
        tls,
        stop,
        serving,
    }
}

/// The gateway's end of the link.
pub fn gateway_link(dir: &Path, port: u16) -> Link {
    Link {
        endpoint: Endpoint::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        },
        ca: dir.join("gateway/ca.pem"),
        cert: dir.join("gateway/gateway.pem"),
        key: dir.join("gateway/gateway.key"),
    }
}

pub fn gateway(dir: &Path, port: u16) -> SignerClient {
    SignerClient::new(&gateway_link(dir, port)).unwrap()
}

/// A link with a certificate that the directory's CA issues to another subject.
pub fn link_as(dir: &Path, port: u16, san: SanType) -> Link {
    let ca_key =
        KeyPair::from_pem(&std::fs::read_to_string(dir.join("ca/ca.key")).unwrap()).unwrap();
    let ca_pem = std::fs::read_to_string(dir.join("ca/ca.pem")).unwrap();
    let mut ca = CertificateParams::default();
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "icgate signer-link CA");
    assert!(ca_pem.contains("BEGIN CERTIFICATE"));
    let issuer = Issuer::new(ca, ca_key);
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![san];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let (cert, key_path) = (dir.join("other.pem"), dir.join("other.key"));
    std::fs::write(&cert, certificate.pem()).unwrap();
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    Link {
        cert,
        key: key_path,
        ..gateway_link(dir, port)
    }
}
