//! Faults and counts of the world around the network.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::Value;

use super::done;
use crate::world::{Service, WorldState};

pub(super) fn routes(world: Arc<WorldState>) -> Router {
    Router::new()
        .route("/control/world/down", post(down))
        .route("/control/world/skills", post(skills))
        .route("/control/world/requests", get(requests))
        .with_state(world)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Down {
    service: Service,
    down: bool,
}

/// A service answers 503 from now on, or answers again.
async fn down(State(world): State<Arc<WorldState>>, Json(body): Json<Down>) -> Json<Value> {
    world.set_down(body.service, body.down);
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct More {
    more: usize,
}

/// The registry of skills lists so many more from now on.
async fn skills(State(world): State<Arc<WorldState>>, Json(body): Json<More>) -> Json<Value> {
    world.set_more_skills(body.more);
    done()
}

async fn requests(State(world): State<Arc<WorldState>>) -> Json<BTreeMap<String, u64>> {
    Json(world.requests())
}
