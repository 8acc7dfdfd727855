use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ic_certification::{Certificate, LookupResult, SubtreeLookupResult};
use ic_transport_types::{RejectCode, RejectResponse};

use crate::CertificateError;

/// A certificate that was verified for the canister it was asked of.
#[derive(Debug)]
pub struct Certified(Certificate);

/// How far an update call has come.
#[derive(Debug)]
pub enum Status {
    /// Not known yet, received, or at work.
    Pending,
    /// Finished with a reply.
    Replied(Vec<u8>),
    /// Finished with a rejection.
    Rejected(RejectResponse),
    /// Finished so long ago that the result is gone.
    Done,
}

impl Certified {
    pub(crate) fn new(verified: Certificate) -> Self {
        Self(verified)
    }

    /// When the certificate was made.
    ///
    /// # Errors
    /// When the certificate does not say.
    pub fn time(&self) -> Result<SystemTime, CertificateError> {
        let nanos = self
            .lookup([b"time".as_slice()])?
            .and_then(|mut bytes| leb128::read::unsigned(&mut bytes).ok())
            .ok_or(CertificateError::Incomplete("time"))?;
        Ok(UNIX_EPOCH + Duration::from_nanos(nanos))
    }

    /// The value at a path; nothing when the certificate proves that there is none. Without a subnet delegation it
    /// proves that of a part of a canister only when it knows the canister: nothing says which canisters the root
    /// subnet hosts, and whoever asks it can show that it has not those of others.
    ///
    /// # Errors
    /// When the certificate does not say.
    pub fn lookup<'a>(
        &'a self,
        path: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<&'a [u8]>, CertificateError> {
        let path: Vec<&[u8]> = path.into_iter().collect();
        match self.0.tree.lookup_path(&path) {
            LookupResult::Found(value) => Ok(Some(value)),
            LookupResult::Absent if self.may_deny(&path) => Ok(None),
            LookupResult::Absent => Err(CertificateError::NotCovered),
            LookupResult::Unknown | LookupResult::Error => Err(CertificateError::NotCovered),
        }
    }

    /// Whether it is for this certificate to say that there is nothing at a path.
    fn may_deny(&self, path: &[&[u8]]) -> bool {
        match path {
            [b"canister", id, ..] if self.0.delegation.is_none() => {
                let known = self.0.tree.lookup_subtree([b"canister".as_slice(), *id]);
                matches!(known, SubtreeLookupResult::Found(_))
            }
            _ => true,
        }
    }

    /// The status of an update call, by its request id.
    ///
    /// # Errors
    /// When the certificate does not say.
    pub fn status(&self, request_id: &[u8]) -> Result<Status, CertificateError> {
        let field = |name: &'static str| {
            self.lookup([b"request_status".as_slice(), request_id, name.as_bytes()])
        };
        match field("status")? {
            None | Some(b"received" | b"processing") => Ok(Status::Pending),
            Some(b"done") => Ok(Status::Done),
            Some(b"replied") => {
                let reply = field("reply")?.ok_or_else(incomplete)?;
                Ok(Status::Replied(reply.to_vec()))
            }
            Some(b"rejected") => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let code = field("reject_code")?
                    .and_then(|mut bytes| leb128::read::unsigned(&mut bytes).ok())
                    .and_then(|code| RejectCode::try_from(code).ok())
                    .ok_or_else(incomplete)?;
                Ok(Status::Rejected(RejectResponse {
                    reject_code: code,
                    reject_message: field("reject_message")?.map(text).unwrap_or_default(),
                    // Optional, and a certificate need not even prove its absence.
                    error_code: field("error_code").ok().flatten().map(text),
                }))
            }
            Some(_) => Err(incomplete()),
        }
    }
}

fn incomplete() -> CertificateError {
    CertificateError::Incomplete("complete request status")
}

#[cfg(test)]
mod tests {
    use ic_certification::{Delegation, HashTree, fork, label, leaf, pruned};

    use super::*;

    fn certified(tree: HashTree) -> Certified {
        Certified(Certificate {
            tree,
            signature: Vec::new(),
            delegation: None,
        })
    }

    fn request(id: &[u8], fields: HashTree) -> Certified {
        certified(fork(
            label("request_status", label(id.to_vec(), fields)),
            label("time", leaf(vec![0x80, 0x94, 0xeb, 0xdc, 0x03])),
        ))
    }

    #[test]
    fn every_status_is_read() {
        let id = [7u8; 32];
        let replied = request(
            &id,
            fork(
                label("reply", leaf(b"DIDL".to_vec())),
                label("status", leaf(b"replied".to_vec())),
            ),
        );
        assert!(matches!(replied.status(&id), Ok(Status::Replied(reply)) if reply == b"DIDL"));
        assert_eq!(replied.time().unwrap(), UNIX_EPOCH + Duration::from_secs(1));
        let processing = request(&id, label("status", leaf(b"processing".to_vec())));
        assert!(matches!(processing.status(&id), Ok(Status::Pending)));
        let rejected = request(
            &id,
            fork(
                fork(
                    label("reject_code", leaf(vec![5])),
                    label("reject_message", leaf(b"no".to_vec())),
                ),
                label("status", leaf(b"rejected".to_vec())),
            ),
        );
        let status = rejected.status(&id);
        assert!(matches!(status, Ok(Status::Rejected(reject)) if reject.reject_message == "no"));
    }

    #[test]
    fn absence_is_told_from_ignorance() {
        let absent = certified(fork(
            label("request_status", leaf(Vec::new())),
            label("time", leaf(vec![1])),
        ));
        assert!(matches!(absent.lookup([b"metadata".as_slice()]), Ok(None)));
        let hidden = certified(fork(pruned([0; 32]), label("time", leaf(vec![1]))));
        assert!(hidden.lookup([b"metadata".as_slice()]).is_err());
    }

    #[test]
    fn the_root_subnet_denies_nothing_of_a_canister_that_it_does_not_know() {
        let canister = |id: &str| label(id, label("controllers", leaf(vec![1])));
        let tree = label("canister", fork(canister("a"), canister("c")));
        let of = |id: &'static str| [b"canister".as_slice(), id.as_bytes(), b"module_hash"];
        let root = certified(tree.clone());
        assert_eq!(root.lookup(of("a")), Ok(None));
        for foreign in ["b", "d"] {
            assert_eq!(root.lookup(of(foreign)), Err(CertificateError::NotCovered));
        }
        let none = certified(label("time", leaf(vec![1])));
        assert_eq!(none.lookup(of("a")), Err(CertificateError::NotCovered));
        // A delegation was checked to cover the canister that was asked about.
        let delegated = Certified(Certificate {
            tree,
            signature: Vec::new(),
            delegation: Some(Delegation {
                subnet_id: Vec::new(),
                certificate: Vec::new(),
            }),
        });
        assert_eq!(delegated.lookup(of("b")), Ok(None));
    }
}
