//! The connections page: what the user's apps, browsers and API keys are, and how to end them.

use http::{HeaderMap, Method, header};
use subtle::ConstantTimeEq;

use super::{BROWSER, BROWSER_NAME, Session, connections_page, key::NewKey};
use crate::{
    body::Response,
    connect,
    connection::ConnectionId,
    instance::Instance,
    oauth::{
        Server,
        answer::{Refusal, bad, method_not_allowed, see_other},
        consent::{elsewhere_on_loopback, foreign, page_form},
        cookie::Cookie,
    },
    pages,
    store::{
        Digest, Moment,
        records::{Change, EndReason, Ending},
    },
    throttle::Source,
};

impl Server {
    /// Answers a request to the connections page.
    pub(in crate::oauth) async fn connections(
        &self,
        instance: &Instance,
        parts: &http::request::Parts,
        body: &[u8],
        source: Option<Source>,
    ) -> Response {
        let headers = &parts.headers;
        let answer = match parts.method {
            Method::GET | Method::HEAD => self.show_connections(instance, headers).await,
            Method::POST => {
                self.change_connections(instance, headers, body, source)
                    .await
            }
            _ => return method_not_allowed("GET, HEAD, POST", headers),
        };
        answer.unwrap_or_else(|refusal| refusal.into_negotiated(headers))
    }

    async fn show_connections(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let here = connections_page(instance);
        if elsewhere_on_loopback(instance, headers, &here, "").is_some() {
            return see_other(&here);
        }
        match self.session(instance, headers).await? {
            Some(session) => self.list(instance, &session, None).await,
            None => Ok(pages::browser_sign_in(instance, &here)),
        }
    }

    async fn list(
        &self,
        instance: &Instance,
        session: &Session,
        problem: Option<&'static str>,
    ) -> Result<Response, Refusal> {
        let user = &session.connection.user_id;
        let now = Moment::now();
        let listed = self
            .store
            .connections_of_user(instance.name, user, now)
            .await?;
        Ok(pages::connections(&pages::Connections {
            instance,
            action: connections_page(instance),
            csrf: csrf(session),
            own: &session.connection,
            listed: &listed,
            now,
            problem,
        }))
    }

    async fn change_connections(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        body: &[u8],
        source: Option<Source>,
    ) -> Result<Response, Refusal> {
        let form = page_form(instance, headers, body)?;
        let step = form.get("step").unwrap_or_default();
        if step == "sign_in" {
            return self.connect_browser(instance, source).await;
        }
        let Some(session) = self.session(instance, headers).await? else {
            // Over meanwhile: the page says how to sign in.
            return see_other(&connections_page(instance));
        };
        let sent = form.get("csrf").unwrap_or_default();
        if !bool::from(sent.as_bytes().ct_eq(csrf(&session).as_bytes())) {
            return Err(foreign());
        }
        match step {
            "end" => {
                let id = ConnectionId::new(form.get("connection").unwrap_or_default());
                self.end_of_user(instance, headers, &session, id).await
            }
            "sign_out" => {
                let id = session.connection.id.clone();
                self.end_of_user(instance, headers, &session, id).await
            }
            "make_key" => match NewKey::read(&form, &session) {
                Ok(key) => self.make_key(instance, &session, key).await,
                Err(problem) => self.list(instance, &session, Some(problem)).await,
            },
            _ => Err(bad("The form is incomplete.")),
        }
    }

    /// The browser becomes a client itself: it leaves for Internet Identity and comes back with a session.
    async fn connect_browser(
        &self,
        instance: &Instance,
        source: Option<Source>,
    ) -> Result<Response, Refusal> {
        let departure = connect::Departure {
            client_id: BROWSER.to_owned(),
            client_name: Some(BROWSER_NAME.to_owned()),
            may_refresh: false,
            ending: Ending::Browser,
            no_later_than: None,
        };
        connect::begin(self, instance, departure, instance.scopes, source).await
    }

    /// Ends one of the user's connections, and what was approved for its client; with the browser's own session, what
    /// was approved at this browser. One that is not theirs or is over already changes nothing.
    async fn end_of_user(
        &self,
        instance: &Instance,
        headers: &HeaderMap,
        session: &Session,
        id: ConnectionId,
    ) -> Result<Response, Refusal> {
        let mut transaction = self.store.begin().await?;
        let theirs = transaction
            .connection(instance.name, &id)
            .await?
            .is_some_and(|other| other.user_id == session.connection.user_id);
        if theirs {
            let end = Change::EndConnection {
                connection: id.clone(),
                reason: EndReason::Revoked,
            };
            transaction.apply(&[end], Moment::now()).await?;
            transaction.forget_approvals_of(&id).await?;
            if id == session.connection.id
                && let Some(browser) = Cookie::browser(instance).read(headers)
            {
                let browser = Digest::of(browser);
                transaction
                    .forget_approvals_at(&browser, instance.name)
                    .await?;
            }
            self.commit(transaction).await?;
        }
        let mut response = see_other(&connections_page(instance))?;
        if id == session.connection.id {
            let clear = Cookie::session(instance).set("", 0);
            response.headers_mut().append(header::SET_COOKIE, clear);
        }
        Ok(response)
    }
}

/// Binds a form to the session it was made for.
fn csrf(session: &Session) -> String {
    session.credential.form_token("connections")
}
