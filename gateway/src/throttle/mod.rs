//! How often somebody may ask who has shown no valid token: by address, and by client where one is named.
//!
//! What has a valid token is not counted here. Requests of this machine's own to a server on loopback are not counted
//! either: whoever may send them runs here already.

mod bucket;
mod class;
mod source;
mod table;

use std::time::{Duration, Instant};

use self::{bucket::Level, table::Table};
use crate::edge::Peer;

pub use self::{
    bucket::Rate,
    class::{Class, Rates},
    source::Source,
};

/// A client may ask this many times as often as an address: a hosted one asks for many people from several addresses.
const CLIENT_FACTOR: u32 = 4;

/// Too many requests of one kind; one more is taken when the time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany(Duration);

impl TooMany {
    /// For `Retry-After` (RFC 9110 section 10.2.3): whole seconds, rounded up.
    pub(crate) fn seconds(self) -> u64 {
        self.0.as_millis().div_ceil(1_000).try_into().unwrap_or(60)
    }
}

/// The levels of everybody who asked lately, in constant memory.
#[derive(Debug)]
pub(crate) struct Throttle {
    rates: Rates,
    on_loopback: bool,
    began: Instant,
    levels: Table,
}

impl Throttle {
    /// `on_loopback` says whether the server's public address is.
    pub(crate) fn new(rates: Rates, on_loopback: bool) -> Self {
        Self {
            rates,
            on_loopback,
            began: Instant::now(),
            levels: Table::default(),
        }
    }

    /// Whom a request is counted as; none when it is not counted.
    pub(crate) fn source(&self, peer: Option<&Peer>) -> Option<Source> {
        let address = peer?.address;
        (!(self.on_loopback && address.is_loopback())).then(|| Source::of(address))
    }

    /// Counts a request of an address.
    pub(crate) fn admit(&self, class: Class, source: Option<Source>) -> Result<(), TooMany> {
        self.take(source.map(|source| (class, source)), self.rates.of(class))
    }

    /// Counts a request that names a client. Whoever knows a `client_id` can name it, so this counts only clients
    /// whose id nobody can guess; see the callers.
    pub(crate) fn admit_client(
        &self,
        class: Class,
        source: Option<Source>,
        client_id: &str,
    ) -> Result<(), TooMany> {
        let rate = self.rates.of(class).times(CLIENT_FACTOR);
        self.take(source.map(|_| (class, client_id)), rate)
    }

    /// The request turned out to be of somebody with a valid credential: it does not count.
    pub(crate) fn give_back(&self, class: Class, source: Option<Source>) {
        let Some(source) = source else { return };
        let (rate, now) = (self.rates.of(class), self.now());
        self.levels.change(&(class, source), |level| {
            *level = level.give_back(rate, now)
        });
    }

    fn take(&self, who: Option<impl std::hash::Hash>, rate: Rate) -> Result<(), TooMany> {
        let Some(who) = who else { return Ok(()) };
        let now = self.now();
        self.levels.change(&who, |level| {
            *level = level.take(rate, now).map_err(TooMany)?;
            Ok(())
        })
    }

    fn now(&self) -> Level {
        Level::at(self.began.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer {
            address: address.parse().unwrap(),
            https: true,
        }
    }

    fn throttle(per_minute: u32, on_loopback: bool) -> Throttle {
        let mut rates = Rates::default();
        *rates.of_mut(Class::Token) = per_minute;
        *rates.of_mut(Class::Register) = per_minute;
        Throttle::new(rates, on_loopback)
    }

    #[test]
    fn addresses_classes_and_clients_are_counted_apart() {
        let throttle = throttle(2, false);
        let ask =
            |class, address: &str| throttle.admit(class, throttle.source(Some(&peer(address))));
        for _ in 0..2 {
            ask(Class::Token, "203.0.113.9").unwrap();
        }
        let refused = ask(Class::Token, "203.0.113.9").unwrap_err();
        assert!((1..=30).contains(&refused.seconds()), "{refused:?}");
        ask(Class::Register, "203.0.113.9").unwrap();
        ask(Class::Token, "203.0.113.10").unwrap();

        let somewhere = |n: u32| throttle.source(Some(&peer(&format!("198.51.100.{n}"))));
        for n in 0..2 * CLIENT_FACTOR {
            throttle
                .admit_client(Class::Token, somewhere(n), "a")
                .unwrap();
        }
        assert!(
            throttle
                .admit_client(Class::Token, somewhere(99), "a")
                .is_err()
        );
        throttle
            .admit_client(Class::Token, somewhere(99), "b")
            .unwrap();
    }

    #[test]
    fn a_household_with_many_addresses_counts_once() {
        let throttle = throttle(1, false);
        let ask =
            |address: &str| throttle.admit(Class::Token, throttle.source(Some(&peer(address))));
        ask("2001:db8::1").unwrap();
        assert!(ask("2001:db8::ffff:2").is_err());
        ask("2001:db8:0:1::1").unwrap();
        ask("192.0.2.1").unwrap();
        assert!(ask("::ffff:192.0.2.1").is_err());
    }

    #[test]
    fn what_was_valid_is_given_back() {
        let throttle = throttle(1, false);
        let source = throttle.source(Some(&peer("203.0.113.9")));
        for _ in 0..100 {
            throttle.admit(Class::Token, source).unwrap();
            throttle.give_back(Class::Token, source);
        }
        throttle.admit(Class::Token, source).unwrap();
        assert!(throttle.admit(Class::Token, source).is_err());
    }

    #[test]
    fn a_server_on_loopback_does_not_count_its_own_machine() {
        let here = throttle(1, true);
        assert_eq!(here.source(Some(&peer("127.0.0.1"))), None);
        assert_eq!(here.source(Some(&peer("::1"))), None);
        for _ in 0..1_000 {
            here.admit(Class::Register, None).unwrap();
        }
        assert!(here.source(Some(&peer("203.0.113.9"))).is_some());
        // A public server behind a proxy that nobody declared must not lose its limits.
        let public = throttle(1, false);
        assert!(public.source(Some(&peer("127.0.0.1"))).is_some());
    }
}
