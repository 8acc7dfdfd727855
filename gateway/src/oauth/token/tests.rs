use super::*;
use crate::{
    connection::{AccessLevel, ConnectionId},
    instance::InstanceName,
    oauth::token::issue::{access_expiry, carry_out},
    scope::Scope,
    store::{
        Digest,
        records::{Chore, Connection, CredentialKind, IssuedCredential},
    },
};

pub(super) fn moment(seconds: u64) -> Moment {
    Moment::from_seconds(1_000_000 + seconds)
}

/// The example of RFC 7636, appendix B.
pub(super) fn verifier_and_challenge() -> (String, String) {
    (
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned(),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned(),
    )
}

pub(super) fn family(kind: CredentialKind) -> Family {
    family_of(kind, Digest::of("presented"))
}

fn family_of(kind: CredentialKind, hash: Digest) -> Family {
    let connection = Connection {
        id: ConnectionId::new("connection"),
        instance: InstanceName::Beta,
        client_id: "client".to_owned(),
        client_name: None,
        user_id: "user".to_owned(),
        scopes: Scopes::from_iter([Scope::Read, Scope::Write]),
        access_level: AccessLevel::All,
        may_refresh: true,
        created_at: moment(0),
        expires_at: moment(86_400),
        ended: None,
    };
    let expires_at = match kind {
        CredentialKind::Code { .. } => moment(120),
        _ => connection.expires_at,
    };
    Family {
        credential: IssuedCredential {
            hash,
            kind,
            connection: connection.id.clone(),
            predecessor: Some(Digest::of("before")),
            predecessor_slot: Some("slot before".to_owned()),
            slot: "slot".to_owned(),
            scopes: connection.scopes,
            issued_at: moment(0),
            expires_at,
            spent_at: None,
            presented_at: None,
            succeeded_at: None,
            sealed: None,
        },
        connection,
        successors: Vec::new(),
    }
}

fn minted() -> Minted {
    Minted {
        access: Credential::mint(Prefix::Access),
        access_expires_at: moment(3_600),
        access_slot: "access slot".to_owned(),
        refresh: Some((Credential::mint(Prefix::Refresh), "refresh slot".to_owned())),
    }
}

fn presented() -> (Credential, Family) {
    let presented = Credential::mint(Prefix::Refresh);
    let family = family_of(CredentialKind::Refresh, presented.digest());
    (presented, family)
}

fn dropped(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .filter_map(|change| match change {
            Change::Chore(Chore::DropSlots { slots, .. }) => Some(slots.clone()),
            _ => None,
        })
        .flatten()
        .collect()
}

#[test]
fn an_access_token_lives_its_time_and_never_longer_than_the_grant() {
    let (_, mut family) = presented();
    assert_eq!(
        access_expiry(&family.connection, 3_600, moment(0)),
        moment(3_600)
    );
    family.connection.expires_at = moment(90);
    assert_eq!(
        access_expiry(&family.connection, 3_600, moment(0)),
        moment(90)
    );
}

#[test]
fn issuing_spends_the_credential_and_lets_no_slot_go() {
    let (presented, family) = presented();
    let scopes = Scopes::from_iter([Scope::Read]);
    let verdict = Verdict::Issue { scopes };
    let (changes, answer) = carry_out(verdict, &family, &presented, Some(minted()), moment(1));
    let granted = answer.ok().unwrap();
    assert_eq!(granted.scopes, scopes);
    assert_eq!(granted.expires_in, 3_599);
    // The slot of what was exchanged stays until a successor is used; the one before it went when these were added.
    assert!(dropped(&changes).is_empty());
    assert!(changes.contains(&Change::Present {
        hash: presented.digest(),
        predecessor: Some(Digest::of("before")),
    }));
    let added: Vec<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::AddCredential(credential) => Some(credential),
            _ => None,
        })
        .collect();
    assert_eq!(added.len(), 2);
    for credential in &added {
        assert_eq!(credential.predecessor, Some(presented.digest()));
        assert_eq!(credential.predecessor_slot.as_deref(), Some("slot"));
    }
    let refresh = added
        .iter()
        .find(|c| c.kind == CredentialKind::Refresh)
        .unwrap();
    assert_eq!(refresh.scopes, family.credential.scopes);
    assert_eq!(refresh.expires_at, family.connection.expires_at);
}

