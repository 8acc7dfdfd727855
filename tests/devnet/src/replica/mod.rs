//! The local IC: its subnets, their canisters, and the three kinds of requests.

pub(crate) mod canister_signature;
pub(crate) mod envelope;
pub(crate) mod faults;
pub(crate) mod http;
mod ingress;
pub(crate) mod interference;
pub(crate) mod public_key;
mod read_state;
pub(crate) mod request_log;
pub(crate) mod state_tree;
pub(crate) mod subnet;
mod verified;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use candid::Principal;
use ic_transport_types::{
    EnvelopeContent, NodeSignature, QueryResponse, RejectCode, RejectResponse, ReplyResponse,
    RequestId,
};

use self::{
    envelope::{Checked, Door},
    faults::{Faults, Kind},
    ingress::{History, Message, Outcome},
    interference::Interference,
    public_key::sha256,
    request_log::RequestLog,
    state_tree::{Path, StateTree},
    subnet::{DelegationCache, Host, Network, Ranges, cbor, leb128},
    verified::Verified,
};
use crate::{
    canisters::{Call, Canister, Mode, Stop, management::Management},
    clock::Clock,
};

pub(crate) struct Replica {
    pub(crate) clock: Clock,
    pub(crate) faults: Faults,
    pub(crate) interference: Interference,
    pub(crate) log: RequestLog,
    /// The management canister and the canisters made through it.
    management: Arc<Management>,
    network: Network,
    root_delegations: DelegationCache,
    verified: Verified,
    canisters: BTreeMap<Principal, Installed>,
    history: Mutex<History>,
}

struct Installed {
    canister: Box<dyn Canister>,
    /// Module hash, controllers and metadata: they never change.
    info: BTreeMap<Vec<u8>, StateTree>,
}

/// The data a canister's certificate must carry instead of its current certified data.
type CertifiedData = (Principal, [u8; 32]);

/// How an accepted update call goes on.
pub(crate) enum Submitted {
    /// Done: the certificate over its status.
    Certified(Vec<u8>),
    /// Never reached a canister.
    Rejected(RejectResponse),
    /// Seen before and not finished.
    Pending,
}

impl Replica {
    pub(crate) fn new(
        canisters: impl IntoIterator<Item = (Principal, Box<dyn Canister>)>,
        management: Arc<Management>,
    ) -> Self {
        Self {
            clock: Clock::default(),
            faults: Faults::default(),
            interference: Interference::default(),
            log: RequestLog::default(),
            management,
            network: Network::new(),
            root_delegations: DelegationCache::default(),
            verified: Verified::default(),
            canisters: canisters
                .into_iter()
                .map(|(id, canister)| (id, Installed::new(id, canister)))
                .collect(),
            history: Mutex::default(),
        }
    }

    pub(crate) fn root_key(&self) -> &[u8] {
        self.network.root_key()
    }

