//! Calls to the Internet Computer: submitting requests, anonymous or signed elsewhere, and verifying the answers.

mod boundary;
mod canister;
mod canister_state;
mod error;
pub mod interfaces;
mod reject;
#[cfg(test)]
mod scripted;
mod subnet_keys;

use std::{future::Future, time::Duration};

use ic_agent::{Agent, AgentError, agent::EnvelopeContent};
use ic_transport_types::{Envelope, ReadStateResponse, TransportCallResponse};
use icgate_certificate::{Certified, Status, Verifier};
use tokio::time::{sleep, timeout};
use url::Url;

use self::{
    boundary::{Boundary, Endpoint},
    subnet_keys::SubnetKeys,
};

pub use canister::{CanisterId, CanisterIdError};
pub use canister_state::CanisterState;
pub use error::IcError;
pub use reject::{RejectKind, error_code};

/// Requests in flight at once, all callers together.
const MAX_REQUESTS: usize = 4096;
/// Largest answer taken, in bytes; replies of canisters end at 3 MiB.
const MAX_ANSWER: usize = 4 << 20;
/// How long a query may take, the reading of its subnet's keys included.
const QUERY_DEADLINE: Duration = Duration::from_secs(40);
/// How long the result of an accepted update call is waited for. Below what clients wait for a tool.
const ACCEPTED_PATIENCE: Duration = Duration::from_secs(100);
/// The same when the answer to the submission was lost, so that nobody knows whether it arrived.
const LOST_PATIENCE: Duration = Duration::from_secs(30);

/// One call of a canister's method.
#[derive(Debug, Clone)]
pub struct Call {
    /// The canister.
    pub canister: CanisterId,
    /// The method's name.
    pub method: String,
    /// Candid-encoded arguments.
    pub arg: Vec<u8>,
}

/// An update call, signed.
#[derive(Debug)]
pub struct SignedUpdate {
    /// CBOR envelope.
    pub envelope: Vec<u8>,
    /// Its request id, 32 bytes.
    pub request_id: Vec<u8>,
}

/// The Internet Computer as this gateway reaches it. It holds no key: what it signs, it signs as nobody.
#[derive(Debug)]
pub struct Ic {
    agent: Agent,
    boundary: Boundary,
    verifier: Verifier,
    keys: SubnetKeys,
}

impl Ic {
    /// The Internet Computer behind a boundary node's URL; certificates must chain to `root_key` (DER), or to
    /// mainnet's when there is none. Connects to nothing yet.
    ///
    /// # Errors
    /// When no HTTP client can be made, or the key is none.
    pub fn new(url: &Url, root_key: Option<&[u8]>) -> Result<Ic, IcError> {
        let http = boundary::http_client()?;
        let agent = Agent::builder()
            .with_url(url.as_str())
            .with_http_client(http.clone())
            .with_max_concurrent_requests(MAX_REQUESTS)
            .with_max_response_body_size(MAX_ANSWER)
            .build()
            .map_err(IcError::from)?;
        if let Some(root_key) = root_key {
            agent.set_root_key(root_key.to_vec());
        }
        Ok(Ic {
            boundary: Boundary::new(http, url.clone()),
            verifier: Verifier::new(&agent.read_root_key())?,
            keys: SubnetKeys::new(agent.clone()),
            agent,
        })
    }

    /// Prepares for a query of a canister: fetches what its answer will be verified with. Does not wait.
    pub fn expect_query(&self, canister: CanisterId) {
        self.keys.warm(canister);
    }

    /// An anonymous query; the answer's node signature is verified.
    ///
    /// # Errors
    /// See [`IcError`].
    pub async fn query_anonymous(&self, call: Call) -> Result<Vec<u8>, IcError> {
        let agent = self.agent.clone();
        let canister = call.canister;
        let query = async move {
            let query = agent.query(&canister.principal(), call.method);
            within(QUERY_DEADLINE, query.with_arg(call.arg).call()).await
        };
        self.keys.with(canister, query).await
    }

    /// A query that was signed elsewhere; the answer's node signature is verified.
    ///
    /// # Errors
    /// See [`IcError`].
    pub async fn query_signed(
        &self,
        canister: CanisterId,
        envelope: Vec<u8>,
    ) -> Result<Vec<u8>, IcError> {
        let agent = self.agent.clone();
        let query = async move {
            let query = agent.query_signed(canister.principal(), envelope);
            within(QUERY_DEADLINE, query).await
        };
        self.keys.with(canister, query).await
    }

