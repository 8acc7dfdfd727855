//! How many connections there may be, in all and from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::{Limits, Network},
    throttle::Source,
};

/// Connections by address.
type Taken = Arc<Mutex<HashMap<Source, u32>>>;

pub(super) struct Admission {
    places: Arc<Semaphore>,
    per_address: u32,
    exempt: Vec<Network>,
    taken: Taken,
}

/// A connection's place; given back when dropped.
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    address: Option<(Source, Taken)>,
}

impl Admission {
    pub(super) fn new(limits: &Limits, trusted_proxies: &[Network]) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections as usize)),
            per_address: limits.connections_per_address,
            exempt: trusted_proxies.to_vec(),
            taken: Arc::default(),
        }
    }

    /// A place for one more connection, or none.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        if self.exempt.iter().any(|network| network.contains(address)) {
            return Some(Place {
                _place: place,
                address: None,
            });
        }
        let key = Source::of(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(key).or_insert(0);
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place {
            _place: place,
            address: Some((key, Arc::clone(&self.taken))),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((key, taken)) = &self.address else {
            return;
        };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: u32, connections_per_address: u32) -> Admission {
        let limits = Limits {
            connections,
            connections_per_address,
            ..Limits::default()
        };
        Admission::new(&limits, &["192.0.2.7".parse().unwrap()])
    }

    #[test]
    fn a_place_comes_back_when_its_connection_ends() {
        let admission = admission(2, 9);
        let first = admission.admit("10.0.0.1".parse().unwrap());
        let second = admission.admit("10.0.0.2".parse().unwrap());
        assert!(first.is_some() && second.is_some());
        assert!(admission.admit("10.0.0.3".parse().unwrap()).is_none());
        drop(first);
        assert!(admission.admit("10.0.0.3".parse().unwrap()).is_some());
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let admission = admission(9, 1);
        let held = admission.admit("2001:db8::1".parse().unwrap());
        assert!(held.is_some());
        assert!(admission.admit("2001:db8::2".parse().unwrap()).is_none());
        assert!(
            admission
                .admit("2001:db8:0:1::2".parse().unwrap())
                .is_some()
        );
        drop(held);
        assert!(admission.taken.lock().unwrap().is_empty());

        let proxy = "192.0.2.7".parse().unwrap();
        let places: Vec<_> = (0..9).map_while(|_| admission.admit(proxy)).collect();
        assert_eq!(places.len(), 9);
    }
}
