//! Every Candid type: a method per type that returns what it was given, after decoding it by the
//! declared type, and one reply that holds them all.

use std::collections::BTreeMap;

use candid::{IDLArgs, TypeEnv, types::Function};
use candid_parser::{parse_idl_args, utils::CandidSource};

use super::{Call, Canister, Mode, Reply, Stop};

const INTERFACE: &str = include_str!("types.did");
/// The value `everything` returns.
const EVERYTHING: &str = include_str!("everything.txt");

pub(crate) struct Types {
    modes: BTreeMap<String, Mode>,
}

/// The parsed interface. Its types are reference-counted for one thread, so every call parses.
struct Interface {
    env: TypeEnv,
    methods: BTreeMap<String, Function>,
}

impl Interface {
    fn parse() -> Self {
        let loaded = CandidSource::Text(INTERFACE).load();
        let (env, service) = loaded.expect("the interface is part of this program");
        let service = service.expect("the interface declares a service");
        let methods = env
            .as_service(&service)
            .expect("the interface declares a service")
            .iter()
            .filter_map(|(name, method)| {
                let function = env.as_func(method).ok()?;
                Some((name.clone(), function.clone()))
            })
            .collect();
        Self { env, methods }
    }
}

impl Types {
    pub(crate) fn new() -> Self {
        let mode = |function: &Function| {
            if function.is_query() {
                Mode::Query
            } else {
                Mode::Update
            }
        };
        let modes = Interface::parse()
            .methods
            .into_iter()
            .map(|(name, function)| (name, mode(&function)))
            .collect();
        Self { modes }
    }
}

impl Canister for Types {
    fn interface(&self) -> Option<String> {
        Some(INTERFACE.to_owned())
    }

    fn mode(&self, method: &str) -> Option<Mode> {
        self.modes.get(method).copied()
    }

    fn execute(&self, call: &Call<'_>) -> Reply {
        let Interface { env, methods } = Interface::parse();
        let Some(function) = methods.get(call.method) else {
            return call.unknown();
        };
        let given = IDLArgs::from_bytes_with_types(call.arg, &env, &function.args)
            .map_err(|e| Stop::Trap(format!("failed to decode call arguments: {e:#}")))?;
        let results = match call.method {
            "everything" => parse_idl_args(EVERYTHING)
                .map_err(|e| Stop::Trap(e.to_string()))?
                .annotate_types(true, &env, &function.rets)
                .map_err(|e| Stop::Trap(e.to_string()))?,
            "never" => return Err(Stop::Trap("no value has the type empty".to_owned())),
            "fire_and_forget" => IDLArgs::new(&[]),
            _ => given,
        };
        results
            .to_bytes_with_types(&env, &function.rets)
            .map_err(|e| Stop::Trap(format!("failed to encode the reply: {e:#}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls with textual arguments and returns the textual reply.
    fn run(method: &str, text: &str) -> Result<String, Stop> {
        let Interface { env, methods } = Interface::parse();
        let function = &methods[method];
        let arg = parse_idl_args(text)
            .unwrap()
            .to_bytes_with_types(&env, &function.args)
            .unwrap();
        let bytes = Types::new().execute(&Call {
            caller: candid::Principal::anonymous(),
            method,
            arg: &arg,
            now: 0,
            certify: None,
        })?;
        let value = IDLArgs::from_bytes_with_types(&bytes, &env, &function.rets).unwrap();
        Ok(value.to_string())
    }

    #[test]
    fn values_come_back_as_they_went() {
        for (method, text) in [
            ("echo_text", "(\"h\u{e9}llo\")"),
            ("echo_bool", "(true)"),
            ("echo_opt", "(opt (7 : nat))"),
            ("echo_variant", "(variant { circle = 2.5 : float64 })"),
            ("echo_vec", "(vec { -1 : int16; 2 : int16 })"),
        ] {
            assert_eq!(run(method, text).unwrap(), text, "{method}");
        }
    }

    #[test]
    fn everything_encodes() {
        let text = run("everything", "()").unwrap();
        for part in ["func", "service", "principal", "255", "-128", "inner"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn empty_cannot_be_returned() {
        assert!(matches!(run("never", "()"), Err(Stop::Trap(_))));
    }
}
