//! Polls of devices (RFC 8628 sections 3.4 and 3.5).

use super::{
    TokenRequest,
    issue::{GRACE_SECONDS, Verdict},
};
use crate::{
    instance::Instance,
    oauth::{
        Server,
        answer::{Code, Refusal},
        credential::Credential,
        device::{self, POLL_SECONDS},
        pkce,
    },
    store::{
        Moment,
        records::{Change, CredentialKind, Decision, DeviceChange, DeviceRequest, Family},
    },
};

/// Longest wait that `slow_down` leads to, in seconds.
const MAX_POLL_SECONDS: u64 = 60;

/// A device asks whether somebody has signed in for it.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) device_code: Credential,
    pub(super) exchange: DeviceExchange,
}

/// What a poll has to match.
#[derive(Debug, Clone)]
pub(crate) struct DeviceExchange {
    pub(crate) client_id: String,
    /// Needed when the device came with a challenge.
    pub(crate) code_verifier: Option<String>,
}

impl Server {
    /// Finds out where the sign-in stands; once it is complete, the poll is a request with the credential that was
    /// sealed for the device.
    pub(super) async fn collect(
        &self,
        instance: &Instance,
        poll: Poll,
    ) -> Result<TokenRequest, Refusal> {
        let device = poll.device_code.digest();
        // Those who guess never reach the one writer.
        let known = self.store.device_request(instance.name, &device).await?;
        known.ok_or_else(unknown)?;
        let mut transaction = self.store.begin().await?;
        let request = transaction.device_request(instance.name, &device).await?;
        let now = Moment::now();
        let Decision { changes, answer } = stand(request.as_ref(), &poll.exchange, now);
        if !changes.is_empty() {
            transaction.apply(&changes, now).await?;
            self.commit(transaction).await?;
        }
        let presented = device::open(&poll.device_code, &answer?).ok_or_else(unknown)?;
        Ok(TokenRequest {
            presented,
            grant: super::Grant::Device(poll.exchange),
        })
    }
}

/// Where the sign-in stands: what was sealed for the device, or why there is nothing for it.
fn stand(
    request: Option<&DeviceRequest>,
    exchange: &DeviceExchange,
    now: Moment,
) -> Decision<Result<Vec<u8>, Refusal>> {
    let refused = |refusal| Decision::only(Err(refusal));
    let Some(request) = request else {
        return refused(unknown());
    };
    if request.client_id != exchange.client_id {
        return refused(Refusal::new(
            Code::InvalidGrant,
            "The device code belongs to another client.",
        ));
    }
    if let Some(sealed) = &request.sealed {
        return Decision::only(Ok(sealed.clone()));
    }
    if request.denied {
        return refused(Refusal::new(
            Code::AccessDenied,
            "The person denied the request.",
        ));
    }
    if request.expires_at <= now {
        return refused(expired());
    }
    let hasty = request
        .polled_at
        .is_some_and(|polled_at| now.since(polled_at) < request.poll_seconds);
    let (poll_seconds, refusal) = if hasty {
        (
            (request.poll_seconds + POLL_SECONDS).min(MAX_POLL_SECONDS),
            Refusal::new(
                Code::SlowDown,
                "Polls come too fast; wait five seconds longer between them from now on.",
            ),
        )
    } else {
        (
            request.poll_seconds,
            Refusal::new(
                Code::AuthorizationPending,
                "The person has not signed in yet; poll again after the interval.",
            ),
        )
    };
    Decision {
        changes: vec![Change::Device(DeviceChange::Polled {
            device: request.device_code,
            poll_seconds,
        })],
        answer: Err(refusal),
    }
}

/// A device code works once. Within the grace it gives the same tokens, since answers get lost; later it was stolen.
pub(super) fn judge(family: &Family, exchange: &DeviceExchange, now: Moment) -> Verdict {
    let CredentialKind::Device { code_challenge } = &family.credential.kind else {
        return Verdict::Refuse(unknown());
    };
    if !family.connection.is_live(now) {
        return Verdict::Refuse(Refusal::new(
            Code::InvalidGrant,
            "The connection is over; connect again.",
        ));
    }
    let verified = match (code_challenge, &exchange.code_verifier) {
        (Some(challenge), Some(verifier)) => pkce::verifies(verifier, challenge),
        (None, None) => true,
        // A verifier without a challenge: somebody took the challenge out on its way (RFC 9700 section 2.1.1).
        (Some(_), None) | (None, Some(_)) => false,
    };
    let genuine = verified && family.connection.client_id == exchange.client_id;
    match family.credential.spent_at {
        None if !genuine => Verdict::Refuse(Refusal::new(
            Code::InvalidGrant,
            "The device code does not belong to this client and code_verifier.",
        )),
        None if family.credential.expires_at <= now => Verdict::Refuse(expired()),
        None => Verdict::Issue {
            scopes: family.credential.scopes,
        },
        Some(spent_at) if genuine && now.since(spent_at) <= GRACE_SECONDS => Verdict::Repeat,
        Some(_) => Verdict::Revoke(Refusal::new(
            Code::InvalidGrant,
            "The device code was used before; for safety everything it issued is revoked. Connect again.",
        )),
    }
}

