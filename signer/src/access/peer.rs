use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use tokio::time::Instant;
use x509_parser::{extensions::GeneralName, prelude::*};

use super::Role;

/// A line of the configuration: certificates with this subject alternative name have this role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRule {
    /// The role.
    pub role: Role,
    /// A URI or DNS subject alternative name (RFC 5280, section 4.2.1.6), compared exactly.
    pub san: String,
}

/// The client at the other end of a TLS connection, as its certificate names it.
#[derive(Debug, Clone)]
pub struct Peer {
    connected_at: Instant,
    subject: Arc<str>,
    roles: Arc<[Role]>,
}

impl Peer {
    /// The client of a verified certificate chain. One whose names have no role may call nothing; the signer's own
    /// certificate may observe.
    pub fn of_chain(
        chain: &[CertificateDer<'_>],
        rules: &[RoleRule],
        own: &CertificateDer<'_>,
    ) -> Self {
        let leaf = chain.first();
        let names = leaf.map(names).unwrap_or_default();
        let named = rules
            .iter()
            .filter(|rule| names.contains(&rule.san))
            .map(|rule| rule.role);
        let observer = (leaf == Some(own)).then_some(Role::Observer);
        Self {
            connected_at: Instant::now(),
            roles: named.chain(observer).collect(),
            subject: names.join(", ").into(),
        }
    }

    /// Its subject alternative names, for the log.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// When its connection was made.
    pub fn connected_at(&self) -> Instant {
        self.connected_at
    }

    /// Its roles.
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }
}

fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::URI(name) | GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(text).collect()
}
