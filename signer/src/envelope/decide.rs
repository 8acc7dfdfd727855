use candid::Principal;
use icgate_proto::Reason;

use super::{Call, Kind};
use crate::{
    clock::Nanos,
    connection::{AccessLevel, Ceiling},
};

/// Where a connection stands, as far as signing is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Begun, not completed.
    Pending,
    /// Completed, and its grant is live.
    Live,
    /// Closed, or its grant was replaced or ended.
    Ended,
}

/// What a decision rests on besides the call and the time.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The connection's ceiling.
    pub ceiling: Ceiling,
    /// What the connection and the delegation in hand allow.
    pub access: AccessLevel,
    /// When the connection lapses.
    pub expires_at: Nanos,
    /// Where it stands.
    pub standing: Standing,
}

/// The rule a decision fell under. The texts are part of the interface.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Allowed: a query within `ic:read`.
    Query,
    /// Allowed: an update call within `ic:write`.
    Update,
    /// Allowed: a call to the management canister within `ic:manage`.
    Manage,
    /// Allowed: the status of an update call.
    ReadState,
    /// Allowed: the signer's own calls to Internet Identity.
    Identity,
    /// Refused: the connection is not live.
    Connection,
    /// Refused: the ceiling lacks the scope.
    Scope,
    /// Refused: the user granted queries only.
    Access,
}

impl Rule {
    /// The rule's text on the wire and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Update => "update",
            Self::Manage => "manage",
            Self::ReadState => "read-state",
            Self::Identity => "identity",
            Self::Connection => "connection",
            Self::Scope => "scope",
            Self::Access => "access-level",
        }
    }
}

/// A signature that is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The rule it fell under.
    pub rule: Rule,
    /// The machine code.
    pub reason: Reason,
    /// The sentence the agent is told.
    pub sentence: &'static str,
}

/// Decides whether a call may be signed: a pure function of the connection's bounds, the call and the time.
///
/// # Errors
/// The refusal.
pub fn decide(bounds: &Bounds, call: &Call, now: Nanos) -> Result<Rule, Refusal> {
    match bounds.standing {
        Standing::Live if now < bounds.expires_at => {}
        Standing::Pending => return Err(PENDING),
        Standing::Live | Standing::Ended => return Err(ENDED),
    }
    let scopes = bounds.ceiling.scopes;
    let management = call.canister().is_some_and(is_management);
    let (rule, in_scope, missing) = match call.kind() {
        // Who may make a call may learn what became of it; any scope lets one make some.
        Kind::ReadState => (
            Rule::ReadState,
            scopes.read || scopes.write || scopes.manage,
            NO_READ,
        ),
        _ if management => (Rule::Manage, scopes.manage, NO_MANAGE),
        Kind::Query => (Rule::Query, scopes.read, NO_READ),
        Kind::Update => (Rule::Update, scopes.write, NO_WRITE),
    };
    if !in_scope {
        return Err(missing);
    }
    if call.kind() == Kind::Update && bounds.ceiling.access.min(bounds.access) < AccessLevel::All {
        return Err(QUERIES_ONLY);
    }
    Ok(rule)
}

/// Whether a call to this id may reach the management canister. Besides the empty principal, a subnet's own id does;
/// canisters have opaque ids, which end in 0x01 (interface specification, "Principals"), and nothing else does.
fn is_management(canister: Principal) -> bool {
    canister.as_slice().last() != Some(&0x01)
}

const PENDING: Refusal = Refusal {
    rule: Rule::Connection,
    reason: Reason::ConnectionPending,
    sentence: "The user has not finished signing in with Internet Identity yet.",
};

const ENDED: Refusal = Refusal {
    rule: Rule::Connection,
    reason: Reason::ConnectionEnded,
    sentence: crate::refusal::SESSION_OVER,
};

const NO_READ: Refusal = Refusal {
    rule: Rule::Scope,
    reason: Reason::ScopeExceeded,
    sentence: "This connection lacks the scope ic:read, which reading as the user needs. Ask the user to reconnect and grant it.",
};

const NO_WRITE: Refusal = Refusal {
    rule: Rule::Scope,
    reason: Reason::ScopeExceeded,
    sentence: "This connection lacks the scope ic:write, which update calls need. Ask the user to reconnect and grant it.",
};

const NO_MANAGE: Refusal = Refusal {
    rule: Rule::Scope,
    reason: Reason::ScopeExceeded,
    sentence: "This connection lacks the scope ic:manage, which calls to the management canister need. Ask the user to reconnect and grant it.",
};

