//! An authorization request (RFC 6749 section 4.1.1 with PKCE, RFC 8707 and RFC 9207), checked.

use http::StatusCode;
use url::form_urlencoded::Serializer;

use super::{
    answer::{Code, Refusal, bad},
    form::Form,
    metadata, pkce,
    redirect::{AllowList, Redirect, RedirectError},
};
use crate::{
    instance::Instance,
    scope::{Scope, Scopes},
    store::records::Client,
};

/// Longest query of an authorization request, in bytes.
pub(crate) const MAX_QUERY: usize = 8 * 1024;

/// A request that may be put before the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client: Client,
    pub(crate) redirect: Redirect,
    pub(crate) answer_to: ReturnAddress,
    pub(crate) code_challenge: String,
    /// What the person may tick.
    pub(crate) offered: Scopes,
}

/// Where the answer goes once the redirect URI was found to be the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnAddress {
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) issuer: String,
}

/// Why a request cannot be put before the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// Told to whoever asks, since the redirect URI cannot be trusted.
    Here(Refusal),
    /// Told to the client by redirect.
    There(ReturnAddress, Refusal),
}

impl From<Refusal> for Rejected {
    fn from(refusal: Refusal) -> Self {
        Rejected::Here(refusal)
    }
}

impl ReturnAddress {
    /// The redirect of a successful answer.
    pub(crate) fn with_code(&self, code: &str) -> String {
        self.with(&[("code", code)])
    }

    /// The redirect of an error answer (section 4.1.2.1).
    pub(crate) fn with_error(&self, code: Code, description: &str) -> String {
        self.with(&[("error", code.as_str()), ("error_description", description)])
    }

    fn with(&self, parameters: &[(&str, &str)]) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(parameters);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &self.issuer);
        let joint = if self.redirect_uri.contains('?') {
            '&'
        } else {
            '?'
        };
        format!("{}{joint}{}", self.redirect_uri, query.finish())
    }
}

/// The `client_id` of a query, so that the client can be looked up before the rest is checked.
pub(crate) fn client_id(query: &str) -> Result<String, Refusal> {
    if query.len() > MAX_QUERY {
        return Err(bad("The request is too long.").with_status(StatusCode::URI_TOO_LONG));
    }
    let form = parse(query)?;
    form.get("client_id")
        .map(str::to_owned)
        .ok_or_else(|| bad("The link lacks client_id. Start the connection again from your app."))
}

/// Checks a request whose client was looked up. Nothing is ever sent to a redirect URI before it was found to be
/// this client's and still on the allow-list.
pub(crate) fn check(
    query: &str,
    client: Option<Client>,
    allowed: &AllowList,
    instance: &Instance,
) -> Result<AuthorizationRequest, Rejected> {
    let form = parse(query)?;
    let client = client.ok_or_else(|| {
        Refusal::new(
            Code::InvalidClient,
            "This server does not know the app that sent you here. Remove the connection in your app and connect \
             again, so that it registers anew.",
        )
        .with_status(StatusCode::BAD_REQUEST)
    })?;
    let (redirect_uri, redirect) = redirect(&form, &client, allowed)?;
    let answer_to = ReturnAddress {
        redirect_uri,
        state: form.get("state").map(str::to_owned),
        issuer: instance.issuer(),
    };
    match rest(&form, instance) {
        Ok((code_challenge, offered)) => Ok(AuthorizationRequest {
            client,
            redirect,
            answer_to,
            code_challenge,
            offered,
        }),
        Err(refusal) => Err(Rejected::There(answer_to, refusal)),
    }
}

/// Read and write are ticked beforehand; manage only by the person's hand.
pub(crate) fn preselected(scope: Scope) -> bool {
    scope != Scope::Manage
}

fn parse(query: &str) -> Result<Form<'_>, Refusal> {
    Form::parse(query.as_bytes())
        .map_err(|_| bad("The link holds a parameter twice or too many of them."))
}

fn redirect(
    form: &Form<'_>,
    client: &Client,
    allowed: &AllowList,
) -> Result<(String, Redirect), Refusal> {
    let text = match (form.get("redirect_uri"), client.redirect_uris.as_slice()) {
        (Some(text), _) => text,
        (None, [only]) => only,
        (None, _) => return Err(bad("The link lacks redirect_uri.")),
    };
    let redirect = allowed.check(text).map_err(|error| match error {
        RedirectError::Malformed => bad("The link's redirect_uri is malformed."),
        RedirectError::NotAllowed => Refusal::new(
            Code::InvalidClient,
            "The link's redirect_uri is not an address this server sends answers to.",
        )
        .with_status(StatusCode::FORBIDDEN),
    })?;
    if client
        .redirect_uris
        .iter()
        .any(|registered| redirect.matches(registered))
    {
        Ok((text.to_owned(), redirect))
    } else {
        Err(Refusal::new(
            Code::InvalidClient,
            "The link's redirect_uri is not one the app registered.",
        )
        .with_status(StatusCode::BAD_REQUEST))
    }
}

