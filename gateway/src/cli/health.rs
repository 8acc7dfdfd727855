use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use reqwest::{Client, StatusCode, header};

use super::failed;
use crate::config::Config;

const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Succeeds when `GET /healthz` of the server configured here says 200; prints what it said.
pub(super) async fn run(config: &Config) -> ExitCode {
    match probe(config).await {
        Ok((status, body)) => {
            println!("{body}");
            if status == StatusCode::OK {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => failed(&error),
    }
}

async fn probe(config: &Config) -> reqwest::Result<(StatusCode, String)> {
    let address = reachable(config.listen);
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut request = Client::builder()
        .no_proxy()
        .timeout(PROBE_TIMEOUT)
        // The certificate is for the public name and the probe is of this machine; no secret is sent.
        .tls_danger_accept_invalid_certs(true)
        .build()?
        .get(format!("{scheme}://{address}/healthz"))
        .header(header::HOST, config.public_url.authority());
    if config.tls.is_none() && config.public_url.is_https() {
        // As the proxy in front says it.
        request = request.header("x-forwarded-proto", "https");
    }
    let response = request.send().await?;
    Ok((response.status(), response.text().await?))
}

/// "All addresses" is reached by loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let address = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    SocketAddr::new(address, listen.port())
}
