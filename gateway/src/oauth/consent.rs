//! The authorization endpoint: our consent page, then off to Internet Identity.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::{
    Server,
    answer::{Code, Refusal, bad, see_other},
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
    store::records::Client,
    throttle::{Class, Source},
};

/// How long a browser is known by its cookie: a page may lie open, and an approval holds, for as long.
pub(super) const BROWSER_COOKIE_SECONDS: u64 = 30 * 24 * 3600;

impl Server {
    /// Shows the consent page, unless this browser has approved as much already. Safe to repeat: some clients fetch
    /// the address before they open it.
    pub(super) async fn ask(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        query: &str,
        source: Option<Source>,
    ) -> Result<Response, Refusal> {
        let endpoint = instance.endpoint("oauth/authorize");
        if let Some(canonical) = elsewhere_on_loopback(instance, headers, &endpoint, query) {
            return see_other(&canonical);
        }
        match self.checked(instance, query, source).await {
            Ok(request) => match self.approved(instance, headers, query, &request).await? {
                Some(scopes) => {
                    connect::begin(self, instance, request.into(), scopes, source).await
                }
                None => Ok(self.page(instance, headers, query, &request, None)),
            },
            Err(Rejected::Here(refusal)) => Err(refusal),
            Err(Rejected::There(to, refusal)) => {
                see_other(&to.with_error(refusal.code, refusal.description))
            }
        }
    }

    /// The person went on, which begins a connection and sends the browser to Internet Identity; or denied, which is
    /// told to the client.
    pub(super) async fn consented(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        body: &[u8],
        source: Option<Source>,
    ) -> Result<Response, Refusal> {
        let form = page_form(instance, headers, body)?;
        let query = form
            .get("query")
            .ok_or_else(|| bad("The form is incomplete."))?;
        check_csrf(instance, headers, query, form.get("csrf"))?;
        let request = match self.checked(instance, query, source).await {
            Ok(request) => request,
            Err(Rejected::Here(refusal)) => return Err(refusal),
            Err(Rejected::There(to, refusal)) => {
                return see_other(&to.with_error(refusal.code, refusal.description));
            }
        };
        if form.get("step") == Some("deny") {
            self.disapprove(instance, headers, &request.client.id)
                .await?;
            let answer = request
                .answer_to
                .with_error(Code::AccessDenied, "The person denied the request.");
            return Ok(pages::back_to_app("Denied", &answer));
        }
        let ticked = form
            .all("scope")
            .filter_map(|name| name.parse::<Scope>().ok())
            .collect::<Scopes>()
            .intersection(request.offered);
        if ticked.is_empty() {
            let problem = Some("Tick at least one thing it may do, or deny.");
            return Ok(self.page(instance, headers, query, &request, problem));
        }
        self.approve(instance, headers, &request, ticked).await?;
        connect::begin(self, instance, request.into(), ticked, source).await
    }

    fn page(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        query: &str,
        request: &AuthorizationRequest,
        problem: Option<&'static str>,
    ) -> Response {
        let browser = browser(instance, headers);
        let mut response = pages::consent(&pages::Consent {
            instance,
            client_name: request.client.name.as_deref(),
            described_by: self.described_by(&request.client.id),
            redirect_host: request.redirect.host(),
            local: request.redirect.is_local(),
            shared_identity: self.shared_identity(),
            offered: request.offered,
            ticked: request
                .offered
                .iter()
                .filter(|scope| authorization::preselected(*scope))
                .collect(),
            query,
            csrf: csrf(&browser, instance, query),
            problem,
        });
        response.headers_mut().append(
            header::SET_COOKIE,
            Cookie::browser(instance).set(&browser, BROWSER_COOKIE_SECONDS),
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
        let client = self.known_client(&client_id, source).await?;
        authorization::check(query, client, &self.allowed, instance)
    }

    /// A client that registered or describes itself.
    pub(super) async fn known_client(
        &self,
        client_id: &str,
        source: Option<Source>,
    ) -> Result<Option<Client>, Refusal> {
        match self.store.client(client_id).await? {
            Some(registered) => Ok(Some(registered)),
            None => match self.documents.address(client_id) {
                Some(address) => {
                    if !self.documents.remembers(&address) {
                        self.throttle
                            .admit(Class::Document, source)
                            .map_err(Refusal::from)?;
                    }
                    Ok(Some(self.documents.client(&address, &self.allowed).await?))
                }
                None => Ok(None),
            },
        }
    }

    /// Host of the client's metadata document, if it has one.
    pub(super) fn described_by(&self, client_id: &str) -> Option<String> {
        self.documents
            .address(client_id)
            .map(|address| address.host())
    }

    /// Whether both instances point at the same Internet Identity.
    pub(crate) fn shared_identity(&self) -> bool {
        self.instances[0].ii_canister == self.instances[1].ii_canister
    }
}

/// What the browser is known by to forms: the value of its cookie, or a new one.
pub(super) fn browser(instance: &Instance, headers: &HeaderMap) -> String {
    Cookie::browser(instance)
        .read(headers)
        .filter(|value| value.len() == 43)
        .map_or_else(|| URL_SAFE_NO_PAD.encode(random::<32>()), str::to_owned)
}

/// What a page of this server sent.
pub(super) fn page_form<'a>(
    instance: &Instance,
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<Form<'a>, Refusal> {
    if is_foreign(headers, instance) {
        return Err(foreign());
    }
    if !has_content_type(headers, "application/x-www-form-urlencoded") {
        return Err(bad(
            "The content type must be application/x-www-form-urlencoded.",
        ));
    }
    Form::parse_lists(body).map_err(|_| bad("The form has too many fields."))
}

/// Refuses a form that was not made for this browser and subject.
pub(super) fn check_csrf(
    instance: &Instance,
    headers: &HeaderMap,
    subject: &str,
    sent: Option<&str>,
) -> Result<(), Refusal> {
    let browser = Cookie::browser(instance).read(headers).unwrap_or_default();
    let expected = csrf(browser, instance, subject);
    let sent = sent.unwrap_or_default();
    if browser.is_empty() || !bool::from(sent.as_bytes().ct_eq(expected.as_bytes())) {
        return Err(Refusal::new(
            Code::InvalidRequest,
            "This page was opened in another browser or too long ago. Start the connection again from your app.",
        )
        .with_status(StatusCode::FORBIDDEN));
    }
    Ok(())
}

/// Binds a form to the browser that loaded it and to what it shows. Derived from the browser's own
/// cookie, so nothing has to be kept for pages that nobody answers.
pub(super) fn csrf(browser: &str, instance: &Instance, subject: &str) -> String {
    let mut token = [0; 32];
    let info = [
        b"icgate consent v1",
        instance.name.as_str().as_bytes(),
        &Sha256::digest(subject),
    ];
    Hkdf::<Sha256>::new(None, browser.as_bytes())
        .expand_multi_info(&info, &mut token)
        .expect("32 bytes is a valid HKDF length");
    URL_SAFE_NO_PAD.encode(token)
}

/// A loopback name other than the canonical one would get cookies that the callback page does not see.
pub(super) fn elsewhere_on_loopback(
    instance: &Instance,
    headers: &HeaderMap,
    endpoint: &str,
    query: &str,
) -> Option<String> {
    let asked = headers.get(header::HOST)?.to_str().ok()?;
    (instance.public_url.is_loopback() && asked != instance.public_url.authority())
        .then(|| format!("{endpoint}?{query}"))
}

pub(super) fn foreign() -> Refusal {
    bad("This form was sent from another site.").with_status(StatusCode::FORBIDDEN)
}
