use crate::{
    connection::ConnectionId,
    oauth::{
        answer::{Code, Refusal},
        credential::{Credential, Prefix},
    },
    scope::Scopes,
    store::{
        Digest, Moment,
        records::{Change, Chore, Connection, CredentialKind, EndReason, Family, IssuedCredential},
    },
};

/// How long after its exchange a credential that comes again is taken for a retry or for a second process of the
/// same client. A refresh token then gives the same successors, a code gives nothing.
pub(crate) const GRACE_SECONDS: u64 = 30;

/// The credentials to hand out, with their slots at the signer.
pub(crate) struct Minted {
    pub(crate) access: Credential,
    pub(crate) access_expires_at: Moment,
    pub(crate) access_slot: String,
    /// With its slot; none for clients that did not register for the refresh grant, and where one is given again.
    pub(crate) refresh: Option<(Credential, String)>,
}

/// A successful token answer (RFC 6749 section 5.1).
pub(crate) struct Granted {
    pub(crate) access: Credential,
    pub(crate) expires_in: u64,
    pub(crate) refresh: Option<Credential>,
    pub(crate) scopes: Scopes,
}

/// What a rule found about a presented code or refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// New credentials may be issued. Successors that nobody can be given again are discarded.
    Issue {
        /// Of the new access token.
        scopes: Scopes,
    },
    /// A new access token may be issued; the refresh token that was issued before is given again beside it.
    Renew {
        /// Of the new access token.
        scopes: Scopes,
    },
    /// The same answer again.
    Repeat,
    /// No.
    Refuse(Refusal),
    /// No, and the connection is over: somebody else holds this credential.
    Revoke(Refusal),
}

/// When a new access token of the connection lapses: it never outlives the grant.
pub(crate) fn access_expiry(connection: &Connection, seconds: u64, now: Moment) -> Moment {
    now.plus(seconds).min(connection.expires_at)
}

/// Turns a verdict into changes and an answer. `minted` is there whenever the first look said
/// [`Verdict::Issue`]; what is not handed out after all leaves the signer again.
pub(crate) fn carry_out(
    verdict: Verdict,
    family: &Family,
    presented: &Credential,
    minted: Option<Minted>,
    now: Moment,
) -> (Vec<Change>, Result<Granted, Refusal>) {
    let connection = &family.connection.id;
    match verdict {
        Verdict::Issue { scopes } => match minted {
            Some(minted) if minted.refresh.is_some() == family.connection.may_refresh => {
                issue(family, presented, minted, None, scopes, now)
            }
            other => (unused(connection, other), Err(again())),
        },
        Verdict::Renew { scopes } => match (minted, sealed_refresh(family, presented)) {
            (Some(minted), Some(kept)) => issue(family, presented, minted, Some(kept), scopes, now),
            (minted, _) => (unused(connection, minted), Err(again())),
        },
        Verdict::Repeat => (
            unused(connection, minted),
            repeat(family, presented, now).ok_or_else(again),
        ),
        Verdict::Refuse(refusal) => (unused(connection, minted), Err(refusal)),
        Verdict::Revoke(refusal) => {
            let end = Change::EndConnection {
                connection: connection.clone(),
                reason: EndReason::Reused,
            };
            (vec![end], Err(refusal))
        }
    }
}

