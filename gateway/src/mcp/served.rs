//! Which tools this server offers (`ICGATE_TOOLS`).
//!
//! A setting names the groups that are served beside the core ones: `management`, `discovery`, `skills`, `funding`;
//! `all` is the default, `core` alone serves none of them.
//!
//! `directory` is a preset for servers that are listed in a connector directory. Directories take no connector that
//! moves money or other assets for its user. On the Internet Computer that line cannot be drawn between canisters or
//! method names: `icrc1_transfer` moves tokens, but so does whatever a wallet or an exchange calls its method, and a
//! call that looks harmless can be forwarded by the canister that takes it. It can be drawn between kinds of calls:
//! a query cannot change anything, an update call can. So the preset serves exactly the tools that need no more than
//! the scope `ic:read`: `update_canister` and `call_canister` are left out, `query_canister` stays, and management and
//! funding tools go, since creating, topping up and deleting canisters moves or burns cycles. What is left cannot
//! transfer value by construction, whichever tools are added to the table later: a call has no scope that no served
//! tool needs, whatever its token says, and without `ic:write` no update call is made, not even as nobody. Beside other names the preset keeps
//! its meaning: groups are added, and of them too only what reads.

use std::{fmt, str::FromStr};

use super::arguments::Arguments;
use super::catalog::{self, Entry, Group};
use crate::scope::{Scope, Scopes};

/// What is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    groups: u8,
    reads_only: bool,
}

/// The groups that can be left out, by their names in the setting.
const NAMED: [(&str, Group); 4] = [
    ("management", Group::Management),
    ("discovery", Group::Discovery),
    ("skills", Group::Skills),
    ("funding", Group::Funding),
];

/// A name that the setting does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownGroup;

impl fmt::Display for UnknownGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is none of all, core, directory, management, discovery, skills and funding")
    }
}

impl Default for Served {
    fn default() -> Self {
        Self {
            groups: u8::MAX,
            reads_only: false,
        }
    }
}

impl FromStr for Served {
    type Err = UnknownGroup;

    fn from_str(name: &str) -> Result<Self, UnknownGroup> {
        let only = |groups: &[Group]| Self {
            groups: groups
                .iter()
                .fold(Group::Core.bit(), |bits, group| bits | group.bit()),
            reads_only: false,
        };
        match name {
            "all" => Ok(Self::default()),
            "core" => Ok(only(&[])),
            "directory" => Ok(Self {
                reads_only: true,
                ..only(&[Group::Discovery, Group::Skills])
            }),
            name => NAMED
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, group)| only(&[*group]))
                .ok_or(UnknownGroup),
        }
    }
}

impl FromIterator<Served> for Served {
    /// All of them together; everything when there is none.
    fn from_iter<I: IntoIterator<Item = Served>>(names: I) -> Self {
        let together = |all: Served, more: Served| Served {
            groups: all.groups | more.groups,
            reads_only: all.reads_only || more.reads_only,
        };
        names.into_iter().reduce(together).unwrap_or_default()
    }
}

impl Served {
    /// Whether a tool is offered.
    pub(super) fn serves(self, entry: &Entry) -> bool {
        let reads = most(entry) == Scope::Read.into();
        self.groups & entry.group.bit() != 0 && (reads || !self.reads_only)
    }

    /// What the offered tools need: nobody is asked for more.
    pub fn scopes(self) -> Scopes {
        let offered = catalog::entries().filter(|entry| self.serves(entry));
        offered.fold(Scopes::NONE, |all, entry| all.union(most(&entry)))
    }
}

/// The most a tool needs: arguments only ever make it less.
fn most(entry: &Entry) -> Scopes {
    (entry.needs)(&Arguments::new(None))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Served {
        fn has(self, group: Group) -> bool {
            self.groups & group.bit() != 0
        }
    }

    fn served(names: &[&str]) -> Served {
        names
            .iter()
            .map(|name| name.parse::<Served>().unwrap())
            .collect()
    }

    #[test]
    fn names_add_up_and_nothing_means_everything() {
        assert_eq!(served(&[]), served(&["all"]));
        assert!(served(&["core"]).has(Group::Core) && !served(&["core"]).has(Group::Skills));
        let two = served(&["management", "funding"]);
        assert!(
            two.has(Group::Management) && two.has(Group::Funding) && !two.has(Group::Discovery)
        );
        assert!(served(&["directory", "management"]).reads_only);
        for name in ["", "Management", "wallet", "none"] {
            assert_eq!(name.parse::<Served>(), Err(UnknownGroup), "{name}");
        }
    }

    #[test]
    fn no_scope_is_asked_for_that_no_offered_tool_needs() {
        for (names, scopes) in [
            (&[][..], "ic:read ic:write ic:manage"),
            (&["core"], "ic:read ic:write"),
            (&["discovery", "skills"], "ic:read ic:write"),
            (&["funding"], "ic:read ic:write ic:manage"),
            (&["directory"], "ic:read"),
            (&["directory", "management", "funding"], "ic:read"),
        ] {
            assert_eq!(served(names).scopes().to_string(), scopes, "{names:?}");
        }
    }
}
