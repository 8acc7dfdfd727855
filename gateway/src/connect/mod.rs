//! The Internet Identity handshake in both generations. The browser leaves with a link and a connect cookie, and comes
//! back with what only the browser has in which the person consented: a delegation chain to our registration key
//! (`registration-delegation`), or a finish secret (`key-request`). Both reach the same redeem endpoint.

mod arrival;
mod begin;
mod failure;
mod key_request;
mod link;
mod question;
mod redeem;

use icgate_proto::v1;

use crate::{oauth::Credential, store::records::PendingConnect};

pub(crate) use arrival::level_of;
pub(crate) use begin::{Departure, begin};
pub(crate) use failure::too_often;
pub(crate) use key_request::{MAX_BODY as MAX_CALLBACK, callback};
pub(crate) use link::callbacks;
pub(crate) use question::{PATH as QUESTION_PATH, answered, asked};
pub(crate) use redeem::{MAX_BODY as MAX_REDEEM, redeem};

/// A pending connection as signer requests name it.
fn reference(connect: &PendingConnect, cookie: &Credential) -> v1::ConnectionRef {
    v1::ConnectionRef {
        connection_id: connect.connection.as_str().to_owned(),
        secret: cookie.secret().to_wire(),
    }
}