    fn door(&self) -> Door<'_> {
        Door {
            clock: &self.clock,
            root_key: self.network.root_key(),
            verified: &self.verified,
        }
    }

    /// Runs a method without HTTP or envelope, as `caller`.
    pub(crate) fn execute(
        &self,
        mode: Mode,
        canister: Principal,
        caller: Principal,
        method: &str,
        arg: &[u8],
    ) -> Outcome {
        // Certificates exist only outside of replicated execution.
        let certify = |data| self.data_certificate(canister, data);
        let call = Call {
            caller,
            method,
            arg,
            now: self.clock.now(),
            certify: (mode == Mode::Query).then_some(&certify as _),
        };
        let Some(installed) = self.canisters.get(&canister) else {
            return match mode {
                Mode::Query if is_management(&canister) => self.management.query(&call),
                Mode::Update if is_management(&canister) => self.management.update(&call),
                _ => self
                    .management
                    .execute(mode, &canister, &call)
                    .unwrap_or_else(|| Err(not_found(&canister))),
            };
        };
        check_exported(&canister, installed.canister.mode(method), mode, method)?;
        installed
            .canister
            .execute(&call)
            .map_err(|stop| stopped(&canister, stop))
    }

    /// Answers a query and signs the answer as the node of the canister's subnet.
    pub(crate) fn query(&self, host: Host, request: &Checked) -> QueryResponse {
        let (canister, method, arg) = addressed(&request.content);
        let outcome = self.execute(
            Mode::Query,
            canister,
            *request.content.sender(),
            method,
            arg,
        );
        let mut response = match outcome {
            Ok(arg) => QueryResponse::Replied {
                reply: ReplyResponse { arg },
                signatures: Vec::new(),
            },
            Err(reject) => QueryResponse::Rejected {
                reject,
                signatures: Vec::new(),
            },
        };
        let timestamp = self.clock.wall();
        let subnet = self.network.subnet(host);
        let mut signature = subnet.node_sign(&response.signable(request.request_id, timestamp));
        if self
            .faults
            .hits(Kind::QuerySignature, Some(&canister))
            .is_some()
        {
            signature[0] ^= 1;
        }
        let (QueryResponse::Replied { signatures, .. }
        | QueryResponse::Rejected { signatures, .. }) = &mut response;
        signatures.push(NodeSignature {
            timestamp,
            signature,
            identity: subnet.node_id(),
        });
        response
    }

    /// Takes an update call into the history: `None` when it is new and must be run, else what
    /// became of it before.
    pub(crate) fn admit(&self, request: &Checked) -> Result<Option<Message>, RejectResponse> {
        let (canister, method, arg) = addressed(&request.content);
        if is_management(&canister) {
            let sender = request.content.sender();
            self.management.accepts(sender, method, arg)?;
        } else if !self.canisters.contains_key(&canister) && !self.management.exists(&canister) {
            return Err(not_found(&canister));
        }
        Ok(crate::lock(&self.history).begin(
            &request.request_id,
            *request.content.sender(),
            canister,
        ))
    }

    /// Runs an admitted call and keeps its outcome for those who poll.
    pub(crate) fn process(&self, request: &Checked) -> Option<Message> {
        let (canister, method, arg) = addressed(&request.content);
        let sender = *request.content.sender();
        let outcome = self.execute(Mode::Update, canister, sender, method, arg);
        crate::lock(&self.history).finish(&request.request_id, outcome)
    }

    /// The synchronous form of an update call: admit, run, certify.
    pub(crate) fn submit(&self, host: Host, request: &Checked) -> Submitted {
        let message = match self.admit(request) {
            Err(reject) => return Submitted::Rejected(reject),
            Ok(None) => self.process(request),
            Ok(earlier) => earlier,
        };
        match message {
            Some(message) if message.outcome.is_some() && !message.pruned => {
                Submitted::Certified(self.certify_status(host, &request.request_id, &message))
            }
            _ => Submitted::Pending,
        }
    }

    /// Drops what became of a call, as happens to every call in the end: its caller learns only that
    /// it is done.
    pub(crate) fn prune(&self, request: &Checked) {
        crate::lock(&self.history).prune(&request.request_id);
    }

    fn certify_status(&self, host: Host, id: &RequestId, message: &Message) -> Vec<u8> {
        let statuses = BTreeMap::from([(id.to_vec(), message.status())]);
        let paths = [vec![b"request_status".to_vec(), id.to_vec()]];
        let faulty = self
            .faults
            .hits(Kind::Certificate, Some(&message.canister))
            .is_some();
        self.certify(host, statuses, None, &paths, Ranges::Sharded, faulty)
    }

    /// A certificate over the part of the state that `paths` reveal. The status branch holds just
    /// the calls that were asked about: the others could only appear as pruned hashes.
    fn certify(
        &self,
        host: Host,
        statuses: BTreeMap<Vec<u8>, StateTree>,
        certified_data: Option<CertifiedData>,
        paths: &[Path],
        ranges: Ranges,
        faulty: bool,
    ) -> Vec<u8> {
        let now = self.clock.wall();
        let canisters = self
            .canisters
            .iter()
            .filter(|(id, _)| self.network.host_of(id) == Some(host))
            .map(|(id, installed)| {
                let data = match certified_data {
                    Some((of, data)) if of == *id => Some(data),
                    _ => installed.canister.certified_data(),
                };
                (*id, installed.branch(data))
            });
        let made = self.management.branches().into_iter();
        let made = made.filter(|(id, _)| self.network.host_of(id) == Some(host));
        let canisters = canisters
            .chain(made)
            .map(|(id, branch)| (id.as_slice().to_vec(), branch));
        let tree = StateTree::branch(self.network.subnet_branches().into_iter().chain([
            ("canister", StateTree::branch(canisters)),
            ("request_status", StateTree::Branch(statuses)),
            ("time", StateTree::leaf(leb128(self.dated(now)))),
        ]));
        let mut paths = paths.to_vec();
        paths.push(vec![b"time".to_vec()]);
        let witness = tree.witness(&paths);
        let mut digest = witness.digest();
        if faulty {
            digest[0] ^= 1;
        }
        let fault = |kind| self.faults.hits(kind, None).is_some();
        let signer = if fault(Kind::ForeignSubnet) {
            Host::Foreign
        } else {
            host
        };
        let delegation = match signer {
            Host::Root => None,
            Host::Application if !fault(Kind::FreshDelegation) => {
                Some(self.root_delegations.get(&self.network, ranges, now))
            }
            delegated => Some(self.network.delegate(delegated, ranges, now)),
        };
        self.network.certify(signer, witness, digest, delegation)
    }

    /// The time that a certificate made now says.
    fn dated(&self, now: u64) -> u64 {
        let age = self.faults.delay(Kind::OldCertificate, None);
        now.saturating_sub(age.unwrap_or_default().as_nanos() as u64)
    }

    /// The certificate for data that `canister` is about to have certified.
    fn data_certificate(&self, canister: Principal, data: [u8; 32]) -> Vec<u8> {
        let host = self.network.host_of(&canister).unwrap_or(Host::Application);
        let path = vec![
            b"canister".to_vec(),
            canister.as_slice().to_vec(),
            b"certified_data".to_vec(),
        ];
        self.certify(
            host,
            BTreeMap::new(),
            Some((canister, data)),
            &[path],
            Ranges::Flat,
            false,
        )
    }
}

