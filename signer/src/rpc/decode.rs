//! From messages to types that cannot be wrong, and back.

use candid::Principal;
use icgate_proto::{ConnectionSecret, SignerError, v1};

use crate::{
    Signer,
    account::TargetOrigin,
    clock::{MINUTE, Nanos},
    connection::{AccountChoice, AccountName, ConnectionId, NewSlot, SignRequest, Signed},
    envelope::{Call, Invocation},
    refusal::{self, invalid},
    vault::{User, random},
};

const INGRESS: Nanos = 4 * MINUTE;
/// The Internet Computer accepts nothing that is valid for longer.
const MAX_INGRESS: Nanos = 5 * MINUTE;
const MAX_METHOD: usize = 1024;
const MAX_NAME: usize = 256;
const MAX_NONCE: usize = 32;

pub(super) fn connection(
    reference: Option<v1::ConnectionRef>,
) -> Result<(ConnectionId, ConnectionSecret), SignerError> {
    let mut reference = reference.ok_or_else(|| invalid("`connection` is missing"))?;
    let secret = secret(&mut reference.secret)?;
    // An id of another form belongs to no connection.
    let id = ConnectionId::parse(&reference.connection_id).ok_or_else(refusal::secret_refused)?;
    Ok((id, secret))
}

pub(super) fn connection_id(text: &str) -> Result<ConnectionId, SignerError> {
    ConnectionId::parse(text).ok_or_else(|| invalid("`connection_id` is malformed"))
}

/// Takes a secret out of a message and wipes it there.
pub(super) fn secret(bytes: &mut Vec<u8>) -> Result<ConnectionSecret, SignerError> {
    let secret = ConnectionSecret::try_from(bytes.as_slice());
    zeroize::Zeroize::zeroize(bytes);
    secret.map_err(|error| invalid(format_args!("`secret`: {error}")))
}

pub(super) fn new_slot(mut slot: v1::NewSlot) -> Result<NewSlot, SignerError> {
    Ok(NewSlot {
        secret: secret(&mut slot.secret)?,
        expires_at: slot.expires_at_ns,
    })
}

pub(super) fn origin(text: &str) -> Result<TargetOrigin, SignerError> {
    TargetOrigin::parse(text).map_err(|error| invalid(format_args!("`origin` {error}")))
}

pub(super) fn account(selector: Option<v1::AccountSelector>) -> Result<AccountChoice, SignerError> {
    use v1::account_selector::Account;
    let selector = selector.ok_or_else(|| invalid("`account` is missing"))?;
    let name = match selector.account {
        None => AccountName::Default,
        Some(Account::Number(number)) => AccountName::Number(number),
        Some(Account::Name(name)) if name.len() <= MAX_NAME => AccountName::Name(name),
        Some(Account::Name(_)) => return Err(invalid("`account.name` is too long")),
    };
    Ok(AccountChoice {
        origin: origin(&selector.origin)?,
        name,
    })
}

pub(super) fn query(
    signer: &Signer,
    request: v1::SignQueryRequest,
) -> Result<SignRequest, SignerError> {
    let (connection, secret) = connection(request.connection)?;
    let invocation = Invocation::Query {
        canister: canister(&request.canister_id)?,
        method: method(request.method)?,
        arg: request.arg,
    };
    let call = call(signer, invocation, request.ingress_expiry_ns)?;
    Ok(SignRequest {
        connection,
        secret,
        account: account(request.account)?,
        call,
    })
}

pub(super) fn update(
    signer: &Signer,
    request: v1::SignUpdateRequest,
) -> Result<SignRequest, SignerError> {
    let (connection, secret) = connection(request.connection)?;
    let nonce = match request.nonce.len() {
        0 => random::<16>().to_vec(),
        1..=MAX_NONCE => request.nonce,
        _ => {
            return Err(invalid(format_args!(
                "`nonce` is longer than {MAX_NONCE} bytes"
            )));
        }
    };
    let invocation = Invocation::Update {
        canister: canister(&request.canister_id)?,
        method: method(request.method)?,
        arg: request.arg,
        nonce,
    };
    let call = call(signer, invocation, request.ingress_expiry_ns)?;
    Ok(SignRequest {
        connection,
        secret,
        account: account(request.account)?,
        call,
    })
}

pub(super) fn read_state(
    signer: &Signer,
    request: v1::SignReadStateRequest,
) -> Result<SignRequest, SignerError> {
    let (connection, secret) = connection(request.connection)?;
    let request_id = request.request_id.try_into();
    let request_id = request_id.map_err(|_| invalid("`request_id` must have 32 bytes"))?;
    let call = call(
        signer,
        Invocation::ReadState { request_id },
        request.ingress_expiry_ns,
    )?;
    Ok(SignRequest {
        connection,
        secret,
        account: account(request.account)?,
        call,
    })
}

fn call(
    signer: &Signer,
    invocation: Invocation,
    ingress_expiry: Nanos,
) -> Result<Call, SignerError> {
    let now = signer.clock.now();
    let ingress_expiry = match ingress_expiry {
        0 => now + INGRESS,
        given if given > now && given <= now + MAX_INGRESS => given,
        _ => {
            return Err(invalid(
                "`ingress_expiry_ns` must be within the next five minutes",
            ));
        }
    };
    Ok(Call {
        invocation,
        ingress_expiry,
    })
}

/// The management canister's principal is the empty one.
fn canister(bytes: &[u8]) -> Result<Principal, SignerError> {
    Principal::try_from_slice(bytes).map_err(|_| invalid("`canister_id` has more than 29 bytes"))
}

fn method(method: String) -> Result<String, SignerError> {
    if method.is_empty() || method.len() > MAX_METHOD {
        return Err(invalid(format_args!(
            "`method` must have 1 to {MAX_METHOD} bytes"
        )));
    }
    Ok(method)
}

pub(super) fn signed(signed: Signed) -> v1::SignedRequest {
    let Signed {
        envelope,
        rule,
        digest,
    } = signed;
    v1::SignedRequest {
        envelope: envelope.envelope,
        request_id: envelope.request_id.to_vec(),
        sender: envelope.sender.as_slice().to_vec(),
        ingress_expiry_ns: envelope.ingress_expiry,
        decision: Some(v1::Decision {
            rule: rule.as_str().to_owned(),
            receipt_id: String::new(),
            digest: digest.to_vec(),
        }),
    }
}

pub(super) fn user(user: User) -> v1::User {
    v1::User {
        user_id: user.id,
        principal: user.principal.as_slice().to_vec(),
    }
}
