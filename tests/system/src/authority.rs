//! The certificate authority of the tests' own https servers.

use std::sync::{Arc, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// A root that only this test process knows.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// The one that [`http_client`](crate::http_client) trusts.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn own() -> &'static Self {
        static OWN: OnceLock<Authority> = OnceLock::new();
        OWN.get_or_init(|| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().expect("a key");
            let issuer = CertifiedIssuer::self_signed(params, key).expect("a root");
            Self { issuer }
        })
    }

    /// The root's certificate.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// What a server needs that goes by this name or address.
    ///
    /// # Panics
    /// When it is neither.
    pub fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new([name.to_owned()])
            .and_then(|params| params.signed_by(&key, &self.issuer))
            .expect("a certificate");
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![leaf.der().clone()], private)
            })
            .expect("a server configuration");
        Arc::new(config)
    }
}