impl Installed {
    fn new(id: Principal, canister: Box<dyn Canister>) -> Self {
        let interface = canister.interface();
        // There is no wasm; the hash stands for the module and differs from canister to canister.
        let module = [id.as_slice(), interface.as_deref().unwrap_or("").as_bytes()].concat();
        let mut info = BTreeMap::from([
            (
                b"module_hash".to_vec(),
                StateTree::leaf(sha256(&module).as_slice()),
            ),
            (
                b"controllers".to_vec(),
                StateTree::leaf(cbor(&[Principal::management_canister()])),
            ),
        ]);
        if let Some(interface) = interface {
            let metadata = [("candid:service", StateTree::leaf(interface))];
            info.insert(b"metadata".to_vec(), StateTree::branch(metadata));
        }
        Self { canister, info }
    }

    fn branch(&self, certified_data: Option<[u8; 32]>) -> StateTree {
        let mut branch = self.info.clone();
        let data = certified_data.map_or(Vec::new(), |data| data.to_vec());
        branch.insert(b"certified_data".to_vec(), StateTree::leaf(data));
        StateTree::Branch(branch)
    }
}

/// Canister, method and argument of a query or call.
pub(crate) fn addressed(content: &EnvelopeContent) -> (Principal, &str, &[u8]) {
    match content {
        EnvelopeContent::Call {
            canister_id,
            method_name,
            arg,
            ..
        }
        | EnvelopeContent::Query {
            canister_id,
            method_name,
            arg,
            ..
        } => (*canister_id, method_name, arg),
        EnvelopeContent::ReadState { .. } => (Principal::management_canister(), "", &[]),
    }
}

pub(crate) fn reject(code: RejectCode, error: &str, message: String) -> RejectResponse {
    RejectResponse {
        reject_code: code,
        reject_message: message,
        error_code: Some(error.to_owned()),
    }
}

fn is_management(canister: &Principal) -> bool {
    *canister == Principal::management_canister()
}

/// Refuses to run a method in a way that it is not exported for.
pub(crate) fn check_exported(
    canister: &Principal,
    exported: Option<Mode>,
    mode: Mode,
    method: &str,
) -> Result<(), RejectResponse> {
    let (runnable, kind) = match mode {
        Mode::Query => (exported == Some(Mode::Query), "query"),
        Mode::Update => (exported.is_some(), "update"),
    };
    if runnable {
        return Ok(());
    }
    let message = format!("Canister has no {kind} method '{method}'.");
    Err(canister_error(canister, "IC0536", message))
}

fn not_found(canister: &Principal) -> RejectResponse {
    let message = format!("Canister {canister} not found");
    reject(RejectCode::DestinationInvalid, "IC0301", message)
}

fn canister_error(canister: &Principal, error: &str, message: String) -> RejectResponse {
    reject(
        RejectCode::CanisterError,
        error,
        format!("Error from Canister {canister}: {message}"),
    )
}

/// The rejection of a call that ended without a reply.
pub(crate) fn stopped(canister: &Principal, stop: Stop) -> RejectResponse {
    match stop {
        Stop::Trap(message) => canister_error(
            canister,
            "IC0503",
            format!("Canister called `ic0.trap` with message: '{message}'"),
        ),
        Stop::Silent => canister_error(
            canister,
            "IC0506",
            "Canister did not produce a response".to_owned(),
        ),
        Stop::Reject(message) => reject(RejectCode::CanisterReject, "IC0406", message),
    }
}
