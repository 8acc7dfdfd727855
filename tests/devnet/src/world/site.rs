//! A website: what it answers at which path.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Response, StatusCode, Uri, header},
};
use candid::Principal;

use super::{
    WorldState,
    body::{Dripping, Endless},
};

/// Pages by path.
#[derive(Default)]
pub(super) struct Site {
    pages: HashMap<String, Page>,
    /// The canister that the gateway says serves it, on every answer.
    canister: Option<Principal>,
}

enum Page {
    Text(&'static str, Bytes),
    Redirect(String),
    Endless(Bytes),
    Dripping,
}

impl Site {
    pub(super) fn served_by(mut self, canister: Principal) -> Self {
        self.canister = Some(canister);
        self
    }

    pub(super) fn html(self, path: &str, text: impl Into<Bytes>) -> Self {
        self.page(path, Page::Text("text/html; charset=utf-8", text.into()))
    }

    pub(super) fn script(self, path: &str, text: impl Into<Bytes>) -> Self {
        self.page(path, Page::Text("text/javascript", text.into()))
    }

    pub(super) fn json(self, path: &str, text: impl Into<Bytes>) -> Self {
        self.page(path, Page::Text("application/json", text.into()))
    }

    pub(super) fn plain(self, path: &str, text: impl Into<Bytes>) -> Self {
        self.page(path, Page::Text("text/plain", text.into()))
    }

    pub(super) fn redirect(self, path: &str, to: impl Into<String>) -> Self {
        self.page(path, Page::Redirect(to.into()))
    }

    pub(super) fn endless(self, path: &str, text: impl Into<Bytes>) -> Self {
        self.page(path, Page::Endless(text.into()))
    }

    pub(super) fn dripping(self, path: &str) -> Self {
        self.page(path, Page::Dripping)
    }

    fn page(mut self, path: &str, page: Page) -> Self {
        self.pages.insert(path.to_owned(), page);
        self
    }

    pub(super) fn routes(self, name: &'static str, state: Arc<WorldState>) -> Router {
        let shared = Arc::new((self, name, state));
        Router::new().fallback(answer).with_state(shared)
    }

    fn answer(&self, path: &str) -> Response<Body> {
        let mut response = Response::builder();
        if let Some(canister) = self.canister {
            response = response.header("x-ic-canister-id", canister.to_text());
        }
        let answer = match self.pages.get(path) {
            None => response
                .status(StatusCode::NOT_FOUND)
                .body(Body::from("nothing here")),
            Some(Page::Text(kind, text)) => response
                .header(header::CONTENT_TYPE, *kind)
                .body(Body::from(text.clone())),
            Some(Page::Redirect(to)) => response
                .status(StatusCode::FOUND)
                .header(header::LOCATION, to)
                .body(Body::empty()),
            Some(Page::Endless(text)) => response
                .header(header::CONTENT_TYPE, "text/html")
                .body(Body::new(Endless(text.clone()))),
            Some(Page::Dripping) => response
                .header(header::CONTENT_TYPE, "text/html")
                .body(Body::new(Dripping::new())),
        };
        answer.expect("the pages of the sites are well formed")
    }
}

async fn answer(
    State(shared): State<Arc<(Site, &'static str, Arc<WorldState>)>>,
    uri: Uri,
) -> Response<Body> {
    let (site, name, state) = &*shared;
    state.count(name);
    site.answer(uri.path())
}
