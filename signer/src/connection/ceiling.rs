use icgate_proto::v1;
use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// The most a connection may ever do: fixed when it begins, enforced on every signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceiling {
    /// The scopes.
    pub scopes: Scopes,
    /// The highest access level.
    pub access: AccessLevel,
    /// When it lapses; `None`: with the grant.
    pub expires_at: Option<Nanos>,
}

impl Ceiling {
    /// Whether it permits nothing that `other` does not; when it lapses is not looked at.
    pub fn within(&self, other: &Ceiling) -> bool {
        let (scopes, of_other) = (self.scopes, other.scopes);
        self.access <= other.access
            && (of_other.read || !scopes.read)
            && (of_other.write || !scopes.write)
            && (of_other.manage || !scopes.manage)
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scopes {
    /// `ic:read`: queries.
    pub read: bool,
    /// `ic:write`: update calls of canisters.
    pub write: bool,
    /// `ic:manage`: management-canister calls.
    pub manage: bool,
}

/// What Internet Identity let the user grant. Ordered: more access is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AccessLevel {
    /// Queries only.
    Queries,
    /// Queries and updates.
    All,
}

impl TryFrom<v1::Ceiling> for Ceiling {
    type Error = &'static str;

    fn try_from(ceiling: v1::Ceiling) -> Result<Self, Self::Error> {
        let mut scopes = Scopes::default();
        for &scope in &ceiling.scopes {
            match v1::Scope::try_from(scope) {
                Ok(v1::Scope::Read) => scopes.read = true,
                Ok(v1::Scope::Write) => scopes.write = true,
                Ok(v1::Scope::Manage) => scopes.manage = true,
                _ => return Err("`ceiling.scopes` has an unknown scope"),
            }
        }
        if scopes == Scopes::default() {
            return Err("`ceiling.scopes` is empty");
        }
        let access = match v1::AccessLevel::try_from(ceiling.access_level) {
            Ok(v1::AccessLevel::Queries) => AccessLevel::Queries,
            Ok(v1::AccessLevel::All) => AccessLevel::All,
            _ => return Err("`ceiling.access_level` must be QUERIES or ALL"),
        };
        let expires_at = (ceiling.expires_at_ns != 0).then_some(ceiling.expires_at_ns);
        Ok(Self {
            scopes,
            access,
            expires_at,
        })
    }
}

impl From<Ceiling> for v1::Ceiling {
    fn from(ceiling: Ceiling) -> Self {
        let Scopes {
            read,
            write,
            manage,
        } = ceiling.scopes;
        let scopes = [
            (read, v1::Scope::Read),
            (write, v1::Scope::Write),
            (manage, v1::Scope::Manage),
        ];
        Self {
            scopes: scopes
                .into_iter()
                .filter(|(has, _)| *has)
                .map(|(_, scope)| scope.into())
                .collect(),
            access_level: v1::AccessLevel::from(ceiling.access).into(),
            expires_at_ns: ceiling.expires_at.unwrap_or(0),
        }
    }
}

impl From<AccessLevel> for v1::AccessLevel {
    fn from(access: AccessLevel) -> Self {
        match access {
            AccessLevel::Queries => Self::Queries,
            AccessLevel::All => Self::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_wire() {
        let ceiling = Ceiling {
            scopes: Scopes {
                read: true,
                write: false,
                manage: true,
            },
            access: AccessLevel::Queries,
            expires_at: Some(7),
        };
        assert_eq!(Ceiling::try_from(v1::Ceiling::from(ceiling)), Ok(ceiling));
    }

    #[test]
    fn nothing_is_assumed() {
        let full = v1::Ceiling {
            scopes: vec![1, 2, 3],
            access_level: 2,
            expires_at_ns: 0,
        };
        assert_eq!(
            Ceiling::try_from(full.clone()).map(|ceiling| ceiling.expires_at),
            Ok(None)
        );
        for wrong in [
            v1::Ceiling {
                scopes: vec![],
                ..full.clone()
            },
            v1::Ceiling {
                scopes: vec![0],
                ..full.clone()
            },
            v1::Ceiling {
                scopes: vec![1, 4],
                ..full.clone()
            },
            v1::Ceiling {
                access_level: 0,
                ..full.clone()
            },
            v1::Ceiling {
                access_level: 3,
                ..full
            },
        ] {
            assert!(Ceiling::try_from(wrong).is_err());
        }
    }
}