    /// An anonymous update call, waited for.
    ///
    /// # Errors
    /// See [`IcError`].
    pub async fn update_anonymous(&self, call: Call) -> Result<Vec<u8>, IcError> {
        let canister = call.canister.principal();
        let content = self
            .agent
            .update(&canister, call.method)
            .with_arg(call.arg)
            .into_envelope()?;
        let request_id = content.to_request_id();
        let update = SignedUpdate {
            envelope: unsigned(content),
            request_id: request_id.to_vec(),
        };
        let status = self.agent.sign_request_status(canister, request_id)?;
        let status = async { Some(status.signed_request_status) };
        self.update_signed(call.canister, update, status).await
    }

    /// Submits an update call and waits for its certified result: in the answer to the submission when it
    /// finishes soon (IC interface specification, synchronous call), else by asking for its status with the
    /// envelope that `status` makes when it is needed. Dropping the future stops asking, not the call.
    ///
    /// # Errors
    /// See [`IcError`]; [`IcError::OutcomeUnknown`] when the call may have been executed. Once it was submitted, no
    /// other error hides that: [`IcError::Rejected`] is certified, and [`IcError::Unverified`] says nothing about it.
    pub async fn update_signed(
        &self,
        canister: CanisterId,
        update: SignedUpdate,
        status: impl Future<Output = Option<Vec<u8>>>,
    ) -> Result<Vec<u8>, IcError> {
        let SignedUpdate {
            envelope,
            request_id,
        } = update;
        let patience = match self.submit(canister, envelope, &request_id).await {
            Ok(Some(reply)) => return Ok(reply),
            Ok(None) => ACCEPTED_PATIENCE,
            // An answer that cannot be understood says as much as none.
            Err(IcError::AnswerLost | IcError::Unexpected(_)) => LOST_PATIENCE,
            Err(error) => return Err(error),
        };
        let unknown = || IcError::OutcomeUnknown(hex::encode(&request_id));
        let status = status.await.ok_or_else(unknown)?;
        match timeout(patience, self.wait(canister, &request_id, status)).await {
            Ok(Err(error @ (IcError::Rejected(_) | IcError::Unverified(_)))) => Err(error),
            Ok(Err(error)) => {
                tracing::info!(%canister, %error, "the status of a submitted call cannot be read");
                Err(unknown())
            }
            Ok(Ok(reply)) => Ok(reply),
            Err(_) => Err(unknown()),
        }
    }

    /// Nothing when the call was accepted and is not finished.
    async fn submit(
        &self,
        canister: CanisterId,
        envelope: Vec<u8>,
        request_id: &[u8],
    ) -> Result<Option<Vec<u8>>, IcError> {
        let posted = self
            .boundary
            .post(Endpoint::Call, canister, envelope)
            .await?;
        let Some(answer) = posted.answer else {
            return Ok(None);
        };
        match serde_cbor::from_slice(&answer).map_err(|_| IcError::AnswerLost)? {
            TransportCallResponse::Accepted => Ok(None),
            TransportCallResponse::NonReplicatedRejection(_) if posted.doubt => {
                Err(IcError::AnswerLost)
            }
            TransportCallResponse::NonReplicatedRejection(reject) => {
                Err(IcError::TurnedAway(reject))
            }
            TransportCallResponse::Replied { certificate } => {
                let certified = self.verify(certificate, canister).await?;
                finished(certified.status(request_id)?)
            }
        }
    }

