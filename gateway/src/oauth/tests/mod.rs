//! Whole flows over a signer double, and what the other tests of this folder share.

mod attacks;
mod documents;
mod flow;
mod house;
mod introspection;
mod limits;
mod management;
mod siblings;
mod signer;

use ::candid::Principal;

use crate::{
    instance::{Handshake, Instance, InstanceName, PublicUrl},
    scope::{Scope, Scopes},
    store::{Digest, Moment, records::DeviceRequest},
};

/// A device that began to wait at second 1,000,000.
pub(crate) fn device_request() -> DeviceRequest {
    let created_at = Moment::from_seconds(1_000_000);
    DeviceRequest {
        device_code: Digest::of("device code"),
        public_key: [9; 32],
        user_code: Digest::of("user code"),
        instance: InstanceName::Beta,
        client_id: "client".to_owned(),
        client_name: Some("tv".to_owned()),
        may_refresh: true,
        code_challenge: None,
        scopes: Scopes::from_iter([Scope::Read, Scope::Write]),
        address: "192.0.2.1".to_owned(),
        created_at,
        expires_at: created_at.plus(600),
        poll_seconds: 5,
        polled_at: None,
        entered: 0,
        denied: false,
        sealed: None,
    }
}

/// Both instances of a server at this address.
pub(crate) fn instances(public_url: &str) -> [Instance; 2] {
    let at = |name, ii_url: &str, ii_canister, handshake| Instance {
        name,
        public_url: PublicUrl::parse(public_url).unwrap(),
        ii_url: ii_url.parse().unwrap(),
        ii_canister: Principal::from_slice(&[ii_canister]),
        handshake,
        scopes: Scope::ALL.into_iter().collect(),
    };
    [
        at(
            InstanceName::Beta,
            "https://beta.id.example",
            1,
            Handshake::RegistrationDelegation,
        ),
        at(
            InstanceName::Prod,
            "https://id.example",
            2,
            Handshake::RegistrationDelegation,
        ),
    ]
}
