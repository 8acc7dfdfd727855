use crate::{
    connection::ConnectionId,
    oauth::{
        answer::{Code, Refusal},
        credential::{Credential, Prefix},
    },
    scope::Scopes,
    store::{
        Moment,
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
    /// With its slot; none for clients that did not register for the refresh grant.
    pub(crate) refresh: Option<(Credential, String)>,
}

impl Minted {
    fn credentials(&self) -> Vec<&Credential> {
        let refresh = self.refresh.iter().map(|(refresh, _)| refresh);
        std::iter::once(&self.access).chain(refresh).collect()
    }
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
    /// New credentials may be issued. Successors that never arrived are discarded.
    Issue {
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
            Some(minted) => issue(family, presented, minted, scopes, now),
            None => (Vec::new(), Err(again())),
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

fn issue(
    family: &Family,
    presented: &Credential,
    minted: Minted,
    scopes: Scopes,
    now: Moment,
) -> (Vec<Change>, Result<Granted, Refusal>) {
    let spent = &family.credential;
    let connection = &family.connection;
    let mut changes = discard(family);
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
    changes.push(Change::Spend {
        hash: spent.hash,
        sealed: match spent.kind {
            CredentialKind::Refresh | CredentialKind::Device { .. } => {
                presented.seal_all(&minted.credentials())
            }
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
        refresh,
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

/// Successors that were issued once and never used give way to new ones.
fn discard(family: &Family) -> Vec<Change> {
    if family.successors.is_empty() {
        return Vec::new();
    }
    let mut changes: Vec<_> = family
        .successors
        .iter()
        .map(|successor| Change::Forget(successor.hash))
        .collect();
    changes.push(Change::Chore(Chore::DropSlots {
        connection: family.connection.id.clone(),
        slots: family
            .successors
            .iter()
            .map(|successor| successor.slot.clone())
            .collect(),
    }));
    changes
}

fn repeat(family: &Family, presented: &Credential, now: Moment) -> Option<Granted> {
    let sealed = family.credential.sealed.as_deref()?;
    let mut credentials = presented
        .unseal_all(sealed, &[Prefix::Access, Prefix::Refresh])?
        .into_iter();
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
