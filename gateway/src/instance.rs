//! An instance: one Internet Identity deployment served at one mount path, with its own issuer, tokens and
//! connections.

use std::fmt;

use ::candid::Principal;
use url::Url;

use crate::scope::Scopes;

/// Which of the two instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceName {
    /// `/mcp`, the default instance: Internet Identity's beta.
    Beta,
    /// `/mcp-prod`: production Internet Identity.
    Prod,
}

impl InstanceName {
    /// Both instances.
    pub const ALL: [InstanceName; 2] = [InstanceName::Beta, InstanceName::Prod];

    /// The name in configuration, storage and at the signer.
    pub const fn as_str(self) -> &'static str {
        match self {
            InstanceName::Beta => "beta",
            InstanceName::Prod => "prod",
        }
    }

    /// What stands before `/oauth/…` and after the issuer's origin: empty or `/prod`.
    pub const fn prefix(self) -> &'static str {
        match self {
            InstanceName::Beta => "",
            InstanceName::Prod => "/prod",
        }
    }

    /// Path of the MCP endpoint.
    pub const fn mcp_path(self) -> &'static str {
        match self {
            InstanceName::Beta => "/mcp",
            InstanceName::Prod => "/mcp-prod",
        }
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// This server's own origin as the world sees it: scheme, host and port, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Takes an http or https URL that is an origin and nothing more; a trailing slash is dropped.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text.trim()).map_err(|_| "is not a URL")?;
        let plain = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match url.scheme() {
            "http" | "https" if plain && url.has_host() => {
                Ok(Self(url.origin().ascii_serialization()))
            }
            "http" | "https" => Err("must be an origin: scheme, host and port only"),
            _ => Err("must be an http or https URL"),
        }
    }

    /// The origin's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether browsers reach this server by https.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// `host[:port]` as it stands in a Host header.
    pub fn authority(&self) -> &str {
        self.0
            .split_once("://")
            .map_or("", |(_, authority)| authority)
    }

    /// Host without port.
    pub fn host(&self) -> String {
        Url::parse(&self.0)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Whether the host is a loopback name or address.
    pub fn is_loopback(&self) -> bool {
        matches!(self.host().as_str(), "localhost" | "127.0.0.1" | "[::1]")
    }
}

/// Which generation of Internet Identity's protocol an instance speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// The live protocol: the browser comes back with a delegation to our registration key.
    RegistrationDelegation,
    /// The earlier one: Internet Identity's page fetches our session key and the user registers it.
    KeyRequest,
}

/// One instance with everything its addresses are made of.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Which one.
    pub name: InstanceName,
    /// This server's origin.
    pub public_url: PublicUrl,
    /// Origin of Internet Identity's pages.
    pub ii_url: Url,
    /// Internet Identity's canister.
    pub ii_canister: Principal,
    /// How people sign in there.
    pub handshake: Handshake,
    /// What may be asked for: what the tools that are served need.
    pub scopes: Scopes,
}

impl Instance {
    /// RFC 8414 issuer identifier; no trailing slash.
    pub fn issuer(&self) -> String {
        format!("{}{}", self.public_url.as_str(), self.name.prefix())
    }

    /// RFC 8707 resource identifier of the MCP endpoint; no trailing slash.
    pub fn resource(&self) -> String {
        format!("{}{}", self.public_url.as_str(), self.name.mcp_path())
    }

    /// An OAuth endpoint, `oauth/token` for example.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}/{path}", self.issuer())
    }

    /// Where Internet Identity sends the browser back to; listed in `/.well-known/ii-auth-callbacks`.
    pub fn callback(&self) -> String {
        self.endpoint("oauth/connect/callback")
    }

    /// RFC 9728 metadata of the MCP endpoint, at the path-inserted place.
    pub fn resource_metadata(&self) -> String {
        format!(
            "{}/.well-known/oauth-protected-resource{}",
            self.public_url.as_str(),
            self.name.mcp_path()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin() {
        let url = PublicUrl::parse("HTTP://127.0.0.1:8000/").unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:8000");
        assert_eq!(url.authority(), "127.0.0.1:8000");
        assert!(url.is_loopback());
        assert_eq!(
            PublicUrl::parse("https://gate.example:443")
                .unwrap()
                .as_str(),
            "https://gate.example"
        );
        for wrong in [
            "https://h/x",
            "https://h/?q",
            "https://u@h",
            "ftp://h",
            "h",
            "https://h/#f",
        ] {
            assert!(PublicUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
