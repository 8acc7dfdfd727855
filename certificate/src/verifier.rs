use std::{
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use candid::Principal;
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{CanisterSigned, CertificateError, Certified, root_of_trust::RootOfTrust};

/// How old the certificate of an answer may be. A clock that runs behind the network's is nobody's fault: one from the
/// future is believed.
const MAX_AGE: Duration = Duration::from_secs(3 * 60);

/// Verifies what subnets sign. Cheap to clone; clones share what is remembered and the threads.
#[derive(Debug, Clone)]
pub struct Verifier {
    root: Arc<RootOfTrust>,
    /// Work for more threads than there are cores would only wait elsewhere.
    cores: Arc<Semaphore>,
}

impl Verifier {
    /// Rests on the root subnet's key, DER.
    ///
    /// # Errors
    /// When that is no BLS12-381 key.
    pub fn new(root_key: &[u8]) -> Result<Self, CertificateError> {
        let cores = thread::available_parallelism().map_or(1, Into::into);
        Ok(Self {
            root: Arc::new(RootOfTrust::new(root_key)?),
            cores: Arc::new(Semaphore::new(cores)),
        })
    }

    /// Verifies the certificate of an answer, CBOR: that it is the word of a subnet that the canister is on, and not
    /// an old one.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub async fn answer(
        &self,
        certificate: Vec<u8>,
        canister: Principal,
    ) -> Result<Certified, CertificateError> {
        self.apart(move |root| {
            let certified = Certified::new(root.certificate(&certificate, canister)?);
            let age = SystemTime::now().duration_since(certified.time()?);
            if age.unwrap_or_default() > MAX_AGE {
                return Err(CertificateError::Outdated(MAX_AGE));
            }
            Ok(certified)
        })
        .await
    }

    /// Verifies that a canister signed a message. How long that counts is for the message to say.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub async fn canister_signature(&self, signed: CanisterSigned) -> Result<(), CertificateError> {
        self.apart(move |root| signed.check(root)).await
    }

    /// Works on a thread that serves no requests.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&RootOfTrust) -> Result<T, CertificateError> + Send + 'static,
    ) -> Result<T, CertificateError> {
        let core = Arc::clone(&self.cores)
            .acquire_owned()
            .await
            .map_err(|error| CertificateError::BrokenOff(error.to_string()))?;
        let root = Arc::clone(&self.root);
        spawn_blocking(move || {
            let _core = core;
            work(&root)
        })
        .await
        .unwrap_or_else(|error| Err(CertificateError::BrokenOff(error.to_string())))
    }
}
