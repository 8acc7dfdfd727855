use std::process::ExitCode;

use url::Url;

use super::failed;
use crate::config;

/// Prints the key that a local replica's certificates chain to. Only loopback is asked: a key fetched over the
/// network would prove nothing.
pub(super) async fn run(ic_url: &Url) -> ExitCode {
    if !config::is_loopback(ic_url) {
        return failed(&"--ic-url must be on loopback; mainnet's key is built in");
    }
    match config::fetch_root_key(ic_url).await {
        Ok(key) => {
            println!("{}", hex::encode(key));
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}
