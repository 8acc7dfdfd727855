//! Black-box tests: the real `icgate`, `icgate-signer` and `icgate-devnet` processes, spoken to only through the
//! interfaces their users have. Every test starts processes of its own on free ports.
#![forbid(unsafe_code)]

mod api_keys;
mod apps;
mod arguments;
mod attacks;
mod behind_a_proxy;
mod browser;
mod candid_input;
mod cimd;
mod client_management;
mod clients;
mod configuration;
mod conformance;
mod connect;
mod deploy;
mod device;
mod discovery;
mod document_site;
mod edge;
mod funding;
mod grants;
mod handshake;
mod https_site;
mod install;
mod instances;
mod introspection;
mod isolation;
mod journeys;
mod killed;
mod limits;
mod main_job;
mod management;
mod manners;
mod metadata;
mod negotiation;
mod no_proxy;
mod operator_list;
mod oql;
mod oracles;
mod outages;
mod progress;
mod resources;
mod round_trips;
mod sessions;
mod siblings;
mod sign_ins;
mod signer_link;
mod skills;
mod step_up;
mod strangers;
mod surface;
mod theft;
mod tokens;
mod tools;
mod uploads;

/// A domain of an app that nobody runs: Internet Identity derives accounts for any origin.
const APP: &str = "app.example";

/// The principal of everybody who does not sign.
const ANONYMOUS: &str = "2vxsx-fae";