fn rest(form: &Form<'_>, instance: &Instance) -> Result<(String, Scopes), Refusal> {
    match form.get("response_type") {
        Some("code") => {}
        Some(_) => {
            return Err(Refusal::new(
                Code::UnsupportedResponseType,
                "Only response_type=code is offered.",
            ));
        }
        None => return Err(bad("response_type is missing.")),
    }
    if form
        .get("response_mode")
        .is_some_and(|mode| mode != "query")
    {
        return Err(bad("Only response_mode=query is offered."));
    }
    let challenge = form
        .get("code_challenge")
        .ok_or_else(|| bad("code_challenge is missing: PKCE is required."))?;
    // Without a method RFC 7636 means `plain`, which protects nothing.
    if form.get("code_challenge_method") != Some("S256") {
        return Err(bad("code_challenge_method must be S256."));
    }
    if !pkce::is_challenge(challenge) {
        return Err(bad("code_challenge is not an S256 challenge."));
    }
    metadata::check_resource(instance, form.get("resource"))?;
    let offered = metadata::check_scope(instance, form.get("scope"))?;
    Ok((challenge.to_owned(), offered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oauth::tests::instances, store::Moment};

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn client() -> Client {
        Client {
            id: "c".to_owned(),
            name: None,
            redirect_uris: vec!["http://127.0.0.1:1/cb".to_owned()],
            may_refresh: true,
            may_use_device: false,
            created_at: Moment::from_seconds(0),
        }
    }

    fn decide(query: &str) -> Result<AuthorizationRequest, Rejected> {
        let [beta, _] = instances("https://gate.example");
        check(query, Some(client()), &AllowList::new(Vec::new()), &beta)
    }

    fn good() -> String {
        format!(
            "response_type=code&client_id=c&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcb&state=s%26t\
             &code_challenge={CHALLENGE}&code_challenge_method=S256"
        )
    }

    #[test]
    fn a_good_request_offers_what_it_asks_for_of_ours() {
        let request = decide(&good()).unwrap();
        assert_eq!(request.offered, Scope::ALL.into_iter().collect());
        assert_eq!(
            request.answer_to.with_code("k"),
            "http://127.0.0.1:9/cb?code=k&state=s%26t&iss=https%3A%2F%2Fgate.example"
        );
        let request = decide(&format!("{}&scope=ic:read+offline_access", good())).unwrap();
        assert_eq!(request.offered, Scopes::from_iter([Scope::Read]));
        let request = decide(&format!("{}&resource=https://gate.example/", good()));
        assert!(request.is_ok());
    }

    #[test]
    fn nothing_is_offered_that_no_tool_of_this_server_needs() {
        let [mut beta, _] = instances("https://gate.example");
        beta.scopes = Scopes::from_iter([Scope::Read]);
        let decide = |query: &str| check(query, Some(client()), &AllowList::new(Vec::new()), &beta);
        for scope in ["", "&scope=ic:read+ic:write+ic:manage"] {
            let request = decide(&format!("{}{scope}", good())).unwrap();
            assert_eq!(request.offered, beta.scopes, "{scope}");
        }
        let refused = decide(&format!("{}&scope=ic:write", good()));
        assert!(matches!(refused, Err(Rejected::There(_, r)) if r.code == Code::InvalidScope));
    }

    #[test]
    fn without_a_redirect_uri_the_only_registered_one_is_meant() {
        let query = good().replace("redirect_uri", "other");
        assert_eq!(
            decide(&query).unwrap().answer_to.redirect_uri,
            "http://127.0.0.1:1/cb"
        );
    }

    #[test]
    fn nothing_is_redirected_before_the_redirect_uri_is_the_clients() {
        let [beta, _] = instances("https://gate.example");
        let allowed = AllowList::new(Vec::new());
        let unknown = check(&good(), None, &allowed, &beta);
        assert!(matches!(unknown, Err(Rejected::Here(r)) if r.code == Code::InvalidClient));
        for uri in [
            "https%3A%2F%2Fevil.example%2F",
            "javascript%3Aalert(1)",
            "http%3A%2F%2F127.0.0.1%2Fother",
            "https%3A%2F%2Fclaude.ai%2Fapi%2Fmcp%2Fauth_callback",
        ] {
            let query = good().replace("http%3A%2F%2F127.0.0.1%3A9%2Fcb", uri);
            // Even when other parameters are wrong too.
            let query = query.replace("S256", "plain");
            assert!(matches!(decide(&query), Err(Rejected::Here(_))), "{uri}");
        }
        assert!(matches!(
            decide(&format!("{}&state=again", good())),
            Err(Rejected::Here(_))
        ));
    }

    #[test]
    fn later_mistakes_go_to_the_client_with_state_and_issuer() {
        for (from, to, code) in [
            (
                "response_type=code",
                "response_type=token",
                Code::UnsupportedResponseType,
            ),
            ("response_type=code", "x=y", Code::InvalidRequest),
            (
                "code_challenge_method=S256",
                "code_challenge_method=plain",
                Code::InvalidRequest,
            ),
            ("code_challenge_method=S256", "x=y", Code::InvalidRequest),
            (CHALLENGE, "short", Code::InvalidRequest),
            ("state=", "scope=openid&state=", Code::InvalidScope),
            (
                "state=",
                "resource=https://other.example&state=",
                Code::InvalidTarget,
            ),
            (
                "state=",
                "response_mode=fragment&state=",
                Code::InvalidRequest,
            ),
        ] {
            let Err(Rejected::There(to_client, refusal)) = decide(&good().replace(from, to)) else {
                panic!("{to}");
            };
            assert_eq!(refusal.code, code, "{to}");
            let location = to_client.with_error(refusal.code, refusal.description);
            assert!(
                location.contains("state=s%26t&iss=https%3A%2F%2Fgate.example"),
                "{location}"
            );
        }
    }
}
