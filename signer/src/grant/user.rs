use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use candid::Principal;
use sha2::{Digest, Sha256};

use crate::vault::User;

/// The user a principal stands for: a person at one instance. The id tells nothing about the principal's text and
/// differs between instances.
pub fn identify(instance: &str, canister: Principal, principal: Principal) -> User {
    let mut hasher = Sha256::new();
    for part in [
        b"icgate user v1",
        instance.as_bytes(),
        canister.as_slice(),
        principal.as_slice(),
    ] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let id = BASE64_URL_SAFE_NO_PAD.encode(&hasher.finalize()[..16]);
    User { id, principal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_one_person_at_one_instance() {
        let [a, b] = [[1], [2]].map(|id| Principal::from_slice(&id));
        let user = identify("beta", a, b);
        assert_eq!(identify("beta", a, b), user);
        assert_ne!(identify("prod", a, b).id, user.id);
        assert_ne!(identify("beta", b, b).id, user.id);
        assert_ne!(identify("beta", a, a).id, user.id);
    }
}
