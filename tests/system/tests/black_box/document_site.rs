//! An https site with one client metadata document.

use serde_json::json;

use crate::https_site::{Document, HttpsSite};

const PATH: &str = "/oauth/client.json";

/// The site; its document's address is a `client_id`.
pub(crate) struct DocumentSite {
    site: HttpsSite,
    url: String,
}

impl DocumentSite {
    /// Serves a document with these redirect URIs.
    pub(crate) async fn start(redirect_uris: &[&str]) -> Self {
        let site = HttpsSite::start().await;
        let url = format!("{}{PATH}", site.origin());
        let document = json!({
            "client_id": url,
            "client_name": "A client with a document",
            "redirect_uris": redirect_uris,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        });
        site.serve(Document {
            path: PATH,
            content_type: "application/json",
            headers: String::new(),
            body: document.to_string(),
        });
        Self { site, url }
    }

    /// The document's address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The PEM file of the root that the site's certificate chains to.
    pub(crate) fn ca(&self) -> &str {
        self.site.ca()
    }
}
