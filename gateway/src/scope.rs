//! OAuth scopes of this server.

use std::{fmt, str::FromStr};

use icgate_proto::v1;

/// One thing a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `ic:read`: metadata, discovery, queries, anonymous or as the user.
    Read,
    /// `ic:write`: update calls of canisters, anonymous ones too.
    Write,
    /// `ic:manage`: management-canister calls, and with the other two what is paid for canisters.
    Manage,
}

impl Scope {
    /// Every scope, in the order metadata lists them.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Manage];

    /// The text in OAuth messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "ic:read",
            Scope::Write => "ic:write",
            Scope::Manage => "ic:manage",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Scope::Read => 1,
            Scope::Write => 2,
            Scope::Manage => 4,
        }
    }
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or(())
    }
}

/// A set of scopes. Its text form is RFC 6749 section 3.3: names separated by single spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// No scope at all.
    pub const NONE: Scopes = Scopes(0);

    /// Whether `scope` is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether all of `other` is in the set.
    pub const fn covers(self, other: Scopes) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in both.
    pub const fn intersection(self, other: Scopes) -> Scopes {
        Scopes(self.0 & other.0)
    }

    /// What is in either.
    pub const fn union(self, other: Scopes) -> Scopes {
        Scopes(self.0 | other.0)
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes of the set in their usual order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.contains(*scope))
    }

    /// Reads a `scope` parameter and leaves out the names this server does not have (RFC 6749 section 3.3 lets
    /// the server ignore them; clients send `offline_access` and the like).
    pub fn parse_lenient(text: &str) -> Scopes {
        text.split_ascii_whitespace()
            .filter_map(|name| name.parse::<Scope>().ok())
            .collect()
    }

    /// The form the signer's ceiling takes.
    pub fn to_wire(self) -> Vec<i32> {
        self.iter()
            .map(|scope| match scope {
                Scope::Read => v1::Scope::Read,
                Scope::Write => v1::Scope::Write,
                Scope::Manage => v1::Scope::Manage,
            })
            .map(i32::from)
            .collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        Scopes(scope.bit())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, scope) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_form_is_ordered_and_round_trips() {
        let scopes = Scopes::parse_lenient("ic:manage  ic:read offline_access ic:read");
        assert_eq!(scopes.to_string(), "ic:read ic:manage");
        assert_eq!(Scopes::parse_lenient(&scopes.to_string()), scopes);
        assert_eq!(Scopes::NONE.to_string(), "");
    }

    #[test]
    fn covering_is_by_member() {
        let read_write = Scopes::from_iter([Scope::Read, Scope::Write]);
        assert!(read_write.covers(Scopes::from_iter([Scope::Write])));
        assert!(!read_write.covers(Scopes::from_iter([Scope::Manage])));
        assert!(read_write.covers(Scopes::NONE));
    }
}
