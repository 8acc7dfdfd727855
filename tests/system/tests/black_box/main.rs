//! Black-box tests: the real `icgate`, `icgate-signer` and `icgate-devnet` processes, spoken to only through the
//! interfaces their users have. Every test starts processes of its own on free ports.
#![forbid(unsafe_code)]

mod api_keys;
mod browser;
mod candid_input;
mod cimd;
mod client_management;
mod clients;
mod configuration;
mod connect;
mod deploy;
mod device;
mod edge;
mod grants;
mod handshake;
mod introspection;
mod isolation;
mod limits;
mod main_job;
mod metadata;
mod outages;
mod round_trips;
mod sessions;
mod siblings;
mod signer_link;
mod step_up;
mod strangers;
mod theft;
mod tokens;

/// A domain of an app that nobody runs: Internet Identity derives accounts for any origin.
const APP: &str = "app.example";

/// The principal of everybody who does not sign.
const ANONYMOUS: &str = "2vxsx-fae";
