use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use icgate_proto::SignerError;

use super::{Flights, TargetOrigin};
use crate::{
    clock::{MINUTE, Nanos},
    refusal,
    transport::AccountInfo,
};

/// Origins whose accounts are kept per connection.
const CAPACITY: usize = 64;
/// How long a list of accounts serves to find a number by its name.
const FRESH: Nanos = 5 * MINUTE;
/// Accounts named in an error at most.
const SHOWN: usize = 20;

/// Lists of accounts by origin, and when each was fetched.
type Lists = HashMap<TargetOrigin, (Nanos, Arc<[AccountInfo]>)>;

/// The user's accounts at the origins a connection asked for lately.
#[derive(Default)]
pub struct Accounts {
    held: Mutex<Lists>,
    /// One list of an origin is fetched at a time.
    pub(crate) flights: Flights<TargetOrigin, Arc<[AccountInfo]>>,
}

impl Accounts {
    /// The accounts at an origin, if they were listed lately.
    pub fn fresh(&self, origin: &TargetOrigin, now: Nanos) -> Option<Arc<[AccountInfo]>> {
        let held = self.lock();
        held.get(origin)
            .filter(|(at, _)| at.saturating_add(FRESH) > now)
            .map(|(_, accounts)| Arc::clone(accounts))
    }

    /// Keeps a list for a while.
    pub fn keep(&self, origin: TargetOrigin, now: Nanos, accounts: Arc<[AccountInfo]>) {
        let mut held = self.lock();
        if held.len() >= CAPACITY && !held.contains_key(&origin) {
            let oldest = held.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(origin) = oldest.map(|(origin, _)| origin.clone()) {
                held.remove(&origin);
            }
        }
        held.insert(origin, (now, accounts));
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the one account of this exact name; or, written as `#` and a number, of the account of that number.
///
/// # Errors
/// When there is none or there are several.
pub fn choose(
    accounts: &[AccountInfo],
    origin: &TargetOrigin,
    name: &str,
) -> Result<Option<u64>, SignerError> {
    let mut matching = accounts
        .iter()
        .filter(|account| account.name.as_deref() == Some(name));
    let number = name
        .strip_prefix('#')
        .and_then(|digits| digits.parse().ok());
    let numbered = number.filter(|_| accounts.iter().any(|account| account.number == number));
    match (matching.next(), matching.next()) {
        (Some(account), None) if numbered.is_some() && account.number != numbered => {
            Err(refusal::account_name_is_number(origin, name))
        }
        (Some(account), None) => Ok(account.number),
        (Some(_), Some(_)) => Err(refusal::account_ambiguous(origin, name)),
        (None, _) if numbered.is_some() => Ok(numbered),
        (None, _) => {
            let names: Vec<&str> = accounts
                .iter()
                .filter_map(|account| account.name.as_deref())
                .take(SHOWN)
                .collect();
            Err(refusal::account_unknown(origin, name, &names))
        }
    }
}

#[cfg(test)]
mod tests {
    use icgate_proto::Reason;

    use super::*;

    fn account(number: u64, name: &str) -> AccountInfo {
        AccountInfo {
            number: Some(number),
            name: Some(name.to_owned()),
            last_used: None,
        }
    }

    fn origin(host: &str) -> TargetOrigin {
        TargetOrigin::parse(host).unwrap()
    }

    #[test]
    fn a_name_means_exactly_one_account() {
        let accounts = [
            AccountInfo {
                number: None,
                name: None,
                last_used: None,
            },
            account(1, "savings"),
            account(2, "work"),
            account(3, "work"),
        ];
        let app = origin("app.example");
        assert_eq!(choose(&accounts, &app, "savings"), Ok(Some(1)));
        for name in ["Savings", "work", "", "none"] {
            assert_eq!(
                choose(&accounts, &app, name).unwrap_err().reason,
                Reason::AccountUnknown,
                "{name}"
            );
        }
        assert!(
            choose(&accounts, &app, "none")
                .unwrap_err()
                .message
                .contains("savings")
        );
    }

    #[test]
    fn a_name_that_looks_like_a_number_is_not_mistaken_for_one() {
        let app = origin("app.example");
        let accounts = [
            account(1, "#2"),
            account(2, "work"),
            account(3, "#3"),
            account(4, "#9"),
        ];
        assert_eq!(choose(&accounts, &app, "#1"), Ok(Some(1)));
        assert_eq!(choose(&accounts, &app, "#3"), Ok(Some(3)), "both are one");
        assert_eq!(
            choose(&accounts, &app, "#9"),
            Ok(Some(4)),
            "no account has the number"
        );
        let refused = choose(&accounts, &app, "#2").unwrap_err();
        assert_eq!(refused.reason, Reason::AccountUnknown);
        assert!(
            refused.message.contains("as a number"),
            "{}",
            refused.message
        );
        for name in ["#", "#x", "#-1", "#5", "#+"] {
            assert!(choose(&accounts, &app, name).is_err(), "{name}");
        }
    }

    #[test]
    fn lists_age_and_are_bounded() {
        let accounts = Accounts::default();
        for number in 0..100 {
            accounts.keep(origin(&format!("app{number}.example")), number, [].into());
        }
        assert_eq!(accounts.lock().len(), CAPACITY);
        let newest = origin("app99.example");
        assert!(accounts.fresh(&origin("app0.example"), 100).is_none());
        assert!(accounts.fresh(&newest, 98 + FRESH).is_some());
        assert!(accounts.fresh(&newest, 99 + FRESH).is_none());
    }
}
