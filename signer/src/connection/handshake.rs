use icgate_proto::v1;

use crate::clock::{Nanos, SECOND};

/// Longest grant Internet Identity gives: 30 days.
const LONGEST_GRANT: Nanos = 30 * 24 * 3600 * SECOND;
const MAX_SESSION_KEYS: u32 = 8;

/// How a connection's session key comes to be registered with Internet Identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// The user delegates to the registration key, and the signer registers a session key with that delegation.
    RegistrationDelegation,
    /// Internet Identity's page fetches a session key and the user registers it.
    KeyRequest {
        /// Life of the grant that is proposed to the user.
        proposed: Nanos,
        /// How many session keys to make, each for one request of the page.
        session_keys: u32,
    },
}

impl TryFrom<Option<v1::KeyRequest>> for Handshake {
    type Error = &'static str;

    fn try_from(key_request: Option<v1::KeyRequest>) -> Result<Self, Self::Error> {
        let Some(key_request) = key_request else {
            return Ok(Self::RegistrationDelegation);
        };
        let proposed = key_request.proposed_seconds.saturating_mul(SECOND);
        if proposed == 0 || proposed > LONGEST_GRANT {
            return Err("`key_request.proposed_seconds` must be 1 second to 30 days");
        }
        if !(1..=MAX_SESSION_KEYS).contains(&key_request.session_keys) {
            return Err("`key_request.session_keys` must be 1 to 8");
        }
        Ok(Self::KeyRequest {
            proposed,
            session_keys: key_request.session_keys,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_and_number_are_bounded() {
        let key_request = |proposed_seconds, session_keys| {
            Handshake::try_from(Some(v1::KeyRequest {
                proposed_seconds,
                session_keys,
            }))
        };
        assert_eq!(
            key_request(3600, 3),
            Ok(Handshake::KeyRequest {
                proposed: 3600 * SECOND,
                session_keys: 3
            })
        );
        for (seconds, keys) in [
            (0, 1),
            (30 * 24 * 3600 + 1, 1),
            (u64::MAX, 1),
            (60, 0),
            (60, 9),
        ] {
            assert!(key_request(seconds, keys).is_err(), "{seconds} {keys}");
        }
        assert_eq!(
            Handshake::try_from(None),
            Ok(Handshake::RegistrationDelegation)
        );
    }
}
