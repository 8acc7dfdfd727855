//! Whole flows over a signer double, and what the other tests of this folder share.

mod attacks;
mod documents;
mod flow;
mod house;
mod management;
mod signer;

use ::candid::Principal;

use crate::instance::{Instance, InstanceName, PublicUrl};

/// Both instances of a server at this address.
pub(crate) fn instances(public_url: &str) -> [Instance; 2] {
    let at = |name, ii_url: &str, ii_canister| Instance {
        name,
        public_url: PublicUrl::parse(public_url).unwrap(),
        ii_url: ii_url.parse().unwrap(),
        ii_canister: Principal::from_slice(&[ii_canister]),
    };
    [
        at(InstanceName::Beta, "https://beta.id.example", 1),
        at(InstanceName::Prod, "https://id.example", 2),
    ]
}
