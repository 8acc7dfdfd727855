//! The authorization endpoint: our consent page, then off to Internet Identity.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::{
    Server,
    answer::{Code, Refusal, see_other},
    authorization::{self, AuthorizationRequest, Rejected},
    cookie::Cookie,
    credential::random,
    form::Form,
    has_content_type, is_foreign,
};
use crate::{
    body::Response,
    connect,
    instance::Instance,
    pages,
    scope::{Scope, Scopes},
    throttle::{Class, Source},
};

const BROWSER_COOKIE_SECONDS: u64 = 24 * 3600;

impl Server {
    /// Shows the consent page. Safe to repeat: some clients fetch the address before they open it.
    pub(super) async fn ask(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        query: &str,
        source: Option<Source>,
    ) -> Result<Response, Refusal> {
        if let Some(canonical) = elsewhere_on_loopback(instance, headers, query) {
            return see_other(&canonical);
        }
        match self.checked(instance, query, source).await {
            Ok(request) => Ok(self.page(instance, headers, query, &request, None)),
            Err(Rejected::Here(refusal)) => Err(refusal),
            Err(Rejected::There(to, refusal)) => {
                see_other(&to.with_error(refusal.code, refusal.description))
            }
        }
    }

    /// The person went on: begins a connection and sends the browser to Internet Identity.
    pub(super) async fn consented(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        body: &[u8],
        source: Option<Source>,
    ) -> Result<Response, Refusal> {
        if is_foreign(headers, instance) {
            return Err(foreign());
        }
        if !has_content_type(headers, "application/x-www-form-urlencoded") {
            return Err(bad(
                "The content type must be application/x-www-form-urlencoded.",
            ));
        }
        let form = Form::parse_lists(body).map_err(|_| bad("The form has too many fields."))?;
        let query = form
            .get("query")
            .ok_or_else(|| bad("The form is incomplete."))?;
        let browser = Cookie::browser(instance).read(headers).unwrap_or_default();
        let sent = form.get("csrf").unwrap_or_default();
        let expected = csrf(browser, instance, query);
        if browser.is_empty() || !bool::from(sent.as_bytes().ct_eq(expected.as_bytes())) {
            return Err(Refusal::new(
                Code::InvalidRequest,
                "This page was opened in another browser or too long ago. Start the connection again from your app.",
            )
            .with_status(StatusCode::FORBIDDEN));
        }
        let request = match self.checked(instance, query, source).await {
            Ok(request) => request,
            Err(Rejected::Here(refusal)) => return Err(refusal),
            Err(Rejected::There(to, refusal)) => {
                return see_other(&to.with_error(refusal.code, refusal.description));
            }
        };
        let ticked = form
            .all("scope")
            .filter_map(|name| name.parse::<Scope>().ok())
            .collect::<Scopes>()
            .intersection(request.offered);
        if ticked.is_empty() {
            let problem = Some("Tick at least one thing it may do, or deny.");
            return Ok(self.page(instance, headers, query, &request, problem));
        }
        connect::begin(self, instance, request, ticked, source).await
    }

    fn page(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        query: &str,
        request: &AuthorizationRequest,
        problem: Option<&'static str>,
    ) -> Response {
        let cookie = Cookie::browser(instance);
        let known = cookie.read(headers).filter(|value| value.len() == 43);
        let browser = known.map_or_else(|| URL_SAFE_NO_PAD.encode(random::<32>()), str::to_owned);
        let mut response = pages::consent(&pages::Consent {
            instance,
            client_name: request.client.name.as_deref(),
            described_by: self
                .documents
                .address(&request.client.id)
                .map(|address| address.host()),
            redirect_host: request.redirect.host(),
            local: request.redirect.is_local(),
            shared_identity: self.instances[0].ii_canister == self.instances[1].ii_canister,
            offered: request.offered,
            ticked: request
                .offered
                .iter()
                .filter(|scope| authorization::preselected(*scope))
                .collect(),
            query,
            csrf: csrf(&browser, instance, query),
            deny: request
                .answer_to
                .with_error(Code::AccessDenied, "The person denied the request."),
            problem,
        });
        response.headers_mut().append(
            header::SET_COOKIE,
            cookie.set(&browser, BROWSER_COOKIE_SECONDS),
        );
        response
    }

    async fn checked(
        &self,
        instance: &Instance,
        query: &str,
        source: Option<Source>,
    ) -> Result<AuthorizationRequest, Rejected> {
        let client_id = authorization::client_id(query)?;
        let client = match self.store.client(&client_id).await.map_err(Refusal::from)? {
            Some(registered) => Some(registered),
            None => match self.documents.address(&client_id) {
                Some(address) => {
                    if !self.documents.remembers(&address) {
                        self.throttle
                            .admit(Class::Document, source)
                            .map_err(Refusal::from)?;
                    }
                    Some(self.documents.client(&address, &self.allowed).await?)
                }
                None => None,
            },
        };
        authorization::check(query, client, &self.allowed, instance)
    }
}

/// Binds a consent form to the browser that loaded it and to the request it shows. Derived from the browser's own
/// cookie, so nothing has to be kept for pages that nobody answers.
fn csrf(browser: &str, instance: &Instance, query: &str) -> String {
    let mut token = [0; 32];
    let info = [
        b"icgate consent v1",
        instance.name.as_str().as_bytes(),
        &Sha256::digest(query),
    ];
    Hkdf::<Sha256>::new(None, browser.as_bytes())
        .expand_multi_info(&info, &mut token)
        .expect("32 bytes is a valid HKDF length");
    URL_SAFE_NO_PAD.encode(token)
}

/// A loopback name other than the canonical one would get cookies that the callback page does not see.
fn elsewhere_on_loopback(instance: &Instance, headers: &HeaderMap, query: &str) -> Option<String> {
    let asked = headers.get(header::HOST)?.to_str().ok()?;
    (instance.public_url.is_loopback() && asked != instance.public_url.authority())
        .then(|| format!("{}?{query}", instance.endpoint("oauth/authorize")))
}

fn foreign() -> Refusal {
    bad("This form was sent from another site.").with_status(StatusCode::FORBIDDEN)
}

const fn bad(description: &'static str) -> Refusal {
    Refusal::new(Code::InvalidRequest, description)
}
