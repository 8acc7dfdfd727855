//! Questions whose answer is one text: schemas and documents.

use std::sync::Arc;

use candid::types::value::IDLValue;

use super::{caller::Caller, catalog::Tools, failure::Failure, order::Order, submit::Answered};
use crate::candid::{decode, interface::Interface};

/// What a canister said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// One text, as the canister wrote it.
    Text(String),
    /// Anything else, in Candid's notation.
    Else(String),
}

/// Asks with encoded arguments.
pub(super) async fn ask(
    order: &Order,
    tools: &Tools,
    caller: &Caller,
    arg: Vec<u8>,
    interface: Option<&Interface>,
) -> Result<Answered, Failure> {
    order.check_mode(interface)?;
    caller.doing("waiting for the canister's reply");
    order
        .send(tools, &caller.authorized, arg)
        .await
        .map_err(|error| order.not_answered(error, interface))
}

/// Reads the reply of a method that should give one text.
pub(super) async fn said(bytes: Vec<u8>, interface: Option<Arc<Interface>>, method: &str) -> Said {
    let one_text = |values: &[IDLValue]| match values {
        [IDLValue::Text(text)] => Some(text.clone()),
        _ => None,
    };
    let text = decode::read(bytes.clone(), interface.clone(), method, one_text).await;
    match text.flatten() {
        Some(text) => Said::Text(text),
        None => Said::Else(decode::reply(bytes, interface, method).await.text),
    }
}
