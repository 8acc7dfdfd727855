use std::time::Duration;

use crate::{
    store,
    throttle::{Class, Rates},
};

/// What one client, and all of them together, may take. Table `[limits]` of gateway.toml, or in the environment
/// `ICGATE_LIMITS_` and the key in upper case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time (`connections`); one more is closed at once.
    pub connections: u32,
    /// Connections at a time from one address, an IPv6 /64 counting as one (`connections_per_address`).
    /// Trusted proxies are exempt.
    pub connections_per_address: u32,
    /// From the first byte of a request to the end of its header, and for the whole TLS handshake
    /// (`header_seconds`).
    pub header_time: Duration,
    /// Bytes of a request's header (`header_bytes`).
    pub header_bytes: usize,
    /// Bytes of a request's body (`body_bytes`).
    pub body_bytes: usize,
    /// Silence: between requests of a connection, within a body, and of a reader that takes nothing
    /// (`idle_seconds`).
    pub idle_time: Duration,
    /// From a request's header to its answer's header, the request's body included (`request_seconds`). A
    /// streamed answer may last longer.
    pub request_time: Duration,
    /// How long a stopping server lets running requests go on (`drain_seconds`).
    pub drain_time: Duration,
    /// What is kept on disk.
    pub records: store::Limits,
    /// Bytes of a registration that are kept: its name and redirect URIs (`client_bytes`).
    pub client_bytes: usize,
    /// How long a person may take at Internet Identity (`sign_in_seconds`).
    pub sign_in_time: Duration,
    /// Life of an authorization code (`code_seconds`).
    pub code_time: Duration,
    /// Life of an access token; it never outlives the grant (`access_token_seconds`).
    pub access_token_time: Duration,
    /// Clients' metadata documents that are remembered (`documents`).
    pub documents: u32,
    /// Requests of one address without a valid token in a minute.
    pub rates: Rates,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_address: 256,
            header_time: Duration::from_secs(10),
            header_bytes: 32 << 10,
            body_bytes: 4 << 20,
            idle_time: Duration::from_secs(60),
            request_time: Duration::from_secs(300),
            drain_time: Duration::from_secs(10),
            records: store::Limits::default(),
            client_bytes: 4 << 10,
            sign_in_time: Duration::from_secs(600),
            code_time: Duration::from_secs(120),
            access_token_time: Duration::from_secs(3600),
            documents: 512,
            rates: Rates::default(),
        }
    }
}

/// Where a limit lies.
enum Place {
    Count(fn(&mut Limits) -> &mut u32),
    Bytes(fn(&mut Limits) -> &mut usize),
    Seconds(fn(&mut Limits) -> &mut Duration),
}

struct Limit {
    key: &'static str,
    least: u32,
    most: u32,
    place: Place,
}

macro_rules! table {
    ($($key:literal $least:literal..=$most:literal $place:ident $($field:ident).+;)+) => {
        /// Every limit but the rates, in the order of the reference in the README.
        const TABLE: &[Limit] = &[$(Limit {
            key: $key,
            least: $least,
            most: $most,
            place: Place::$place(|limits| &mut limits.$($field).+),
        }),+];
    };
}

table! {
    "connections" 1..=65_536 Count connections;
    "connections_per_address" 1..=65_536 Count connections_per_address;
    "header_seconds" 1..=300 Seconds header_time;
    "header_bytes" 1_024..=524_288 Bytes header_bytes;
    "body_bytes" 1_024..=67_108_864 Bytes body_bytes;
    "idle_seconds" 1..=3_600 Seconds idle_time;
    "request_seconds" 1..=3_600 Seconds request_time;
    "drain_seconds" 1..=10 Seconds drain_time;
    "clients" 16..=1_000_000 Count records.clients;
    "clients_per_address" 1..=1_000_000 Count records.clients_per_address;
    "client_bytes" 256..=32_768 Bytes client_bytes;
    "sign_ins" 16..=65_536 Count records.pending_connects;
    "sign_ins_per_address" 1..=65_536 Count records.pending_connects_per_address;
    "sign_in_seconds" 30..=3_600 Seconds sign_in_time;
    "code_seconds" 10..=600 Seconds code_time;
    "access_token_seconds" 60..=86_400 Seconds access_token_time;
    "devices" 16..=65_536 Count records.device_requests;
    "devices_per_address" 1..=65_536 Count records.device_requests_per_address;
    "signed_in" 1..=1_000_000 Count records.connections;
    "credentials_per_connection" 8..=4_096 Count records.credentials_per_connection;
    "documents" 16..=65_536 Count documents;
}

/// Of each rate.
const RATES: (u32, u32) = (1, 1_000_000);

impl Limits {
    /// Every key of the table `[limits]`.
    pub(super) fn keys() -> impl Iterator<Item = &'static str> {
        TABLE
            .iter()
            .map(|limit| limit.key)
            .chain(Class::ALL.map(Class::key))
    }

    /// Sets one limit by its key; the error says what it must be.
    pub(super) fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        if let Some(limit) = TABLE.iter().find(|limit| limit.key == key) {
            let value = number(text, limit.least, limit.most)?;
            match limit.place {
                Place::Count(of) => *of(self) = value,
                Place::Bytes(of) => *of(self) = value as usize,
                Place::Seconds(of) => *of(self) = Duration::from_secs(value.into()),
            }
        } else if let Some(class) = Class::ALL.into_iter().find(|class| class.key() == key) {
            *self.rates.of_mut(class) = number(text, RATES.0, RATES.1)?;
        } else {
            return Err("is not a limit of this version".to_owned());
        }
        Ok(())
    }
}

fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Key, least, most and default of every limit.
    fn all() -> Vec<(&'static str, u32, u32, u64)> {
        let mut limits = Limits::default();
        let mut all = Vec::new();
        for limit in TABLE {
            let usual = match limit.place {
                Place::Count(of) => u64::from(*of(&mut limits)),
                Place::Bytes(of) => *of(&mut limits) as u64,
                Place::Seconds(of) => of(&mut limits).as_secs(),
            };
            all.push((limit.key, limit.least, limit.most, usual));
        }
        for class in Class::ALL {
            let usual = u64::from(*limits.rates.of_mut(class));
            all.push((class.key(), RATES.0, RATES.1, usual));
        }
        all
    }

    #[test]
    fn every_limit_takes_its_range_and_nothing_else() {
        for (key, least, most, usual) in all() {
            assert!(
                (u64::from(least)..=u64::from(most)).contains(&usual),
                "{key}"
            );
            let mut limits = Limits::default();
            for good in [most, least] {
                limits.set(key, &good.to_string()).unwrap();
            }
            assert_ne!(limits, Limits::default(), "{key} is set");
            for bad in [u64::from(least) - 1, u64::from(most) + 1] {
                assert!(limits.set(key, &bad.to_string()).is_err(), "{key} = {bad}");
            }
            assert!(limits.set(key, "many").is_err(), "{key}");
        }
        assert!(Limits::default().set("speed", "1").is_err());
    }

    #[test]
    fn the_reference_in_the_readme_is_complete_and_right() {
        let readme = include_str!("../../../README.md");
        let rows: BTreeMap<&str, Vec<&str>> = readme
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .map(|(key, rest)| (key, rest.split(" | ").collect()))
            .collect();
        for (key, least, most, usual) in all() {
            let row = rows.get(key).unwrap_or_else(|| panic!("{key} is missing"));
            assert_eq!(row[0], usual.to_string(), "{key}");
            assert_eq!(row[1], format!("{least} to {most}"), "{key}");
        }
    }
}
