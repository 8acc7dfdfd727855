//! The init argument: typed when the module says its types, else by the values themselves.

use std::sync::Arc;

use crate::{
    candid::{
        encode,
        interface::{INIT, Interface},
    },
    mcp::failure::Failure,
};

/// An encoded argument, and what to say about how it was encoded.
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) note: Option<&'static str>,
}

/// Encodes an argument list to the types that a module declares for it.
pub(super) async fn encode(text: &str, types: Option<&str>) -> Result<Encoded, Failure> {
    let declared = match types {
        Some(types) => Interface::of_init(types.into()).await.ok().map(Arc::new),
        None => None,
    };
    let note = match (types, &declared) {
        (Some(_), None) => Some(
            "The types that the module declares for its argument cannot be read, so none were used.",
        ),
        _ => None,
    };
    let bytes = encode::arguments(text, declared.as_ref(), INIT)
        .await
        .map_err(|error| {
            Failure::new(
                "BAD_ARGS",
                format!("The argument `arg` cannot be used. {error} Nothing was installed."),
            )
        })?;
    Ok(Encoded { bytes, note })
}

#[cfg(test)]
mod tests {
    use candid::IDLArgs;

    use super::*;

    async fn encoded(text: &str, types: Option<&str>) -> String {
        let encoded = encode(text, types).await.unwrap();
        IDLArgs::from_bytes(&encoded.bytes).unwrap().to_string()
    }

    #[tokio::test]
    async fn the_modules_own_types_are_used_when_it_has_some() {
        let types = "type Init = record { owner : principal; limit : nat64 }; (Init, opt text)";
        let text = "(record { owner = principal \"aaaaa-aa\"; limit = 5 })";
        let typed = encoded(text, Some(types)).await;
        assert!(
            typed.contains("5 : nat64") && typed.contains("null"),
            "{typed}"
        );
        assert_eq!(encoded("(5)", None).await, "(5 : int)");
        assert_eq!(encoded("()", Some("()")).await, "()");
    }

    #[tokio::test]
    async fn a_wrong_argument_names_the_right_types() {
        let failure = encode("(true)", Some("(nat)")).await.err().unwrap();
        assert_eq!(failure.code, "BAD_ARGS");
        assert!(failure.message.contains("nat"), "{}", failure.message);
        let unread = encode("(5)", Some("not types")).await.unwrap();
        assert!(unread.note.is_some());
    }
}