    async fn wait(
        &self,
        canister: CanisterId,
        request_id: &[u8],
        status: Vec<u8>,
    ) -> Result<Vec<u8>, IcError> {
        let mut pause = Duration::from_millis(250);
        loop {
            match self.read_state(canister, status.clone()).await {
                Ok(certified) => match certified.status(request_id)? {
                    Status::Done => {
                        return Err(IcError::OutcomeUnknown(hex::encode(request_id)));
                    }
                    status => {
                        if let Some(reply) = finished(status)? {
                            return Ok(reply);
                        }
                    }
                },
                // The call is on its way whatever happens to one question about it.
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error),
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_secs(1));
        }
    }

    async fn read_state(
        &self,
        canister: CanisterId,
        envelope: Vec<u8>,
    ) -> Result<Certified, IcError> {
        let answer = self
            .boundary
            .post(Endpoint::ReadState, canister, envelope)
            .await
            .map_err(IcError::of_a_read)?
            .answer
            .ok_or_else(|| IcError::Unexpected("an empty answer to read_state".to_owned()))?;
        let response: ReadStateResponse = serde_cbor::from_slice(&answer)
            .map_err(|error| IcError::Unexpected(error.to_string()))?;
        self.verify(response.certificate, canister).await
    }

    async fn verify(
        &self,
        certificate: Vec<u8>,
        canister: CanisterId,
    ) -> Result<Certified, IcError> {
        let verified = self.verifier.answer(certificate, canister.principal());
        Ok(verified.await?)
    }

    /// Paths of the certified state, read as nobody.
    async fn read_paths(
        &self,
        canister: CanisterId,
        paths: Vec<Vec<Vec<u8>>>,
    ) -> Result<Certified, IcError> {
        let content = EnvelopeContent::ReadState {
            ingress_expiry: expiry(),
            sender: candid::Principal::anonymous(),
            paths: paths
                .into_iter()
                .map(|path| path.into_iter().map(Into::into).collect())
                .collect(),
        };
        timeout(QUERY_DEADLINE, self.read_state(canister, unsigned(content)))
            .await
            .unwrap_or(Err(IcError::Unreachable))
    }
}

fn finished(status: Status) -> Result<Option<Vec<u8>>, IcError> {
    match status {
        Status::Replied(reply) => Ok(Some(reply)),
        Status::Rejected(reject) => Err(IcError::Rejected(reject)),
        Status::Pending | Status::Done => Ok(None),
    }
}

/// The envelope of an anonymous request.
fn unsigned(content: EnvelopeContent) -> Vec<u8> {
    let envelope = Envelope {
        content: std::borrow::Cow::Owned(content),
        sender_pubkey: None,
        sender_sig: None,
        sender_delegation: None,
    };
    envelope.encode_bytes()
}

/// Three minutes from now, in nanoseconds since the epoch.
fn expiry() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from((now + Duration::from_secs(180)).as_nanos()).unwrap_or(u64::MAX)
}

async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, AgentError>>,
) -> Result<T, IcError> {
    match timeout(deadline, work).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(IcError::Unreachable),
    }
}

#[cfg(test)]
mod tests {
    use ic_transport_types::{RejectCode, RejectResponse};

    use super::*;

    const ACCEPTED: &str =
        "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const UNCLEAR: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const REFUSED: &str =
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno";

    fn rejection() -> RejectResponse {
        RejectResponse {
            reject_code: RejectCode::SysTransient,
            reject_message: "busy".to_owned(),
            error_code: None,
        }
    }

    /// What a node says by itself when it does not take a call.
    fn turned_away() -> Vec<u8> {
        let said = TransportCallResponse::NonReplicatedRejection(rejection());
        let said = serde_cbor::to_vec(&said).unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            said.len()
        );
        [head.into_bytes(), said].concat()
    }

    async fn updated(answers: Vec<Vec<u8>>) -> Result<Vec<u8>, IcError> {
        let (url, _requests) = scripted::node(answers).await;
        let call = Call {
            canister: CanisterId::parse("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap(),
            method: "transfer".to_owned(),
            arg: b"DIDL\0\0".to_vec(),
        };
        Ic::new(&url, None).unwrap().update_anonymous(call).await
    }

    #[tokio::test]
    async fn a_status_that_cannot_be_read_does_not_hide_that_the_call_was_submitted() {
        for answers in [
            vec![ACCEPTED.into(), REFUSED.into()],
            vec![UNCLEAR.into(), REFUSED.into(), REFUSED.into()],
            vec![UNCLEAR.into(), turned_away(), REFUSED.into()],
            vec![ACCEPTED.into(), turned_away()],
        ] {
            let outcome = updated(answers).await;
            assert!(
                matches!(outcome, Err(IcError::OutcomeUnknown(_))),
                "{outcome:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_word_of_a_single_node_is_told_from_a_certified_rejection() {
        let outcome = updated(vec![turned_away()]).await;
        assert_eq!(outcome, Err(IcError::TurnedAway(rejection())));
    }
}