/// `kept` is a refresh token of the earlier answer that is given again.
fn issue(
    family: &Family,
    presented: &Credential,
    mut minted: Minted,
    kept: Option<Credential>,
    scopes: Scopes,
    now: Moment,
) -> (Vec<Change>, Result<Granted, Refusal>) {
    let spent = &family.credential;
    let connection = &family.connection;
    let kept_hash = kept.as_ref().map(Credential::digest);
    let mut slots = Vec::new();
    if kept.is_some() {
        slots.extend(minted.refresh.take().map(|(_, slot)| slot));
    }
    let mut changes = discard(family, kept_hash.as_ref(), slots);
    // Being exchanged is being used. The slot of what came before it went when its own successors' were added.
    if spent.presented_at.is_none() {
        changes.push(present(spent));
    }
    let successor = |credential: &Credential, kind, slot: String, scopes, expires_at| {
        Change::AddCredential(IssuedCredential {
            hash: credential.digest(),
            kind,
            connection: connection.id.clone(),
            predecessor: Some(spent.hash),
            predecessor_slot: Some(spent.slot.clone()),
            slot,
            scopes,
            issued_at: now,
            expires_at,
            spent_at: None,
            presented_at: None,
            succeeded_at: None,
            sealed: None,
        })
    };
    let new = minted.refresh.as_ref().map(|(refresh, _)| refresh);
    let answer: Vec<_> = std::iter::once(&minted.access)
        .chain(new.or(kept.as_ref()))
        .collect();
    changes.push(Change::Spend {
        hash: spent.hash,
        sealed: match spent.kind {
            CredentialKind::Refresh | CredentialKind::Device { .. } => presented.seal_all(&answer),
            // Never given again.
            _ => Vec::new(),
        },
    });
    changes.push(successor(
        &minted.access,
        CredentialKind::Access,
        minted.access_slot,
        scopes,
        minted.access_expires_at,
    ));
    let refresh = minted.refresh.map(|(refresh, slot)| {
        changes.push(successor(
            &refresh,
            CredentialKind::Refresh,
            slot,
            // A narrower access token does not narrow the refresh token (section 6).
            spent.scopes,
            connection.expires_at,
        ));
        refresh
    });
    let granted = Granted {
        expires_in: minted.access_expires_at.since(now),
        access: minted.access,
        refresh: refresh.or(kept),
        scopes,
    };
    (changes, Ok(granted))
}

/// What happens when a credential is used for the first time: its predecessor's slot goes.
pub(crate) fn first_use(credential: &IssuedCredential) -> Vec<Change> {
    let mut changes = vec![present(credential)];
    if let Some(slot) = &credential.predecessor_slot {
        changes.push(Change::Chore(Chore::DropSlots {
            connection: credential.connection.clone(),
            slots: vec![slot.clone()],
        }));
    }
    changes
}

fn present(credential: &IssuedCredential) -> Change {
    Change::Present {
        hash: credential.hash,
        predecessor: credential.predecessor,
    }
}

/// Successors that were issued once and never used give way to new ones, but for the one that is kept. `slots` are
/// those that go too.
fn discard(family: &Family, kept: Option<&Digest>, mut slots: Vec<String>) -> Vec<Change> {
    let mut changes = Vec::new();
    for successor in &family.successors {
        if kept != Some(&successor.hash) {
            changes.push(Change::Forget(successor.hash));
            slots.push(successor.slot.clone());
        }
    }
    if !slots.is_empty() {
        changes.push(Change::Chore(Chore::DropSlots {
            connection: family.connection.id.clone(),
            slots,
        }));
    }
    changes
}

/// The refresh token of the earlier answer, if it is still there.
fn sealed_refresh(family: &Family, presented: &Credential) -> Option<Credential> {
    let mut credentials = earlier_answer(family, presented)?;
    let refresh = credentials.nth(1)?;
    let is_there = |successor: &IssuedCredential| successor.hash == refresh.digest();
    family.successors.iter().any(is_there).then_some(refresh)
}

fn earlier_answer(
    family: &Family,
    presented: &Credential,
) -> Option<impl Iterator<Item = Credential> + use<>> {
    let sealed = family.credential.sealed.as_deref()?;
    let credentials = presented.unseal_all(sealed, &[Prefix::Access, Prefix::Refresh])?;
    Some(credentials.into_iter())
}

fn repeat(family: &Family, presented: &Credential, now: Moment) -> Option<Granted> {
    let mut credentials = earlier_answer(family, presented)?;
    let access = credentials.next()?;
    let record = family
        .successors
        .iter()
        .find(|successor| successor.hash == access.digest())?;
    Some(Granted {
        expires_in: record.expires_at.since(now),
        scopes: record.scopes,
        access,
        refresh: credentials.next(),
    })
}

fn unused(connection: &ConnectionId, minted: Option<Minted>) -> Vec<Change> {
    let Some(minted) = minted else {
        return Vec::new();
    };
    let slots = std::iter::once(minted.access_slot)
        .chain(minted.refresh.map(|(_, slot)| slot))
        .collect();
    vec![Change::Chore(Chore::DropSlots {
        connection: connection.clone(),
        slots,
    })]
}

fn again() -> Refusal {
    Refusal::new(
        Code::TemporarilyUnavailable,
        "The request crossed another one; send it again.",
    )
}
