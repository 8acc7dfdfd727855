use super::issue::{GRACE_SECONDS, Verdict};
use crate::{
    oauth::{
        answer::{Code, Refusal},
        pkce,
    },
    store::{
        Moment,
        records::{CredentialKind, Family},
    },
};

/// An authorization code's exchange (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
#[derive(Debug, Clone)]
pub(crate) struct CodeExchange {
    pub(crate) client_id: String,
    /// Compared when it is there; PKCE binds the code to its client already (OAuth 2.1).
    pub(crate) redirect_uri: Option<String>,
    pub(crate) code_verifier: String,
}

/// A code is exchanged exactly once. The very same request again within the grace is a client whose requests crossed
/// or whose answer was lost: it gets nothing, and what the first one got stays good. Any other second use means that
/// the code was stolen, and revokes what it issued. A code that is not spent stays good when somebody else guesses at
/// the verifier.
pub(crate) fn judge(family: &Family, exchange: &CodeExchange, now: Moment) -> Verdict {
    let CredentialKind::Code {
        redirect_uri,
        code_challenge,
    } = &family.credential.kind
    else {
        return Verdict::Refuse(refused("This is not an authorization code."));
    };
    if !family.connection.is_live(now) {
        return Verdict::Refuse(refused("The connection is over; connect again."));
    }
    let genuine = family.connection.client_id == exchange.client_id
        && exchange
            .redirect_uri
            .as_ref()
            .is_none_or(|uri| uri == redirect_uri)
        && pkce::verifies(&exchange.code_verifier, code_challenge);
    match family.credential.spent_at {
        None if !genuine => Verdict::Refuse(refused(
            "The code does not belong to this client, redirect_uri and code_verifier.",
        )),
        None if family.credential.expires_at <= now => {
            Verdict::Refuse(refused("The code has expired; connect again."))
        }
        None => Verdict::Issue {
            scopes: family.credential.scopes,
        },
        Some(spent_at) if genuine && now.since(spent_at) <= GRACE_SECONDS => Verdict::Refuse(
            refused("The code was exchanged already; use the tokens it gave, or connect again."),
        ),
        Some(_) => Verdict::Revoke(refused(
            "The code was used before; for safety everything it issued is revoked. Connect again.",
        )),
    }
}

fn refused(description: &'static str) -> Refusal {
    Refusal::new(Code::InvalidGrant, description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::token::tests::{family, moment, verifier_and_challenge};

    fn code_family() -> (Family, CodeExchange) {
        let (code_verifier, code_challenge) = verifier_and_challenge();
        let redirect_uri = "http://127.0.0.1:1/cb".to_owned();
        let family = family(CredentialKind::Code {
            redirect_uri: redirect_uri.clone(),
            code_challenge,
        });
        let exchange = CodeExchange {
            client_id: family.connection.client_id.clone(),
            redirect_uri: Some(redirect_uri),
            code_verifier,
        };
        (family, exchange)
    }

    /// The exchange with one binding wrong at a time.
    fn wrong(exchange: &CodeExchange) -> [CodeExchange; 3] {
        [
            CodeExchange {
                client_id: "other".to_owned(),
                ..exchange.clone()
            },
            CodeExchange {
                redirect_uri: Some("http://127.0.0.1:2/cb".to_owned()),
                ..exchange.clone()
            },
            CodeExchange {
                code_verifier: "x".repeat(43),
                ..exchange.clone()
            },
        ]
    }

    fn refuses(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Refuse(refusal) if refusal.code == Code::InvalidGrant)
    }

    #[test]
    fn a_fresh_code_issues_its_scopes() {
        let (family, mut exchange) = code_family();
        let scopes = family.credential.scopes;
        assert_eq!(
            judge(&family, &exchange, moment(1)),
            Verdict::Issue { scopes }
        );
        exchange.redirect_uri = None;
        assert_eq!(
            judge(&family, &exchange, moment(1)),
            Verdict::Issue { scopes }
        );
    }

    #[test]
    fn every_binding_is_checked_and_a_wrong_guess_does_not_spend_the_code() {
        let (family, exchange) = code_family();
        for exchange in wrong(&exchange) {
            assert!(refuses(&judge(&family, &exchange, moment(1))));
        }
    }

    #[test]
    fn a_code_lapses_and_dies_with_its_connection() {
        let (mut family, exchange) = code_family();
        assert!(refuses(&judge(
            &family,
            &exchange,
            family.credential.expires_at
        )));
        family.connection.ended = Some(crate::store::records::EndReason::Ended);
        assert!(refuses(&judge(&family, &exchange, moment(1))));
    }

    #[test]
    fn the_same_request_within_the_grace_gets_nothing_and_harms_nothing() {
        let (mut family, exchange) = code_family();
        family.credential.spent_at = Some(moment(10));
        let last = moment(10 + GRACE_SECONDS);
        assert!(refuses(&judge(&family, &exchange, last)));
        // Also when what it issued is in use.
        family.credential.succeeded_at = Some(moment(11));
        assert!(refuses(&judge(&family, &exchange, last)));
    }

    #[test]
    fn any_other_second_use_revokes() {
        let (mut family, exchange) = code_family();
        family.credential.spent_at = Some(moment(10));
        let late = judge(&family, &exchange, moment(11 + GRACE_SECONDS));
        assert!(matches!(late, Verdict::Revoke(_)));
        for stranger in wrong(&exchange) {
            assert!(matches!(
                judge(&family, &stranger, moment(11)),
                Verdict::Revoke(_)
            ));
        }
    }
}
