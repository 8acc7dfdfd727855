//! A canister that publishes no interface.

use super::{Call, Canister, Mode, Reply, exported, reply};

const METHODS: &[(&str, Mode)] = &[
    ("ping", Mode::Query),
    ("whoami", Mode::Query),
    ("double", Mode::Query),
    ("whoami_update", Mode::Update),
];

pub(crate) struct Bare;

impl Canister for Bare {
    fn interface(&self) -> Option<String> {
        None
    }

    fn mode(&self, method: &str) -> Option<Mode> {
        exported(METHODS, method)
    }

    fn execute(&self, call: &Call<'_>) -> Reply {
        match call.method {
            "ping" => reply(("pong",)),
            "whoami" | "whoami_update" => reply((call.caller,)),
            "double" => {
                let (n,): (candid::Int,) = call.args()?;
                reply((n.clone() + n,))
            }
            _ => call.unknown(),
        }
    }
}
