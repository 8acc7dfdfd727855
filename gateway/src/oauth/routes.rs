//! Which paths are the authorization server's.

use http::Method;

use crate::{
    connect,
    instance::InstanceName::{self, Beta, Prod},
    throttle::Class,
};

/// What stands before the client in the address of its registration.
const REGISTRATION: &str = "/oauth/register/";

/// An address of the authorization server or one of its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Info,
    Authorize(InstanceName),
    Token(InstanceName),
    Register(InstanceName),
    /// One registration; its client stands at the end of the path.
    Registration(InstanceName),
    Revoke(InstanceName),
    Introspect(InstanceName),
    Callback(InstanceName),
    Redeem(InstanceName),
    /// The question about the user's other connections.
    Others(InstanceName),
    Connections(InstanceName),
    Finish(InstanceName),
    DeviceAuthorization(InstanceName),
    Device(InstanceName),
    DeviceDone(InstanceName),
    ServerMetadata(InstanceName),
    ResourceMetadata(InstanceName),
    Callbacks,
}

impl Route {
    /// Finds what a path is. Besides the canonical places it knows the spellings that clients try.
    pub(crate) fn find(path: &str) -> Option<Route> {
        Some(match path {
            "/" => Route::Info,
            "/.well-known/ii-auth-callbacks" => Route::Callbacks,
            // Some clients look for the endpoints at the origin when metadata did not help them.
            "/authorize" => Route::Authorize(Beta),
            "/token" => Route::Token(Beta),
            "/register" => Route::Register(Beta),
            _ => Self::well_known(path).or_else(|| match path.strip_prefix("/prod") {
                Some(rest) => Self::endpoint(Prod, rest),
                None => Self::endpoint(Beta, path),
            })?,
        })
    }

    /// What its requests are counted as.
    pub(crate) fn class(self, method: &Method) -> Class {
        match self {
            Route::Callback(_) if method == Method::POST => Class::Redeem,
            Route::Info | Route::Callback(_) | Route::Finish(_) | Route::DeviceDone(_) => {
                Class::Page
            }
            Route::DeviceAuthorization(_) => Class::Device,
            Route::Device(_) if method == Method::POST => Class::Consent,
            Route::Device(_) => Class::Authorize,
            Route::Authorize(_) | Route::Connections(_) if method == Method::POST => Class::Consent,
            Route::Authorize(_) | Route::Connections(_) => Class::Authorize,
            Route::Others(_) => Class::Redeem,
            Route::Token(_) => Class::Token,
            Route::Register(_) => Class::Register,
            Route::Registration(_) => Class::Manage,
            Route::Revoke(_) => Class::Revoke,
            Route::Introspect(_) => Class::Introspect,
            Route::Redeem(_) => Class::Redeem,
            Route::ServerMetadata(_) | Route::ResourceMetadata(_) | Route::Callbacks => {
                Class::Metadata
            }
        }
    }

    fn endpoint(instance: InstanceName, path: &str) -> Option<Route> {
        Some(match path {
            "/oauth/authorize" => Route::Authorize(instance),
            "/oauth/token" => Route::Token(instance),
            "/oauth/register" => Route::Register(instance),
            "/oauth/revoke" => Route::Revoke(instance),
            "/oauth/introspect" => Route::Introspect(instance),
            "/oauth/connect/callback" => Route::Callback(instance),
            "/oauth/connect/redeem" => Route::Redeem(instance),
            connect::QUESTION_PATH => Route::Others(instance),
            "/connections" => Route::Connections(instance),
            "/oauth/finish" => Route::Finish(instance),
            "/oauth/device_authorization" => Route::DeviceAuthorization(instance),
            "/oauth/device" => Route::Device(instance),
            "/oauth/device/done" => Route::DeviceDone(instance),
            _ => match path.strip_prefix(REGISTRATION) {
                Some(id) if !id.is_empty() && !id.contains('/') => Route::Registration(instance),
                _ => return None,
            },
        })
    }

    /// The client of a [`Route::Registration`].
    pub(crate) fn registered_client(path: &str) -> &str {
        path.rsplit('/').next().unwrap_or_default()
    }

    /// `/.well-known/NAME/OF` and `/OF/.well-known/NAME`, where OF is an issuer's or an endpoint's path.
    fn well_known(path: &str) -> Option<Route> {
        let (before, after) = path.split_once("/.well-known/")?;
        let (name, after) = match after.split_once('/') {
            Some((name, after)) => (name, after),
            None => (after, ""),
        };
        let of = match (before.trim_start_matches('/'), after) {
            (of, "") | ("", of) => of,
            _ => return None,
        };
        let instance = match of {
            "" | "mcp" => Beta,
            "prod" | "mcp-prod" => Prod,
            _ => return None,
        };
        match name {
            "oauth-authorization-server" | "openid-configuration" => {
                Some(Route::ServerMetadata(instance))
            }
            "oauth-protected-resource" => Some(Route::ResourceMetadata(instance)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_clients_try_is_known() {
        for (path, route) in [
            (
                "/.well-known/oauth-authorization-server",
                Route::ServerMetadata(Beta),
            ),
            (
                "/.well-known/oauth-authorization-server/prod",
                Route::ServerMetadata(Prod),
            ),
            (
                "/prod/.well-known/oauth-authorization-server",
                Route::ServerMetadata(Prod),
            ),
            (
                "/.well-known/openid-configuration",
                Route::ServerMetadata(Beta),
            ),
            (
                "/.well-known/openid-configuration/prod",
                Route::ServerMetadata(Prod),
            ),
            (
                "/prod/.well-known/openid-configuration",
                Route::ServerMetadata(Prod),
            ),
            (
                "/.well-known/oauth-protected-resource",
                Route::ResourceMetadata(Beta),
            ),
            (
                "/.well-known/oauth-protected-resource/mcp",
                Route::ResourceMetadata(Beta),
            ),
            (
                "/.well-known/oauth-protected-resource/mcp-prod",
                Route::ResourceMetadata(Prod),
            ),
            (
                "/mcp/.well-known/oauth-protected-resource",
                Route::ResourceMetadata(Beta),
            ),
            (
                "/mcp-prod/.well-known/oauth-protected-resource",
                Route::ResourceMetadata(Prod),
            ),
            ("/token", Route::Token(Beta)),
            (
                "/prod/oauth/register/icg_client_x",
                Route::Registration(Prod),
            ),
            ("/oauth/token", Route::Token(Beta)),
            ("/prod/oauth/token", Route::Token(Prod)),
            ("/prod/oauth/connect/redeem", Route::Redeem(Prod)),
            ("/oauth/connect/others", Route::Others(Beta)),
            ("/connections", Route::Connections(Beta)),
            ("/prod/connections", Route::Connections(Prod)),
        ] {
            assert_eq!(Route::find(path), Some(route), "{path}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for path in [
            "/mcp",
            "/prod",
            "/prod/",
            "/oauth",
            "/oauth/token/",
            "/oauth/register/",
            "/oauth/register/a/b",
            "/prod/token",
            "/prodoauth/token",
            "/.well-known/oauth-protected-resource/other",
            "/a/.well-known/oauth-protected-resource/b",
            "/mcp/.well-known/oauth-protected-resource/mcp",
            "//.well-known/x",
            "",
        ] {
            assert_eq!(Route::find(path), None, "{path}");
        }
    }
}
