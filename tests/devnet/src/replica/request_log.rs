//! What arrived at the replica since the last reset, for tests that count requests.

use std::{collections::VecDeque, sync::Mutex};

use candid::Principal;
use ic_transport_types::EnvelopeContent;
use serde::Serialize;

/// Entries kept; the counters go on when the oldest entries are dropped.
const CAPACITY: usize = 65_536;

#[derive(Clone, Serialize)]
pub(crate) struct Entry {
    endpoint: &'static str,
    #[serde(serialize_with = "as_text")]
    canister: Option<Principal>,
    method: Option<String>,
    #[serde(serialize_with = "as_text")]
    sender: Option<Principal>,
    /// The last label of the first path that a `read_state` asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    reads: Option<String>,
}

/// Requests since the last reset, by endpoint.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    status: u64,
    query: u64,
    call: u64,
    read_state: u64,
}

#[derive(Default)]
pub(crate) struct RequestLog {
    inner: Mutex<(Counts, VecDeque<Entry>)>,
}

impl RequestLog {
    pub(crate) fn status(&self) {
        self.push(Entry {
            endpoint: "status",
            canister: None,
            method: None,
            sender: None,
            reads: None,
        });
    }

    /// `effective` is the id in the request's path.
    pub(crate) fn request(&self, effective: Principal, content: &EnvelopeContent) {
        let (endpoint, canister, method) = match content {
            EnvelopeContent::Call {
                canister_id,
                method_name,
                ..
            } => ("call", *canister_id, Some(method_name.clone())),
            EnvelopeContent::Query {
                canister_id,
                method_name,
                ..
            } => ("query", *canister_id, Some(method_name.clone())),
            EnvelopeContent::ReadState { .. } => ("read_state", effective, None),
        };
        self.push(Entry {
            endpoint,
            canister: Some(canister),
            method,
            sender: Some(*content.sender()),
            reads: reads(content),
        });
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        crate::lock(&self.inner).1.iter().cloned().collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        crate::lock(&self.inner).0
    }

    pub(crate) fn reset(&self) {
        *crate::lock(&self.inner) = Default::default();
    }

    fn push(&self, entry: Entry) {
        let mut inner = crate::lock(&self.inner);
        let (counts, entries) = &mut *inner;
        match entry.endpoint {
            "status" => counts.status += 1,
            "query" => counts.query += 1,
            "call" => counts.call += 1,
            _ => counts.read_state += 1,
        }
        if entries.len() == CAPACITY {
            entries.pop_front();
        }
        entries.push_back(entry);
    }
}

/// The last label of the first path that is asked for.
pub(crate) fn reads(content: &EnvelopeContent) -> Option<String> {
    let EnvelopeContent::ReadState { paths, .. } = content else {
        return None;
    };
    let label = paths.first()?.last()?;
    Some(String::from_utf8_lossy(label.as_bytes()).into_owned())
}

fn as_text<S: serde::Serializer>(id: &Option<Principal>, to: S) -> Result<S::Ok, S::Error> {
    id.map(|id| id.to_text()).serialize(to)
}
