//! Sending calls: anonymously, or signed as one of the user's accounts.

use candid::Principal;
use icgate_proto::v1::{
    AccountSelector, SignQueryRequest, SignReadStateRequest, SignUpdateRequest, SignedRequest,
    sign_stream_request::Call as ToSign,
};

use super::{
    catalog::Tools,
    failure::{Failure, of_signer},
    identity::principal_text,
    order::Order,
};
use crate::{
    connection::Authorized,
    ic::{Call, CanisterId, IcError, SignedUpdate},
};

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

/// A reply, and the principal it was given to, in text.
pub(super) type Answered = (Vec<u8>, String);

/// A call as one of the user's accounts.
pub(super) struct AccountCall<'a> {
    /// Who acts.
    pub(super) account: &'a AccountSelector,
    /// Who is called. Not the canister that the request is routed by when it is the management canister.
    pub(super) callee: Principal,
    /// The canister the request is routed by (effective canister id of the interface specification).
    pub(super) route: CanisterId,
    pub(super) method: String,
    /// Candid-encoded.
    pub(super) arg: Vec<u8>,
}

impl Order {
    pub(super) async fn send(
        &self,
        tools: &Tools,
        authorized: &Authorized,
        arg: Vec<u8>,
    ) -> Result<Answered, NotAnswered> {
        if let Some(account) = &self.account {
            let call = AccountCall {
                account,
                callee: self.canister.principal(),
                route: self.canister,
                method: self.method.clone(),
                arg,
            };
            return if self.is_query {
                call.query(tools, authorized).await
            } else {
                call.update(tools, authorized).await
            };
        }
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
        Ok((reply, Principal::anonymous().to_text()))
    }
}

impl AccountCall<'_> {
    /// Asks, one round trip.
    pub(super) async fn query(
        self,
        tools: &Tools,
        authorized: &Authorized,
    ) -> Result<Answered, NotAnswered> {
        let to_sign = ToSign::Query(SignQueryRequest {
            connection: Some(authorized.to_wire()),
            account: Some(self.account.clone()),
            canister_id: self.callee.as_slice().to_vec(),
            method: self.method,
            arg: self.arg,
            ingress_expiry_ns: 0,
        });
        let signed = sign(to_sign, tools, authorized).await?;
        let sender = principal_text(&signed.sender)?;
        let reply = tools.ic.query_signed(self.route, signed.envelope).await?;
        Ok((reply, sender))
    }

    /// Submits an update and waits for its certified reply.
    pub(super) async fn update(
        self,
        tools: &Tools,
        authorized: &Authorized,
    ) -> Result<Answered, NotAnswered> {
        let to_sign = ToSign::Update(SignUpdateRequest {
            connection: Some(authorized.to_wire()),
            account: Some(self.account.clone()),
            canister_id: self.callee.as_slice().to_vec(),
            method: self.method,
            arg: self.arg,
            ingress_expiry_ns: 0,
            nonce: nonce(),
            approval: None,
        });
        let signed = sign(to_sign, tools, authorized).await?;
        let sender = principal_text(&signed.sender)?;
        let ask = ToSign::ReadState(SignReadStateRequest {
            connection: Some(authorized.to_wire()),
            account: Some(self.account.clone()),
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
        let reply = tools.ic.update_signed(self.route, update, status).await?;
        Ok((reply, sender))
    }
}

async fn sign(
    call: ToSign,
    tools: &Tools,
    authorized: &Authorized,
) -> Result<SignedRequest, NotAnswered> {
    match tools.signer.sign(call).await {
        Ok(signed) => Ok(signed),
        Err(error) => Err(of_signer(error, authorized, &tools.ended).await.into()),
    }
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
