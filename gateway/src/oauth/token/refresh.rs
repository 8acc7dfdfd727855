use super::issue::{GRACE_SECONDS, Verdict};
use crate::{
    oauth::answer::{Code, Refusal},
    scope::Scopes,
    store::{
        Moment,
        records::{CredentialKind, Family, IssuedCredential},
    },
};

/// A refresh (RFC 6749 section 6).
#[derive(Debug, Clone)]
pub(crate) struct Refresh {
    pub(crate) client_id: String,
    /// Absent: what was granted. What exceeds the grant is cut, since clients repeat the scopes they first asked
    /// for, which the person may have narrowed; the answer says what the token has.
    pub(crate) scopes: Option<Scopes>,
}

/// A refresh token works once and is replaced each time. Within the grace a spent one gives the same successors
/// (a lost answer, or two processes of one client). Later it still gives the same refresh token as long as none of
/// its successors was ever used: the answer never arrived. After that it was stolen, from this client or by it, and
/// the connection is over.
pub(crate) fn judge(family: &Family, refresh: &Refresh, now: Moment) -> Verdict {
    if family.credential.kind != CredentialKind::Refresh {
        return Verdict::Refuse(refused("This is not a refresh token."));
    }
    if family.connection.client_id != refresh.client_id {
        return Verdict::Refuse(refused("The refresh token belongs to another client."));
    }
    if !family.connection.is_live(now) || family.credential.expires_at <= now {
        return Verdict::Refuse(refused("The connection is over; connect again."));
    }
    let granted = family.credential.scopes;
    let scopes = refresh
        .scopes
        .map_or(granted, |asked| asked.intersection(granted));
    if scopes.is_empty() {
        return Verdict::Refuse(Refusal::new(
            Code::InvalidScope,
            "None of the scopes asked for was granted.",
        ));
    }
    match (family.credential.spent_at, family.credential.succeeded_at) {
        (None, _) => Verdict::Issue { scopes },
        (Some(spent_at), _) if now.since(spent_at) <= GRACE_SECONDS => Verdict::Repeat,
        (Some(_), None) => unused(family, scopes, now),
        (Some(_), Some(_)) => Verdict::Revoke(refused(
            "The refresh token was used before; for safety the connection is revoked. Connect again.",
        )),
    }
}

/// The answer never arrived, or whoever got it has not used it yet. Its refresh token is given again and never another
/// one in its place: two who hold the spent token then share it, and the later of them to use it is noticed.
fn unused(family: &Family, scopes: Scopes, now: Moment) -> Verdict {
    let successor = |kind: CredentialKind| {
        let of_kind = |it: &&IssuedCredential| it.kind == kind;
        family.successors.iter().find(of_kind)
    };
    match (
        successor(CredentialKind::Refresh),
        successor(CredentialKind::Access),
    ) {
        (None, _) => Verdict::Issue { scopes },
        (Some(_), Some(access))
            if access.scopes == scopes && now.plus(GRACE_SECONDS) < access.expires_at =>
        {
            Verdict::Repeat
        }
        (Some(_), _) => Verdict::Renew { scopes },
    }
}

fn refused(description: &'static str) -> Refusal {
    Refusal::new(Code::InvalidGrant, description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oauth::token::tests::{family, moment},
        scope::Scope,
        store::records::EndReason,
    };

    fn refresh_family() -> (Family, Refresh) {
        let family = family(CredentialKind::Refresh);
        let refresh = Refresh {
            client_id: family.connection.client_id.clone(),
            scopes: None,
        };
        (family, refresh)
    }

    #[test]
    fn without_scope_the_grant_stays_as_it_is_and_a_narrower_one_is_given() {
        let (family, mut refresh) = refresh_family();
        let granted = family.credential.scopes;
        assert_eq!(
            judge(&family, &refresh, moment(1)),
            Verdict::Issue { scopes: granted }
        );
        refresh.scopes = Some(Scopes::from_iter([Scope::Read]));
        let scopes = Scopes::from_iter([Scope::Read]);
        assert_eq!(
            judge(&family, &refresh, moment(1)),
            Verdict::Issue { scopes }
        );
        // More than was granted is cut; nothing of what was granted is an error.
        refresh.scopes = Some(Scope::ALL.into_iter().collect());
        assert_eq!(
            judge(&family, &refresh, moment(1)),
            Verdict::Issue { scopes: granted }
        );
        refresh.scopes = Some(Scopes::from_iter([Scope::Manage]));
        assert!(matches!(
            judge(&family, &refresh, moment(1)),
            Verdict::Refuse(refusal) if refusal.code == Code::InvalidScope
        ));
    }

    #[test]
    fn another_client_and_an_ended_connection_are_refused() {
        let (mut family, refresh) = refresh_family();
        let other = Refresh {
            client_id: "other".to_owned(),
            ..refresh.clone()
        };
        assert!(matches!(
            judge(&family, &other, moment(1)),
            Verdict::Refuse(_)
        ));
        let end = family.connection.expires_at;
        assert!(matches!(judge(&family, &refresh, end), Verdict::Refuse(_)));
        family.connection.ended = Some(EndReason::Revoked);
        assert!(matches!(
            judge(&family, &refresh, moment(1)),
            Verdict::Refuse(_)
        ));
    }

    #[test]
    fn within_the_grace_a_spent_token_repeats_even_when_its_successor_is_in_use() {
        let (mut family, refresh) = refresh_family();
        family.credential.spent_at = Some(moment(10));
        family.credential.succeeded_at = Some(moment(11));
        let last = moment(10 + GRACE_SECONDS);
        assert_eq!(judge(&family, &refresh, last), Verdict::Repeat);
    }

    #[test]
    fn a_lost_answer_is_made_good_long_after_the_grace() {
        let (mut family, refresh) = refresh_family();
        family.credential.spent_at = Some(moment(10));
        assert!(matches!(
            judge(&family, &refresh, moment(5_000)),
            Verdict::Issue { .. }
        ));
    }

    #[test]
    fn the_same_refresh_token_is_given_until_it_is_used() {
        let (mut spent, refresh) = refresh_family();
        let scopes = spent.credential.scopes;
        spent.credential.spent_at = Some(moment(10));
        let successor = |kind, expires_at| IssuedCredential {
            expires_at,
            ..family(kind).credential
        };
        let end = spent.connection.expires_at;
        spent.successors = vec![
            successor(CredentialKind::Access, moment(3_610)),
            successor(CredentialKind::Refresh, end),
        ];
        assert_eq!(judge(&spent, &refresh, moment(500)), Verdict::Repeat);
        // Another access token beside it only where the one that was given is about to lapse or does not fit.
        let renew = Verdict::Renew { scopes };
        assert_eq!(judge(&spent, &refresh, moment(3_590)), renew);
        let narrower = Refresh {
            scopes: Some(Scopes::from_iter([Scope::Read])),
            ..refresh.clone()
        };
        assert!(matches!(
            judge(&spent, &narrower, moment(500)),
            Verdict::Renew { .. }
        ));
        spent.successors.remove(0);
        assert_eq!(judge(&spent, &refresh, moment(500)), renew);
        spent.successors.clear();
        assert_eq!(
            judge(&spent, &refresh, moment(500)),
            Verdict::Issue { scopes }
        );
    }

    #[test]
    fn theft_ends_the_connection() {
        let (mut family, refresh) = refresh_family();
        family.credential.spent_at = Some(moment(10));
        family.credential.succeeded_at = Some(moment(11));
        let verdict = judge(&family, &refresh, moment(11 + GRACE_SECONDS));
        assert!(matches!(verdict, Verdict::Revoke(_)));
    }
}