fn unknown() -> Refusal {
    Refusal::new(
        Code::InvalidGrant,
        "The device code is unknown; start the sign-in again.",
    )
}

fn expired() -> Refusal {
    Refusal::new(
        Code::ExpiredToken,
        "The device code has expired; start the sign-in again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::{
        tests::device_request,
        token::tests::{family, moment, verifier_and_challenge},
    };

    fn exchange() -> DeviceExchange {
        DeviceExchange {
            client_id: "client".to_owned(),
            code_verifier: None,
        }
    }

    fn code(decision: &Decision<Result<Vec<u8>, Refusal>>) -> Code {
        decision.answer.as_ref().unwrap_err().code
    }

    fn polled(poll_seconds: u64) -> Vec<Change> {
        vec![Change::Device(DeviceChange::Polled {
            device: device_request().device_code,
            poll_seconds,
        })]
    }

    #[test]
    fn a_patient_device_is_told_to_wait_and_a_hasty_one_to_slow_down() {
        let mut request = device_request();
        let start = request.created_at;
        let first = stand(Some(&request), &exchange(), start);
        assert_eq!(code(&first), Code::AuthorizationPending);
        assert_eq!(first.changes, polled(5));
        request.polled_at = Some(start);
        let hasty = stand(Some(&request), &exchange(), start.plus(4));
        assert_eq!(code(&hasty), Code::SlowDown);
        assert_eq!(hasty.changes, polled(10));
        let patient = stand(Some(&request), &exchange(), start.plus(5));
        assert_eq!(code(&patient), Code::AuthorizationPending);
        request.poll_seconds = 60;
        let hasty = stand(Some(&request), &exchange(), start.plus(59));
        assert_eq!(hasty.changes, polled(60));
    }

    #[test]
    fn every_end_has_its_error_and_changes_nothing() {
        let request = device_request();
        let now = request.created_at;
        let only = |request: Option<&DeviceRequest>, exchange: &DeviceExchange, now| {
            let decision = stand(request, exchange, now);
            assert!(decision.changes.is_empty());
            code(&decision)
        };
        assert_eq!(only(None, &exchange(), now), Code::InvalidGrant);
        let other = DeviceExchange {
            client_id: "other".to_owned(),
            ..exchange()
        };
        assert_eq!(only(Some(&request), &other, now), Code::InvalidGrant);
        assert_eq!(
            only(Some(&request), &exchange(), request.expires_at),
            Code::ExpiredToken
        );
        let denied = DeviceRequest {
            denied: true,
            ..request.clone()
        };
        assert_eq!(only(Some(&denied), &exchange(), now), Code::AccessDenied);
        let complete = DeviceRequest {
            sealed: Some(vec![7]),
            ..request
        };
        let decision = stand(Some(&complete), &exchange(), now);
        assert_eq!(decision, Decision::only(Ok(vec![7])));
    }

    #[test]
    fn a_device_code_issues_once_and_repeats_within_the_grace() {
        let mut family = family(CredentialKind::Device {
            code_challenge: None,
        });
        let scopes = family.credential.scopes;
        assert_eq!(
            judge(&family, &exchange(), moment(1)),
            Verdict::Issue { scopes }
        );
        family.credential.spent_at = Some(moment(10));
        family.credential.succeeded_at = Some(moment(11));
        let last = moment(10 + GRACE_SECONDS);
        assert_eq!(judge(&family, &exchange(), last), Verdict::Repeat);
        let late = moment(11 + GRACE_SECONDS);
        assert!(matches!(
            judge(&family, &exchange(), late),
            Verdict::Revoke(_)
        ));
    }

    #[test]
    fn a_challenge_is_honoured_and_cannot_be_taken_away() {
        let (verifier, challenge) = verifier_and_challenge();
        let with = family(CredentialKind::Device {
            code_challenge: Some(challenge),
        });
        let without = family(CredentialKind::Device {
            code_challenge: None,
        });
        let verified = DeviceExchange {
            code_verifier: Some(verifier),
            ..exchange()
        };
        let guessed = DeviceExchange {
            code_verifier: Some("x".repeat(43)),
            ..exchange()
        };
        assert!(matches!(
            judge(&with, &verified, moment(1)),
            Verdict::Issue { .. }
        ));
        for (family, exchange) in [
            (&with, &exchange()),
            (&with, &guessed),
            (&without, &verified),
        ] {
            assert!(matches!(
                judge(family, exchange, moment(1)),
                Verdict::Refuse(refusal) if refusal.code == Code::InvalidGrant
            ));
        }
    }

    #[test]
    fn another_kind_of_code_is_not_a_device_code() {
        let other = family(CredentialKind::Refresh);
        assert!(matches!(
            judge(&other, &exchange(), moment(1)),
            Verdict::Refuse(_)
        ));
    }
}
