//! Interfaces that canisters publish, read with proof, parsed once and kept.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use moka::future::Cache;

use super::{CanisterId, Ic, IcError};
use crate::candid::{
    interface::{Interface, InterfaceError},
    weight,
};

/// How long an interface is used without looking again.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// How long one may be used while looking again fails.
const KEPT: Duration = Duration::from_secs(60 * 60);
/// How soon a failed look is repeated.
const RETRY: Duration = Duration::from_secs(30);
/// Bound of all kept interfaces together, in bytes of memory.
const CAPACITY: u64 = 64 << 20;
/// Heaviest interface that is kept, in bytes of memory; a heavier one is read again for each call. An
/// interface of 100 kB with named fields weighs about 2 MB.
const LARGEST: usize = 8 << 20;

/// HTTP status of a replica that keeps a private section of a canister to itself.
const PRIVATE: u16 = 403;

/// Bound of an [`InterfaceError`]'s sentence, in bytes.
const ERROR: usize = 4 << 10;

/// What is known of a canister's interface.
#[derive(Debug)]
pub struct Known {
    /// What it publishes.
    pub published: Published,
    /// When the certificate that proves it was made; none when there is no proof.
    pub certified_at: Option<SystemTime>,
    read_at: Instant,
    refreshing: AtomicBool,
}

/// What a canister publishes as its interface.
#[derive(Debug, Clone)]
pub enum Published {
    /// An interface.
    Interface(Arc<Interface>),
    /// A text that cannot be used for types.
    Unusable(Arc<str>, InterfaceError),
    /// Nothing, and the certificate proves it.
    Nothing,
    /// Nothing that may be read: the boundary node refused with this text. That is its word alone, so it is never
    /// kept.
    Withheld(String),
}

/// A read of the metadata section `candid:service`.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The text; none when the certificate proves that there is none.
    pub text: Option<String>,
    /// When the certificate was made.
    pub certified_at: SystemTime,
}

/// Where interfaces are read from.
pub trait Source: Send + Sync + 'static {
    /// Reads one canister's interface.
    fn read<'a>(
        &'a self,
        canister: CanisterId,
    ) -> Pin<Box<dyn Future<Output = Result<Metadata, IcError>> + Send + 'a>>;
}

impl Source for Ic {
    fn read<'a>(
        &'a self,
        canister: CanisterId,
    ) -> Pin<Box<dyn Future<Output = Result<Metadata, IcError>> + Send + 'a>> {
        Box::pin(async move {
            let principal = canister.principal();
            let path = [
                b"canister".as_slice(),
                principal.as_slice(),
                b"metadata",
                b"candid:service",
            ];
            let certified = self
                .read_paths(canister, vec![path.map(<[u8]>::to_vec).to_vec()])
                .await?;
            let text = certified
                .lookup(path)?
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            Ok(Metadata {
                text,
                certified_at: certified.time()?,
            })
        })
    }
}

/// The interfaces of all canisters that were looked at lately. Cheap to clone.
#[derive(Clone)]
pub struct Interfaces {
    source: Arc<dyn Source>,
    cache: Cache<CanisterId, Arc<Known>>,
}

impl Interfaces {
    /// An empty cache over a source.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self {
            source,
            cache: Cache::builder()
                .max_capacity(CAPACITY)
                .weigher(|_, known: &Arc<Known>| weight::of_entry(known.memory(), LARGEST))
                .time_to_live(KEPT)
                .build(),
        }
    }

    /// Whether a canister's interface is at hand.
    pub fn has(&self, canister: CanisterId) -> bool {
        self.cache.contains_key(&canister)
    }

    /// Forgets a canister's interface, because its code has changed.
    pub async fn forget(&self, canister: CanisterId) {
        self.cache.invalidate(&canister).await;
    }

    /// A canister's interface: from the cache when it is there, looked at again behind the caller's back when it is
    /// no longer fresh. Callers that wait for the same canister share one read.
    ///
    /// # Errors
    /// When it could not be read. That is not remembered, and no refusal is: nothing proves it, and a canister that
    /// was just made is not known everywhere yet.
    pub async fn get(&self, canister: CanisterId) -> Result<Arc<Known>, IcError> {
        if let Some(known) = self.cache.get(&canister).await {
            if known.wants_refresh() {
                tokio::spawn(self.clone().refresh(canister, Arc::clone(&known)));
            }
            return Ok(known);
        }
        let known = self
            .cache
            .try_get_with(canister, self.read(canister))
            .await
            .map_err(|error| IcError::clone(&error));
        // The cache holds its bound only when it does its chores, which it would put off.
        self.cache.run_pending_tasks().await;
        match known {
            Err(IcError::Refused(PRIVATE, text)) => {
                Ok(Arc::new(Known::new(Published::Withheld(text), None)))
            }
            known => known,
        }
    }

    async fn refresh(self, canister: CanisterId, stale: Arc<Known>) {
        match self.read(canister).await {
            Ok(known) if known.memory() > LARGEST => self.cache.invalidate(&canister).await,
            Ok(known) => self.cache.insert(canister, known).await,
            Err(error) => {
                tracing::debug!(%canister, %error, "an interface could not be read again");
                tokio::time::sleep(RETRY).await;
                stale.refreshing.store(false, Ordering::Relaxed);
            }
        }
        self.cache.run_pending_tasks().await;
    }

    async fn read(&self, canister: CanisterId) -> Result<Arc<Known>, IcError> {
        let Metadata { text, certified_at } = self.source.read(canister).await?;
        Ok(Arc::new(Known::new(parse(text).await, Some(certified_at))))
    }
}

