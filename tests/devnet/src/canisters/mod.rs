//! The canisters of the devnet. They are native code behind the interface a replica sees.

pub(crate) mod app;
pub(crate) mod bare;
pub(crate) mod cmc;
pub(crate) mod consenting;
pub(crate) mod cycles_ledger;
pub(crate) mod hostile;
pub(crate) mod ii;
pub(crate) mod ledger;
pub(crate) mod management;
pub(crate) mod oql;
pub(crate) mod types;

use candid::{
    Principal,
    utils::{ArgumentDecoder, ArgumentEncoder},
};

/// How a method is declared, and how a call is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Query,
    Update,
}

/// One call as the canister sees it.
pub(crate) struct Call<'a> {
    pub(crate) caller: Principal,
    pub(crate) method: &'a str,
    pub(crate) arg: &'a [u8],
    /// Nanoseconds since the Unix epoch.
    pub(crate) now: u64,
    /// Makes the certificate over this canister's certified data; only in non-replicated queries.
    pub(crate) certify: Option<&'a dyn Fn([u8; 32]) -> Vec<u8>>,
}

/// Why a call ended without a reply.
#[derive(Debug)]
pub(crate) enum Stop {
    Trap(String),
    /// The canister rejected the call in so many words.
    Reject(String),
    /// The method returned without a reply.
    Silent,
}

pub(crate) type Reply = Result<Vec<u8>, Stop>;

pub(crate) trait Canister: Send + Sync {
    /// The text of the public metadata section `candid:service`, if the canister has one.
    fn interface(&self) -> Option<String>;

    /// How the method is exported; `None` when it is not.
    fn mode(&self, method: &str) -> Option<Mode>;

    /// Runs an exported method.
    fn execute(&self, call: &Call<'_>) -> Reply;

    fn certified_data(&self) -> Option<[u8; 32]> {
        None
    }
}

impl<C: Canister + ?Sized> Canister for std::sync::Arc<C> {
    fn interface(&self) -> Option<String> {
        (**self).interface()
    }

    fn mode(&self, method: &str) -> Option<Mode> {
        (**self).mode(method)
    }

    fn execute(&self, call: &Call<'_>) -> Reply {
        (**self).execute(call)
    }

    fn certified_data(&self) -> Option<[u8; 32]> {
        (**self).certified_data()
    }
}

impl Call<'_> {
    /// The arguments; a mismatch traps, as the Rust canister kit does.
    pub(crate) fn args<T: for<'d> ArgumentDecoder<'d>>(&self) -> Result<T, Stop> {
        candid::decode_args(self.arg)
            .map_err(|e| Stop::Trap(format!("failed to decode call arguments: {e:#}")))
    }

    /// What to do about a method that `mode` exports and `execute` does not know.
    pub(crate) fn unknown(&self) -> Reply {
        Err(Stop::Trap(format!("no method '{}'", self.method)))
    }
}

/// Encodes the results of a method.
pub(crate) fn reply(results: impl ArgumentEncoder) -> Reply {
    candid::encode_args(results)
        .map_err(|e| Stop::Trap(format!("failed to encode the reply: {e:#}")))
}

/// Looks a method up in a table of exports.
pub(crate) fn exported(table: &[(&str, Mode)], method: &str) -> Option<Mode> {
    table
        .iter()
        .find(|(name, _)| *name == method)
        .map(|(_, mode)| *mode)
}
