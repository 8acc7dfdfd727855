use candid::Principal;

use super::{CanisterId, Ic, IcError};

/// What the certified state says of a canister to anybody (IC interface specification, "Canister information").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanisterState {
    /// SHA-256 of its module; none when no code is installed.
    pub module_hash: Option<Vec<u8>>,
    /// Who controls it; none when there is no such canister.
    pub controllers: Option<Vec<Principal>>,
    /// When the certificate was made, in nanoseconds since the epoch.
    pub certified_at_ns: u64,
}

impl Ic {
    /// Reads a canister's module hash and controllers with proof, as nobody.
    ///
    /// # Errors
    /// See [`IcError`].
    pub async fn canister_state(&self, canister: CanisterId) -> Result<CanisterState, IcError> {
        let principal = canister.principal();
        let path = |name: &'static str| {
            [
                b"canister".as_slice(),
                principal.as_slice(),
                name.as_bytes(),
            ]
        };
        let wanted =
            ["module_hash", "controllers"].map(|name| path(name).map(<[u8]>::to_vec).to_vec());
        let certified = self.read_paths(canister, wanted.to_vec()).await?;
        let controllers = certified
            .lookup(path("controllers"))?
            .map(serde_cbor::from_slice)
            .transpose()
            .map_err(|error| IcError::Unexpected(error.to_string()))?;
        let time = certified.time()?.duration_since(std::time::UNIX_EPOCH);
        Ok(CanisterState {
            module_hash: certified.lookup(path("module_hash"))?.map(<[u8]>::to_vec),
            controllers,
            certified_at_ns: u64::try_from(time.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX),
        })
    }
}