async fn parse(text: Option<String>) -> Published {
    let Some(text) = text.map(Arc::<str>::from) else {
        return Published::Nothing;
    };
    match Interface::parse(Arc::clone(&text)).await {
        Ok(interface) => Published::Interface(Arc::new(interface)),
        Err(error) => Published::Unusable(text, error),
    }
}

impl Known {
    fn new(published: Published, certified_at: Option<SystemTime>) -> Self {
        Self {
            published,
            certified_at,
            read_at: Instant::now(),
            refreshing: AtomicBool::new(false),
        }
    }

    /// The interface, when there is one that types can be taken from.
    pub fn interface(&self) -> Option<&Arc<Interface>> {
        match &self.published {
            Published::Interface(interface) => Some(interface),
            _ => None,
        }
    }

    /// True for one caller only, until the look that it has to take failed.
    fn wants_refresh(&self) -> bool {
        self.read_at.elapsed() > FRESH && !self.refreshing.swap(true, Ordering::Relaxed)
    }

    /// Bytes of memory that it occupies.
    fn memory(&self) -> usize {
        let below = match &self.published {
            Published::Interface(interface) => weight::allocated(interface.weight()),
            // What the parser says of a text is short.
            Published::Unusable(text, _) => weight::allocated(text.len()) + ERROR,
            Published::Withheld(text) => weight::allocated(text.capacity()),
            Published::Nothing => 0,
        };
        weight::allocated(size_of::<Known>()) + below
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Answers with the next of a list of outcomes and counts.
    #[derive(Default)]
    struct Script {
        outcomes: Mutex<Vec<Result<Option<&'static str>, IcError>>>,
        reads: Mutex<usize>,
    }

    impl Source for Script {
        fn read<'a>(
            &'a self,
            _: CanisterId,
        ) -> Pin<Box<dyn Future<Output = Result<Metadata, IcError>> + Send + 'a>> {
            Box::pin(async {
                tokio::task::yield_now().await;
                *self.reads.lock().unwrap() += 1;
                let outcome = self.outcomes.lock().unwrap().remove(0);
                outcome.map(|text| Metadata {
                    text: text.map(str::to_owned),
                    certified_at: SystemTime::now(),
                })
            })
        }
    }

    fn script(outcomes: Vec<Result<Option<&'static str>, IcError>>) -> (Arc<Script>, Interfaces) {
        let script = Arc::new(Script {
            outcomes: Mutex::new(outcomes),
            ..Script::default()
        });
        (Arc::clone(&script), Interfaces::new(script))
    }

    fn ledger() -> CanisterId {
        CanisterId::parse("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap()
    }

    #[tokio::test]
    async fn callers_share_one_read_and_one_parsed_interface() {
        let (script, interfaces) = script(vec![Ok(Some(
            "service : { greet : (text) -> (text) query }",
        ))]);
        let (one, two) = tokio::join!(interfaces.get(ledger()), interfaces.get(ledger()));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!(Arc::ptr_eq(
            one.interface().unwrap(),
            two.interface().unwrap()
        ));
        assert!(one.certified_at.is_some());
        assert_eq!(*script.reads.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_failed_read_is_not_remembered_and_a_proven_absence_is() {
        let (script, interfaces) = script(vec![Err(IcError::Unreachable), Ok(None)]);
        assert_eq!(
            interfaces.get(ledger()).await.unwrap_err(),
            IcError::Unreachable
        );
        for _ in 0..3 {
            let known = interfaces.get(ledger()).await.unwrap();
            assert!(matches!(known.published, Published::Nothing));
        }
        assert_eq!(*script.reads.lock().unwrap(), 2);
    }

    #[tokio::test]
    async fn what_may_not_be_read_and_what_does_not_parse_are_told_apart() {
        let (_, interfaces) = script(vec![Err(IcError::Refused(403, "private".to_owned()))]);
        let known = interfaces.get(ledger()).await.unwrap();
        assert!(matches!(&known.published, Published::Withheld(text) if text == "private"));
        assert!(known.certified_at.is_none());
        let (_, interfaces) = script(vec![Ok(Some("not candid"))]);
        let known = interfaces.get(ledger()).await.unwrap();
        assert!(
            matches!(&known.published, Published::Unusable(text, _) if &**text == "not candid")
        );
    }

    #[tokio::test]
    async fn a_refusal_is_not_remembered() {
        let greet = "service : { greet : () -> () query }";
        for (status, text) in [
            (400, "error: canister_not_found"),
            (403, "private"),
            (408, "slow"),
        ] {
            let refused = Err(IcError::Refused(status, text.to_owned()));
            let (_, interfaces) = script(vec![refused, Ok(Some(greet))]);
            let first = interfaces.get(ledger()).await;
            assert_eq!(first.is_ok(), status == PRIVATE, "{status}");
            let known = interfaces.get(ledger()).await.unwrap();
            assert!(known.interface().is_some(), "{status}");
        }
    }

    #[tokio::test]
    async fn a_passing_refusal_does_not_replace_what_was_proven() {
        let greet = "service : { greet : () -> () query }";
        let refused = Err(IcError::Refused(403, "private".to_owned()));
        let (script, interfaces) = script(vec![Ok(Some(greet)), refused]);
        let known = interfaces.get(ledger()).await.unwrap();
        let looked_again = tokio::spawn(interfaces.clone().refresh(ledger(), known));
        while *script.reads.lock().unwrap() < 2 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        let known = interfaces.get(ledger()).await.unwrap();
        assert!(known.interface().is_some());
        looked_again.abort();
    }

    /// Publishes an interface of its own for every canister, of the shape that costs most memory for its text.
    struct Hostile(usize);

    impl Source for Hostile {
        fn read<'a>(
            &'a self,
            _: CanisterId,
        ) -> Pin<Box<dyn Future<Output = Result<Metadata, IcError>> + Send + 'a>> {
            let fields = "nat;".repeat(self.0);
            Box::pin(async move {
                Ok(Metadata {
                    text: Some(format!("type t = record {{{fields}}}; service : {{}}")),
                    certified_at: SystemTime::now(),
                })
            })
        }
    }

    fn canister(number: u8) -> CanisterId {
        let principal = ::candid::Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, number, 1, 1]);
        CanisterId::parse(&principal.to_text()).unwrap()
    }

    #[tokio::test]
    async fn what_is_kept_stays_within_its_memory_whatever_is_published() {
        let interfaces = Interfaces::new(Arc::new(Hostile(60_000)));
        for number in 0..20 {
            let known = interfaces.get(canister(number)).await.unwrap();
            // Each field is a label and a type at the least: no text is worth less than its fields.
            assert!(known.memory() > 60_000 * 32 + 240_000);
            assert!(interfaces.cache.weighted_size() <= CAPACITY);
        }
        let kept: usize = (interfaces.cache.iter())
            .map(|(_, known)| known.memory())
            .sum();
        assert!(kept as u64 <= CAPACITY);
        assert!(interfaces.cache.entry_count() > 2);
    }

    #[tokio::test]
    async fn an_interface_heavier_than_its_share_is_used_and_not_kept() {
        let interfaces = Interfaces::new(Arc::new(Hostile(250_000)));
        let known = interfaces.get(ledger()).await.unwrap();
        assert!(known.interface().is_some() && known.memory() > LARGEST);
        assert!(!interfaces.has(ledger()));
        interfaces.clone().refresh(ledger(), known).await;
        assert!(!interfaces.has(ledger()));
    }

    #[tokio::test]
    async fn entries_that_say_nothing_are_weighed_too() {
        let (_, interfaces) = script(vec![Ok(None)]);
        interfaces.get(ledger()).await.unwrap();
        assert!(interfaces.cache.weighted_size() >= weight::ENTRY as u64);
    }

    #[tokio::test]
    async fn a_stale_interface_is_used_while_one_caller_looks_again() {
        let known = Known {
            published: Published::Nothing,
            certified_at: None,
            read_at: Instant::now().checked_sub(FRESH * 2).unwrap(),
            refreshing: AtomicBool::new(false),
        };
        assert!(known.wants_refresh());
        assert!(!known.wants_refresh());
        let (script, interfaces) = script(vec![Ok(None), Ok(Some("service : {}"))]);
        interfaces.get(ledger()).await.unwrap();
        interfaces.clone().refresh(ledger(), Arc::new(known)).await;
        assert!(
            interfaces
                .get(ledger())
                .await
                .unwrap()
                .interface()
                .is_some()
        );
        assert_eq!(*script.reads.lock().unwrap(), 2);
    }
}
