//! An ordinary app: a counter, and who is asking.

use std::sync::Mutex;

use candid::{CandidType, Nat};
use serde::Deserialize;

use super::{Call, Canister, Mode, Reply, exported, reply};

const METHODS: &[(&str, Mode)] = &[
    ("greet", Mode::Query),
    ("whoami", Mode::Query),
    ("whoami_update", Mode::Update),
    ("count", Mode::Query),
    ("increment", Mode::Update),
    ("add", Mode::Update),
];

#[derive(Default)]
pub(crate) struct App {
    count: Mutex<u128>,
}

#[derive(CandidType, Deserialize)]
struct Add {
    by: u64,
    note: Option<String>,
}

#[derive(CandidType, Deserialize)]
enum Added {
    #[serde(rename = "ok")]
    Ok(Nat),
    #[serde(rename = "err")]
    Err(String),
}

impl App {
    fn add(&self, by: u64) -> Nat {
        let mut count = crate::lock(&self.count);
        *count += u128::from(by);
        Nat::from(*count)
    }
}

impl Canister for App {
    fn interface(&self) -> Option<String> {
        Some(include_str!("app.did").to_owned())
    }

    fn mode(&self, method: &str) -> Option<Mode> {
        exported(METHODS, method)
    }

    fn execute(&self, call: &Call<'_>) -> Reply {
        match call.method {
            "greet" => {
                let (name,): (String,) = call.args()?;
                reply((format!("Hello, {name}!"),))
            }
            "whoami" | "whoami_update" => reply((call.caller,)),
            "count" => reply((Nat::from(*crate::lock(&self.count)),)),
            "increment" => reply((self.add(1),)),
            "add" => {
                let (Add { by, note },): (Add,) = call.args()?;
                reply((match note {
                    _ if by == 0 => Added::Err("nothing to add".to_owned()),
                    Some(note) if note.is_empty() => Added::Err("the note is empty".to_owned()),
                    _ => Added::Ok(self.add(by)),
                },))
            }
            _ => call.unknown(),
        }
    }
}
