//! Which requests are counted together. A new endpoint is one line here and its place in `Route::class`.

use super::bucket::Rate;

macro_rules! classes {
    ($($(#[$doc:meta])* $class:ident, $key:literal, $per_minute:literal;)+) => {
        /// Requests that are counted together.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Class {
            $($(#[$doc])* $class,)+
        }

        impl Class {
            /// Every class.
            pub const ALL: [Class; [$($key),+].len()] = [$(Class::$class),+];

            /// The key of its limit in the table `[limits]`: requests of one address in a minute.
            pub const fn key(self) -> &'static str {
                match self {
                    $(Class::$class => concat!($key, "_per_minute"),)+
                }
            }

            /// Requests of one address in a minute unless the operator says otherwise.
            const fn usual(self) -> u32 {
                match self {
                    $(Class::$class => $per_minute,)+
                }
            }
        }
    };
}

classes! {
    /// New registrations (RFC 7591).
    Register, "register", 30;
    /// Reading, changing and deleting a registration (RFC 7592).
    Manage, "manage", 60;
    /// The authorization endpoint's page.
    Authorize, "authorize", 120;
    /// A consent that was given: begins a connection at the signer.
    Consent, "consent", 60;
    /// Fetches of a client's metadata document; what is remembered does not count.
    Document, "document", 20;
    /// Devices that ask for codes (RFC 8628).
    Device, "device", 30;
    /// Coming back from Internet Identity.
    Redeem, "redeem", 60;
    /// Token requests that give no token.
    Token, "token", 300;
    /// Revocation (RFC 7009).
    Revoke, "revoke", 120;
    /// Introspection (RFC 7662).
    Introspect, "introspect", 6_000;
    /// Requests to an MCP endpoint without a valid token.
    Bearer, "bearer", 120;
    /// Pages that only show themselves.
    Page, "page", 300;
    /// Metadata and the health check.
    Metadata, "metadata", 600;
}

/// Requests of one address in a minute, by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates([u32; Class::ALL.len()]);

impl Default for Rates {
    fn default() -> Self {
        Self(Class::ALL.map(Class::usual))
    }
}

impl Rates {
    pub(super) fn of(&self, class: Class) -> Rate {
        Rate::per_minute(self.0[class as usize])
    }

    /// The number of a class, to be set.
    pub(crate) fn of_mut(&mut self, class: Class) -> &mut u32 {
        &mut self.0[class as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_number_and_a_key_of_its_own() {
        let mut rates = Rates::default();
        for (class, number) in Class::ALL.into_iter().zip(1..) {
            *rates.of_mut(class) = number;
        }
        for (class, number) in Class::ALL.into_iter().zip(1..) {
            assert_eq!(rates.of(class), Rate::per_minute(number), "{}", class.key());
        }
        let keys: std::collections::BTreeSet<_> = Class::ALL.map(Class::key).into();
        assert_eq!(keys.len(), Class::ALL.len());
    }
}
