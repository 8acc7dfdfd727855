use std::{sync::Arc, time::Duration};

use candid::Principal;
use http::{Method, StatusCode};
use ic_transport_types::{ReadStateResponse, RejectCode, RejectResponse, TransportCallResponse};
use icgate_certificate::{CertificateError, Certified, Status, Verifier};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::debug;

use super::{IcRequest, IcResponse, IdentityCallError, Transport};
use crate::envelope::SignedEnvelope;

/// Pauses between questions about a call that was accepted.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Of a refusal's text, in the log.
const SHOWN: usize = 300;

/// Submits update calls and verifies their results.
pub(super) struct Updates {
    transport: Arc<dyn Transport>,
    verifier: Verifier,
}

impl Updates {
    pub(super) fn new(transport: Arc<dyn Transport>, verifier: Verifier) -> Self {
        Self {
            transport,
            verifier,
        }
    }

    /// Submits a call and waits for its certified reply: in the answer to the submission when it finishes soon (IC
    /// interface specification, synchronous call), else by asking for its status with the envelope that `status`
    /// makes. For as long as the caller waits.
    pub(super) async fn call(
        &self,
        canister: Principal,
        call: SignedEnvelope,
        status: impl FnOnce() -> SignedEnvelope,
    ) -> Result<Vec<u8>, IdentityCallError> {
        let SignedEnvelope {
            envelope,
            request_id,
            ..
        } = call;
        if let Some(reply) = self.submit(canister, envelope, &request_id).await? {
            return Ok(reply);
        }
        let status = status().envelope;
        let mut pause = FIRST_PAUSE;
        loop {
            sleep(pause).await;
            match self.read_state(canister, status.clone()).await {
                Ok(certified) => {
                    if let Some(reply) = finished(&certified, &request_id)? {
                        return Ok(reply);
                    }
                }
                // The call is on its way whatever happens to one question about it.
                Err(IdentityCallError::Unavailable(cause)) => {
                    debug!(%canister, cause, "the status of a call could not be read");
                }
                Err(error) => return Err(error),
            }
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// Nothing when the call was accepted and is not finished.
    async fn submit(
        &self,
        canister: Principal,
        envelope: Vec<u8>,
        request_id: &[u8],
    ) -> Result<Option<Vec<u8>>, IdentityCallError> {
        let path = format!("/api/v4/canister/{canister}/call");
        let answer = self.post(path, envelope).await?;
        if answer.status == StatusCode::ACCEPTED {
            return Ok(None);
        }
        match cbor(&answer)? {
            TransportCallResponse::Accepted => Ok(None),
            // One node's word: another may take the call.
            TransportCallResponse::NonReplicatedRejection(reject) => {
                Err(IdentityCallError::Unavailable(said(&reject)))
            }
            TransportCallResponse::Replied { certificate } => {
                let certified = self.verifier.answer(certificate, canister).await;
                finished(&certified.map_err(unverified)?, request_id)
            }
        }
    }

    async fn read_state(
        &self,
        canister: Principal,
        envelope: Vec<u8>,
    ) -> Result<Certified, IdentityCallError> {
        let path = format!("/api/v3/canister/{canister}/read_state");
        let answer: ReadStateResponse = cbor(&self.post(path, envelope).await?)?;
        let certified = self.verifier.answer(answer.certificate, canister).await;
        certified.map_err(unverified)
    }

    async fn post(&self, path: String, body: Vec<u8>) -> Result<IcResponse, IdentityCallError> {
        let request = IcRequest {
            method: Method::POST,
            path,
            body: body.into(),
        };
        let answer = self.transport.send(request).await;
        let answer = answer.map_err(|error| IdentityCallError::Unavailable(error.to_string()))?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let text = &answer.body[..answer.body.len().min(SHOWN)];
        Err(IdentityCallError::Unavailable(format!(
            "HTTP status {}: {:?}",
            answer.status.as_u16(),
            String::from_utf8_lossy(text)
        )))
    }
}

impl std::fmt::Debug for Updates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Updates")
    }
}

/// The reply; nothing while there is none yet.
fn finished(
    certified: &Certified,
    request_id: &[u8],
) -> Result<Option<Vec<u8>>, IdentityCallError> {
    match certified.status(request_id).map_err(unverified)? {
        Status::Pending => Ok(None),
        Status::Replied(reply) => Ok(Some(reply)),
        Status::Rejected(reject) if reject.reject_code == RejectCode::SysTransient => {
            Err(IdentityCallError::Unavailable(said(&reject)))
        }
        Status::Rejected(reject) => Err(IdentityCallError::Unexpected(said(&reject))),
        Status::Done => Err(IdentityCallError::Unexpected(
            "the call's reply is gone".to_owned(),
        )),
    }
}

fn said(reject: &RejectResponse) -> String {
    let RejectResponse {
        reject_code,
        reject_message,
        ..
    } = reject;
    format!(
        "rejected with code {}: {reject_message}",
        *reject_code as u8
    )
}

/// Time cures an old answer and a check that broke off, and nothing else.
fn unverified(error: CertificateError) -> IdentityCallError {
    let cause = format!("a certificate: {error}");
    match error {
        CertificateError::Outdated(_) | CertificateError::BrokenOff(_) => {
            IdentityCallError::Unavailable(cause)
        }
        _ => IdentityCallError::Unexpected(cause),
    }
}

fn cbor<T: DeserializeOwned>(answer: &IcResponse) -> Result<T, IdentityCallError> {
    serde_cbor::from_slice(&answer.body)
        .map_err(|error| IdentityCallError::Unexpected(format!("not what was expected: {error}")))
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex};

    use async_trait::async_trait;
    use ic_agent::Agent;

    use super::*;
    use crate::transport::TransportError;

    /// Answers by heart, one after the other; with nothing where there is no answer.
    struct Script(Mutex<VecDeque<Option<(u16, &'static [u8])>>>);

    #[async_trait]
    impl Transport for Script {
        async fn send(&self, _: IcRequest) -> Result<IcResponse, TransportError> {
            let next = self.0.lock().unwrap().pop_front().expect("an answer");
            let (status, body) = next.ok_or(TransportError::TooLarge)?;
            Ok(IcResponse {
                status: StatusCode::from_u16(status).unwrap(),
                body: body.into(),
            })
        }
    }

    fn signed() -> SignedEnvelope {
        SignedEnvelope {
            envelope: Vec::new(),
            request_id: [7; 32],
            sender: Principal::anonymous(),
            ingress_expiry: 0,
        }
    }

    #[tokio::test]
    async fn a_question_without_an_answer_does_not_end_a_call_that_was_accepted() {
        let script = Arc::new(Script(Mutex::new(VecDeque::from([
            Some((202, b"".as_slice())),
            None,
            Some((503, b"busy")),
            Some((200, b"nonsense")),
        ]))));
        let mainnet = Agent::builder().with_url("https://ic.invalid");
        let root_key = mainnet.build().unwrap().read_root_key();
        let verifier = Verifier::new(&root_key).unwrap();
        let updates = Updates::new(Arc::clone(&script) as Arc<dyn Transport>, verifier);
        let outcome = updates.call(Principal::management_canister(), signed(), signed);
        let outcome = outcome.await;
        assert!(
            matches!(outcome, Err(IdentityCallError::Unexpected(_))),
            "{outcome:?}"
        );
        assert!(script.0.lock().unwrap().is_empty());
    }
}
