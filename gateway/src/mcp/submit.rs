//! Sending a call: as nobody, or signed for the user by the signer.

use icgate_proto::{
    SignerError,
    v1::{
        AccountSelector, SignQueryRequest, SignReadStateRequest, SignUpdateRequest, SignedRequest,
        sign_stream_request::Call as ToSign,
    },
};

use super::{
    call::Order,
    catalog::Tools,
    failure::{Failure, of_signer},
    identity::principal_text,
};
use crate::{
    connection::Authorized,
    ic::{Call, IcError, SignedUpdate},
};

impl Order {
    /// The reply, and the principal it was given to.
    pub(super) async fn send(
        &self,
        tools: &Tools,
        authorized: &Authorized,
        arg: Vec<u8>,
    ) -> Result<(Vec<u8>, String), NotAnswered> {
        let Some(account) = &self.account else {
            let call = Call {
                canister: self.canister,
                method: self.method.clone(),
                arg,
            };
            let reply = if self.is_query {
                tools.ic.query_anonymous(call).await?
            } else {
                tools.ic.update_anonymous(call).await?
            };
            return Ok((reply, candid::Principal::anonymous().to_text()));
        };
        let to_sign = self.to_sign(authorized, account.clone(), arg);
        let signed = match tools.signer.sign(to_sign).await {
            Ok(signed) => signed,
            Err(error) => return Err(signer_failure(error, tools, authorized).await),
        };
        let sender = principal_text(&signed.sender)?;
        let reply = if self.is_query {
            tools
                .ic
                .query_signed(self.canister, signed.envelope)
                .await?
        } else {
            self.submit(tools, authorized, account, signed).await?
        };
        Ok((reply, sender))
    }

    fn to_sign(&self, authorized: &Authorized, account: AccountSelector, arg: Vec<u8>) -> ToSign {
        let connection = Some(authorized.to_wire());
        let account = Some(account);
        let canister_id = self.canister.principal().as_slice().to_vec();
        let method = self.method.clone();
        if self.is_query {
            return ToSign::Query(SignQueryRequest {
                connection,
                account,
                canister_id,
                method,
                arg,
                ingress_expiry_ns: 0,
            });
        }
        ToSign::Update(SignUpdateRequest {
            connection,
            account,
            canister_id,
            method,
            arg,
            ingress_expiry_ns: 0,
            nonce: nonce(),
            approval: None,
        })
    }

    async fn submit(
        &self,
        tools: &Tools,
        authorized: &Authorized,
        account: &AccountSelector,
        signed: SignedRequest,
    ) -> Result<Vec<u8>, NotAnswered> {
        let ask = ToSign::ReadState(SignReadStateRequest {
            connection: Some(authorized.to_wire()),
            account: Some(account.clone()),
            request_id: signed.request_id.clone(),
            ingress_expiry_ns: 0,
        });
        let status = async {
            let signed = tools.signer.sign(ask).await;
            signed
                .map(|signed| signed.envelope)
                .inspect_err(
                    |error| tracing::warn!(%error, "the status of a call could not be asked for"),
                )
                .ok()
        };
        let update = SignedUpdate {
            envelope: signed.envelope,
            request_id: signed.request_id,
        };
        Ok(tools
            .ic
            .update_signed(self.canister, update, status)
            .await?)
    }
}

/// Why there is no reply.
pub(super) enum NotAnswered {
    Ic(IcError),
    Failure(Failure),
}

impl From<IcError> for NotAnswered {
    fn from(error: IcError) -> Self {
        NotAnswered::Ic(error)
    }
}

impl From<Failure> for NotAnswered {
    fn from(failure: Failure) -> Self {
        NotAnswered::Failure(failure)
    }
}

async fn signer_failure(error: SignerError, tools: &Tools, authorized: &Authorized) -> NotAnswered {
    NotAnswered::Failure(of_signer(error, authorized, &tools.ended).await)
}

/// Makes equal calls distinct. Without randomness the call goes without one, which only merges repetitions within
/// the same instant.
fn nonce() -> Vec<u8> {
    let mut nonce = [0; 16];
    match getrandom::fill(&mut nonce) {
        Ok(()) => nonce.to_vec(),
        Err(_) => Vec::new(),
    }
}
