//! Reading the certified state: which paths whom, and the certificate over them
//! (IC interface specification, "Request: Read state").

use std::collections::BTreeMap;

use candid::Principal;
use ic_transport_types::EnvelopeContent;
use thiserror::Error;

use super::{
    Replica,
    envelope::Checked,
    faults::Kind,
    ingress::History,
    state_tree::{Path, StateTree},
    subnet::{Host, Ranges},
};

/// What the request was addressed to.
#[derive(Clone, Copy)]
pub(crate) enum Scope {
    Canister(Principal),
    Subnet,
}

#[derive(Debug, Error)]
pub(crate) enum ReadRefused {
    /// HTTP 400.
    #[error("Invalid path requested.")]
    Path,
    /// HTTP 403.
    #[error("The user tries to access Request ID not signed by the caller.")]
    ForeignRequest,
    /// HTTP 403.
    #[error(
        "The user tries to access request IDs for canisters not belonging to sender delegation targets."
    )]
    NotATarget,
}

impl Replica {
    /// The certificate over the paths asked for.
    pub(crate) fn read_state(
        &self,
        host: Host,
        scope: Scope,
        request: &Checked,
    ) -> Result<Vec<u8>, ReadRefused> {
        let EnvelopeContent::ReadState { paths, .. } = &request.content else {
            return Err(ReadRefused::Path);
        };
        let paths: Vec<Path> = paths
            .iter()
            .map(|path| path.iter().map(|l| l.as_bytes().to_vec()).collect())
            .collect();
        let statuses = self.permitted_statuses(scope, request, &paths)?;
        let faulty = match scope {
            Scope::Canister(id) => self.faults.hits(Kind::Certificate, Some(&id)),
            Scope::Subnet => self.faults.hits(Kind::Certificate, None),
        };
        Ok(self.certify(
            host,
            statuses,
            None,
            &paths,
            Ranges::Sharded,
            faulty.is_some(),
        ))
    }

    /// Checks every path, and collects the status of the calls asked about.
    fn permitted_statuses(
        &self,
        scope: Scope,
        request: &Checked,
        paths: &[Path],
    ) -> Result<BTreeMap<Vec<u8>, StateTree>, ReadRefused> {
        let mut statuses = BTreeMap::new();
        for path in paths {
            let labels: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            match labels.as_slice() {
                [b"time"] | [b"subnet" | b"canister_ranges" | b"api_boundary_nodes", ..] => {}
                [b"request_status", id, ..] => {
                    let history = crate::lock(&self.history);
                    if let Some(status) = permitted_status(&history, id, request)? {
                        statuses.insert(id.to_vec(), status);
                    }
                }
                [b"canister", id, b"module_hash" | b"controllers"]
                | [b"canister", id, b"metadata", _] => match scope {
                    Scope::Canister(effective) if effective.as_slice() == *id => {}
                    _ => return Err(ReadRefused::Path),
                },
                _ => return Err(ReadRefused::Path),
            }
        }
        Ok(statuses)
    }
}

fn permitted_status(
    history: &History,
    id: &[u8],
    request: &Checked,
) -> Result<Option<StateTree>, ReadRefused> {
    let Some(message) = history.get(id) else {
        return Ok(None);
    };
    if message.sender != *request.content.sender() {
        return Err(ReadRefused::ForeignRequest);
    }
    match &request.targets {
        Some(targets) if !targets.contains(&message.canister) => Err(ReadRefused::NotATarget),
        _ => Ok(Some(message.status())),
    }
}
