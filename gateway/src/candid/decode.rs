//! Replies to text.

use std::sync::Arc;

use candid::{
    CandidType, DecoderConfig, idl_hash,
    types::value::{IDLArgs, IDLValue},
    utils::decode_one_with_config,
};
use serde::de::DeserializeOwned;

use super::{
    interface::{Interface, Types},
    render, stack,
};

/// Longest reply text, in bytes. Many pages; the largest reply a canister can give would be some hundred.
pub const MAX_REPLY_TEXT: usize = 1 << 20;
/// Work one reply may cost, in the library's units. A few bytes of `vec null` can otherwise claim gigabytes.
const QUOTA: usize = 3_000_000;
/// The library counts values without a Rust type, which all values here are, twice: as they are towards the
/// skipping quota, and this many times towards the decoding quota.
const UNTYPED_FACTOR: usize = 50;
/// Replies up to this size, in bytes, are decoded where they arrive, under a quota to match.
const SMALL_REPLY: usize = 4 << 10;
const SMALL_QUOTA: usize = 100_000;
/// Most entries of a reply's type table.
const MAX_TYPES: usize = 10_000;
/// Bytes shown of a reply that is not Candid.
const MAX_RAW: usize = 4 << 10;

/// A reply as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The values in Candid's notation, or the reply's bytes in hexadecimal.
    pub text: String,
    /// How the text came about.
    pub form: Form,
    /// Whether the text had to end before the reply did.
    pub cut: bool,
}

/// How a reply became text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With the method's own types: field names are known.
    Typed,
    /// Without types: field names are shown as their hashes.
    Untyped,
    /// Not decodable within the limits: its bytes in hexadecimal.
    Bytes,
}

impl Form {
    /// The name in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Form::Typed => "typed",
            Form::Untyped => "untyped",
            Form::Bytes => "bytes",
        }
    }
}

/// What is decoded.
#[derive(Debug, Clone, Copy)]
enum Side {
    Arguments,
    Reply,
}

/// Turns a reply into text. Never fails: what cannot be decoded is shown as it is.
pub async fn reply(bytes: Vec<u8>, interface: Option<Arc<Interface>>, method: &str) -> Reply {
    shown(bytes, interface, method, Side::Reply).await
}

/// Turns encoded arguments into text: what the canister will see.
pub async fn arguments(bytes: Vec<u8>, interface: Option<Arc<Interface>>, method: &str) -> Reply {
    shown(bytes, interface, method, Side::Arguments).await
}

/// Decodes a reply and lets `take` have what it needs of the values, on a stack that holds them. None when the reply
/// cannot be decoded within the limits.
pub async fn read<T: Send + 'static>(
    bytes: Vec<u8>,
    interface: Option<Arc<Interface>>,
    method: &str,
    take: impl FnOnce(&[IDLValue]) -> T + Send + 'static,
) -> Option<T> {
    let method = method.to_owned();
    let work = move || {
        let (values, _) = decode(&bytes, interface.as_deref(), &method, Side::Reply, QUOTA)?;
        Some(take(&values.args))
    };
    stack::large(work).await.ok().flatten()
}

/// A reply with one value of a type of ours, which is not recursive, within the limits.
///
/// # Errors
/// When it is of another type, or costs more than a reply may.
pub fn one<T: CandidType + DeserializeOwned>(bytes: &[u8]) -> Result<T, candid::Error> {
    let mut config = DecoderConfig::new();
    config
        .set_decoding_quota(QUOTA)
        .set_skipping_quota(QUOTA)
        .set_max_type_len(MAX_TYPES)
        .set_full_error_message(false);
    decode_one_with_config(bytes, &config)
}

async fn shown(
    bytes: Vec<u8>,
    interface: Option<Arc<Interface>>,
    method: &str,
    side: Side,
) -> Reply {
    if bytes.len() <= SMALL_REPLY {
        let small = stack::here(|| print(&bytes, interface.as_deref(), method, side, SMALL_QUOTA));
        if let Ok(Some(reply)) = small
            && (reply.form == Form::Typed || interface.is_none())
        {
            return reply;
        }
    }
    let raw = raw(&bytes);
    let method = method.to_owned();
    stack::large(move || print(&bytes, interface.as_deref(), &method, side, QUOTA))
        .await
        .ok()
        .flatten()
        .unwrap_or(raw)
}

fn print(
    bytes: &[u8],
    interface: Option<&Interface>,
    method: &str,
    side: Side,
    quota: usize,
) -> Option<Reply> {
    let (args, form) = decode(bytes, interface, method, side, quota)?;
    let printed = render::print(&args.args, MAX_REPLY_TEXT);
    Some(Reply {
        text: printed.text,
        form,
        cut: printed.cut,
    })
}

