use candid::Principal;

/// A canister that can be called: neither the management canister nor a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CanisterId(Principal);

/// Why a text names no canister that can be called.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CanisterIdError {
    /// It is no principal.
    #[error("it is not a canister id; one looks like ryjl3-tyaaa-aaaaa-aaaba-cai")]
    Malformed,
    /// `aaaaa-aa`
    #[error("aaaaa-aa is the management canister, which is not called directly")]
    Management,
    /// A self-authenticating or the anonymous principal.
    #[error("it is the principal of a person, not a canister id")]
    Person,
}

impl CanisterId {
    /// Reads a canister id's text form.
    ///
    /// # Errors
    /// See [`CanisterIdError`].
    pub fn parse(text: &str) -> Result<Self, CanisterIdError> {
        let principal =
            Principal::from_text(text.trim()).map_err(|_| CanisterIdError::Malformed)?;
        // The last byte is the class of a principal: 2 self-authenticating, 4 anonymous.
        match principal.as_slice() {
            [] => Err(CanisterIdError::Management),
            [4] => Err(CanisterIdError::Person),
            [.., 2] if principal.as_slice().len() == 29 => Err(CanisterIdError::Person),
            _ => Ok(Self(principal)),
        }
    }

    /// The principal.
    pub fn principal(self) -> Principal {
        self.0
    }
}

impl std::fmt::Display for CanisterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canisters_are_canisters() {
        let ledger = CanisterId::parse(" ryjl3-tyaaa-aaaaa-aaaba-cai ").unwrap();
        assert_eq!(ledger.to_string(), "ryjl3-tyaaa-aaaaa-aaaba-cai");
        assert_eq!(
            CanisterId::parse("aaaaa-aa"),
            Err(CanisterIdError::Management)
        );
        assert_eq!(CanisterId::parse("2vxsx-fae"), Err(CanisterIdError::Person));
        let person = Principal::self_authenticating([1; 32]).to_text();
        assert_eq!(CanisterId::parse(&person), Err(CanisterIdError::Person));
        for text in [
            "",
            "x",
            "ryjl3-tyaaa-aaaaa-aaaba-caj",
            "https://ryjl3-tyaaa-aaaaa-aaaba-cai.icp0.io",
        ] {
            assert_eq!(
                CanisterId::parse(text),
                Err(CanisterIdError::Malformed),
                "{text}"
            );
        }
    }
}