const QUERIES_ONLY: Refusal = Refusal {
    rule: Rule::Access,
    reason: Reason::AccessLevelExceeded,
    sentence: "The user allowed queries only, so this update call was not sent. Ask the user to reconnect and choose \"Actions & questions\" at Internet Identity.",
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{connection::Scopes, envelope::Invocation};

    fn call(kind: Kind, canister: Principal) -> Call {
        let (method, arg) = ("m".to_owned(), Vec::new());
        let invocation = match kind {
            Kind::Query => Invocation::Query {
                canister,
                method,
                arg,
            },
            Kind::Update => Invocation::Update {
                canister,
                method,
                arg,
                nonce: vec![1],
            },
            Kind::ReadState => Invocation::ReadState {
                request_id: [0; 32],
            },
        };
        Call {
            invocation,
            ingress_expiry: 1,
        }
    }

    fn bounds(scopes: &str, access: AccessLevel) -> Bounds {
        let scopes = Scopes {
            read: scopes.contains('r'),
            write: scopes.contains('w'),
            manage: scopes.contains('m'),
        };
        let ceiling = Ceiling {
            scopes,
            access: AccessLevel::All,
            expires_at: None,
        };
        Bounds {
            ceiling,
            access,
            expires_at: 100,
            standing: Standing::Live,
        }
    }

    #[test]
    fn each_call_falls_under_its_rule() {
        use AccessLevel::{All, Queries};
        use Kind::{Query, ReadState, Update};
        use Reason::{AccessLevelExceeded, ScopeExceeded};
        let app = Principal::from_slice(&[1]);
        let management = Principal::management_canister();
        let subnet = Principal::self_authenticating(b"a subnet's key");
        for (scopes, access, kind, canister, expected) in [
            ("r", Queries, Query, app, Ok(Rule::Query)),
            ("wm", All, Query, app, Err(ScopeExceeded)),
            ("w", All, Update, app, Ok(Rule::Update)),
            ("r", All, Update, app, Err(ScopeExceeded)),
            ("rm", All, Update, app, Err(ScopeExceeded)),
            ("rwm", Queries, Update, app, Err(AccessLevelExceeded)),
            ("r", Queries, Update, app, Err(ScopeExceeded)),
            ("m", All, Update, management, Ok(Rule::Manage)),
            ("rw", All, Update, management, Err(ScopeExceeded)),
            ("rwm", Queries, Update, management, Err(AccessLevelExceeded)),
            ("m", Queries, Query, management, Ok(Rule::Manage)),
            ("rw", All, Query, management, Err(ScopeExceeded)),
            ("rw", All, Update, subnet, Err(ScopeExceeded)),
            ("rw", All, Query, subnet, Err(ScopeExceeded)),
            ("m", All, Update, subnet, Ok(Rule::Manage)),
            ("r", Queries, ReadState, app, Ok(Rule::ReadState)),
            ("w", All, ReadState, app, Ok(Rule::ReadState)),
            ("m", All, ReadState, app, Ok(Rule::ReadState)),
            ("", All, ReadState, app, Err(ScopeExceeded)),
        ] {
            let decided = decide(&bounds(scopes, access), &call(kind, canister), 99);
            assert_eq!(
                decided.map_err(|refusal| refusal.reason),
                expected,
                "{scopes} {access:?} {kind:?} {canister}"
            );
        }
    }

    #[test]
    fn the_ceilings_own_access_level_counts_too() {
        let mut bounds = bounds("rwm", AccessLevel::All);
        bounds.ceiling.access = AccessLevel::Queries;
        let update = call(Kind::Update, Principal::from_slice(&[1]));
        assert_eq!(
            decide(&bounds, &update, 1).unwrap_err().reason,
            Reason::AccessLevelExceeded
        );
    }

    #[test]
    fn only_a_live_unexpired_connection_signs() {
        let query = call(Kind::Query, Principal::from_slice(&[1]));
        let mut bounds = bounds("rwm", AccessLevel::All);
        assert!(decide(&bounds, &query, 99).is_ok());
        assert_eq!(
            decide(&bounds, &query, 100).unwrap_err().reason,
            Reason::ConnectionEnded
        );
        bounds.standing = Standing::Pending;
        assert_eq!(
            decide(&bounds, &query, 1).unwrap_err().reason,
            Reason::ConnectionPending
        );
        bounds.standing = Standing::Ended;
        assert_eq!(
            decide(&bounds, &query, 1).unwrap_err().reason,
            Reason::ConnectionEnded
        );
    }

    proptest! {
        /// Taking rights away never allows more.
        #[test]
        fn less_is_never_more(
            read: bool, write: bool, manage: bool, all: bool, kind in 0..3, management: bool,
        ) {
            let access = if all { AccessLevel::All } else { AccessLevel::Queries };
            let kind = [Kind::Query, Kind::Update, Kind::ReadState][kind as usize];
            let canister = if management { Principal::management_canister() } else { Principal::from_slice(&[1]) };
            let call = call(kind, canister);
            let mut less = bounds("", access);
            less.ceiling.scopes = Scopes { read, write, manage };
            if decide(&less, &call, 1).is_ok() {
                prop_assert!(decide(&bounds("rwm", AccessLevel::All), &call, 1).is_ok());
                prop_assert!(kind != Kind::Update || all);
                prop_assert!(!management || kind == Kind::ReadState || manage);
            }
        }
    }
}