#[test]
fn a_repeat_gives_the_sealed_answer_and_gives_back_unneeded_slots() {
    let (presented, mut family) = presented();
    let scopes = family.credential.scopes;
    let first = carry_out(
        Verdict::Issue { scopes },
        &family,
        &presented,
        Some(minted()),
        moment(1),
    );
    let granted = first.1.ok().unwrap();
    for change in first.0 {
        match change {
            Change::Spend { sealed, .. } => family.credential.sealed = Some(sealed),
            Change::AddCredential(credential) => family.successors.push(credential),
            _ => {}
        }
    }
    let (changes, again) = carry_out(
        Verdict::Repeat,
        &family,
        &presented,
        Some(minted()),
        moment(11),
    );
    let again = again.ok().unwrap();
    assert_eq!(again.access.text(), granted.access.text());
    assert_eq!(
        again.refresh.unwrap().text(),
        granted.refresh.unwrap().text()
    );
    assert_eq!(again.expires_in, granted.expires_in - 10);
    assert_eq!(dropped(&changes), ["access slot", "refresh slot"]);
    assert_eq!(changes.len(), 1);
}

#[test]
fn successors_that_never_arrived_give_way() {
    let (presented, mut family) = presented();
    let lost = family_of(CredentialKind::Access, Digest::of("lost")).credential;
    family.credential.spent_at = Some(moment(1));
    family.credential.presented_at = Some(moment(1));
    family.successors = vec![lost.clone()];
    let verdict = Verdict::Issue {
        scopes: family.credential.scopes,
    };
    let (changes, _) = carry_out(verdict, &family, &presented, Some(minted()), moment(500));
    assert!(changes.contains(&Change::Forget(lost.hash)));
    assert_eq!(dropped(&changes), ["slot"]);
}

#[test]
fn what_a_code_issued_is_never_kept_to_be_given_again() {
    let presented = Credential::mint(Prefix::Code);
    let kind = CredentialKind::Code {
        redirect_uri: "http://127.0.0.1:1/cb".to_owned(),
        code_challenge: verifier_and_challenge().1,
    };
    let family = family_of(kind, presented.digest());
    let scopes = family.credential.scopes;
    let verdict = Verdict::Issue { scopes };
    let (changes, _) = carry_out(verdict, &family, &presented, Some(minted()), moment(1));
    let spend = Change::Spend {
        hash: presented.digest(),
        sealed: Vec::new(),
    };
    assert!(changes.contains(&spend));
}

#[test]
fn a_revocation_ends_the_connection_and_nothing_else() {
    let (presented, family) = presented();
    let refusal = Refusal::new(Code::InvalidGrant, "no");
    let verdict = Verdict::Revoke(refusal.clone());
    let (changes, answer) = carry_out(verdict, &family, &presented, None, moment(1));
    assert_eq!(answer.err(), Some(refusal));
    assert_eq!(
        changes,
        [Change::EndConnection {
            connection: family.connection.id,
            reason: EndReason::Reused
        }]
    );
}

#[test]
fn a_request_says_exactly_what_it_wants() {
    let [beta, _] = crate::oauth::tests::instances("https://gate.example");
    let code = Credential::mint(Prefix::Code).text().to_string();
    let good = format!("grant_type=authorization_code&code={code}&client_id=c&code_verifier=v");
    assert!(parse(good.as_bytes(), &beta, true).is_ok());
    for (body, expected) in [
        (String::new(), Code::InvalidRequest),
        (format!("{good}&client_id=c"), Code::InvalidRequest),
        (good.replace("client_id=c&", ""), Code::InvalidClient),
        (
            "grant_type=authorization_code&code=made-up".to_owned(),
            Code::InvalidClient,
        ),
        (
            "grant_type=refresh_token&refresh_token=made-up".to_owned(),
            Code::InvalidClient,
        ),
        (good.replace("&code_verifier=v", ""), Code::InvalidRequest),
        (good.replace(&code, "icg_ac_x"), Code::InvalidGrant),
        (good.replace("icg_ac_", "icg_rt_"), Code::InvalidGrant),
        (
            good.replace("authorization_code", "password"),
            Code::UnsupportedGrantType,
        ),
        (
            format!("{good}&resource=https://other.example/mcp"),
            Code::InvalidTarget,
        ),
    ] {
        assert_eq!(
            parse(body.as_bytes(), &beta, true).err().map(|r| r.code),
            Some(expected),
            "{body}"
        );
    }
}
