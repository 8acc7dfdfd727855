use std::time::Duration;

use icgate_proto::{Endpoint, Link};
use tokio::time::timeout;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{ConfigArgs, Failure};
use crate::{config::Config, rpc::Listen};

const DEADLINE: Duration = Duration::from_secs(5);

/// Asks the signer of this configuration for its health, with the signer's own certificate.
pub(super) async fn health(args: &ConfigArgs) -> Result<(), Failure> {
    let channel = link(args.load()?)?.channel().map_err(Failure::config)?;
    let mut client = HealthClient::new(channel);
    let check = client.check(HealthCheckRequest {
        service: String::new(),
    });
    let answer = timeout(DEADLINE, check).await.map_err(Failure::other)?;
    let status = answer
        .map_err(|status| Failure::other(status.message()))?
        .into_inner()
        .status();
    match status {
        ServingStatus::Serving => Ok(()),
        other => Err(Failure::Other(format!(
            "the signer answers {}",
            other.as_str_name()
        ))),
    }
}

fn link(config: Config) -> Result<Link, Failure> {
    let endpoint = match config.listen {
        Listen::Unix(path) => Endpoint::Unix(path),
        Listen::Tcp(address) if address.port() == 0 => {
            return Err(Failure::Config(
                "`listen` takes a free port, so its health cannot be asked".to_owned(),
            ));
        }
        Listen::Tcp(address) if address.ip().is_unspecified() => Endpoint::Tcp {
            host: "localhost".to_owned(),
            port: address.port(),
        },
        Listen::Tcp(address) => Endpoint::Tcp {
            host: address.ip().to_string(),
            port: address.port(),
        },
    };
    let tls = config.tls;
    Ok(Link {
        endpoint,
        ca: tls.client_ca,
        cert: tls.cert,
        key: tls.key,
    })
}