fn decode(
    bytes: &[u8],
    interface: Option<&Interface>,
    method: &str,
    side: Side,
    quota: usize,
) -> Option<(IDLArgs, Form)> {
    let mut config = DecoderConfig::new();
    config
        .set_decoding_quota(quota * UNTYPED_FACTOR)
        .set_skipping_quota(quota)
        .set_max_type_len(MAX_TYPES)
        .set_full_error_message(false);
    let types = interface.and_then(|interface| {
        let method = interface.method(method)?;
        Some(match side {
            Side::Arguments => interface.argument_types(method),
            Side::Reply => interface.reply_types(method),
        })
    });
    let typed = types.and_then(|Types { env, list }| {
        IDLArgs::from_bytes_with_types_with_config(bytes, &env, &list, &config).ok()
    });
    match typed {
        Some(args) => Some((args, Form::Typed)),
        None => {
            let args = IDLArgs::from_bytes_with_config(bytes, &config).ok()?;
            Some((args, Form::Untyped))
        }
    }
}

fn raw(bytes: &[u8]) -> Reply {
    Reply {
        text: hex::encode(&bytes[..bytes.len().min(MAX_RAW)]),
        form: Form::Bytes,
        cut: bytes.len() > MAX_RAW,
    }
}

/// The field of this name, when the value is a record that has it.
pub(crate) fn field<'a>(value: &'a IDLValue, name: &str) -> Option<&'a IDLValue> {
    let IDLValue::Record(fields) = value else {
        return None;
    };
    let id = idl_hash(name);
    let field = fields.iter().find(|field| field.id.get_id() == id)?;
    Some(&field.val)
}

#[cfg(test)]
mod tests {
    use candid::Encode;

    use super::*;

    async fn interface(service: &str) -> Arc<Interface> {
        Arc::new(
            Interface::parse(format!("service : {{ {service} }}").into())
                .await
                .unwrap(),
        )
    }

    #[tokio::test]
    async fn field_names_come_from_the_interface() {
        #[derive(candid::CandidType)]
        struct Account {
            balance: u64,
            owner: String,
        }
        let bytes = Encode!(&Account {
            balance: 5,
            owner: "me".to_owned()
        })
        .unwrap();
        let typed = interface("get : () -> (record { owner : text; balance : nat64 }) query").await;
        let reply_typed = reply(bytes.clone(), Some(Arc::clone(&typed)), "get").await;
        assert_eq!(reply_typed.form, Form::Typed);
        assert!(
            reply_typed.text.contains("owner = \"me\""),
            "{}",
            reply_typed.text
        );
        let untyped = reply(bytes.clone(), None, "get").await;
        assert_eq!(untyped.form, Form::Untyped);
        assert!(!untyped.text.contains("owner") && untyped.text.contains("\"me\""));
        assert_eq!(reply(bytes, Some(typed), "other").await.form, Form::Untyped);
    }

    #[tokio::test]
    async fn a_reply_of_another_type_falls_back() {
        let bytes = Encode!(&"text").unwrap();
        let wrong = interface("get : () -> (nat)").await;
        let reply = reply(bytes, Some(wrong), "get").await;
        assert_eq!(
            (reply.form, reply.text.as_str()),
            (Form::Untyped, "(\"text\")")
        );
    }

    #[tokio::test]
    async fn what_is_not_candid_is_shown_as_bytes() {
        let reply = reply(b"\x00\xffhello".to_vec(), None, "m").await;
        assert_eq!(
            (reply.form, reply.text.as_str()),
            (Form::Bytes, "00ff68656c6c6f")
        );
        assert!(super::reply(vec![7; 10_000], None, "m").await.cut);
    }

    #[tokio::test]
    async fn a_vec_null_bomb_costs_nothing_and_is_shown_as_bytes() {
        // vec null with two thousand million elements in a dozen bytes.
        let bomb = b"DIDL\x01\x6d\x7f\x01\x00\x80\x80\x80\x80\x08".to_vec();
        for interface in [None, Some(interface("m : () -> (vec null)").await)] {
            assert_eq!(reply(bomb.clone(), interface, "m").await.form, Form::Bytes);
        }
    }

    #[tokio::test]
    async fn a_deeply_nested_reply_does_not_end_the_process() {
        // type 0 = opt 0: a hundred thousand levels, then none.
        let mut deep = b"DIDL\x01\x6e\x00\x01\x00".to_vec();
        deep.extend(std::iter::repeat_n(1, 100_000));
        deep.push(0);
        let text = "type T = opt T; service : { m : () -> (T) }";
        let own = Arc::new(Interface::parse(text.into()).await.unwrap());
        for interface in [None, Some(own)] {
            let reply = reply(deep.clone(), interface, "m").await;
            assert!(reply.cut || reply.form == Form::Bytes);
        }
    }

    #[tokio::test]
    async fn a_large_reply_is_cut_at_the_bound() {
        let bytes = Encode!(&vec!["some text"; 150_000]).unwrap();
        let reply = reply(bytes, None, "m").await;
        assert!(
            reply.cut
                && reply.text.len() <= MAX_REPLY_TEXT
                && reply.text.len() > MAX_REPLY_TEXT / 2
        );
    }
}
