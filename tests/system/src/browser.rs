use reqwest::{Client, StatusCode, header};
use serde_json::Value;
use url::Url;

use crate::{
    forms::{Form, forms, link},
    http_client,
};

/// A browser without a screen: keeps cookies, follows no redirect by itself, submits forms as a person would.
#[derive(Debug, Clone)]
pub struct Browser {
    http: Client,
    cookies: Vec<Cookie>,
}

#[derive(Debug, Clone)]
struct Cookie {
    name: String,
    value: String,
    path: String,
    host: String,
}

/// What the browser shows.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its address.
    pub url: Url,
    /// HTTP status.
    pub status: StatusCode,
    /// Response headers.
    pub headers: header::HeaderMap,
    /// Response body.
    pub body: String,
}

impl Page {
    /// Where the server sends the browser next, resolved against this page.
    ///
    /// # Panics
    /// When this is no redirect.
    pub fn redirect(&self) -> Url {
        let location = self
            .headers
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok());
        match location {
            Some(location) if self.status.is_redirection() => self
                .url
                .join(location)
                .unwrap_or_else(|error| panic!("{location}: {error}")),
            _ => panic!(
                "expected a redirect from {}, got {}:\n{}",
                self.url, self.status, self.body
            ),
        }
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}: {}", self.url, self.status, self.body))
    }

    /// Where the link with this text leads.
    ///
    /// # Panics
    /// When there is no such link.
    pub fn link(&self, text: &str) -> Url {
        let href = link(&self.body, text);
        let href = href.unwrap_or_else(|| panic!("no link {text} on {}:\n{}", self.url, self.body));
        self.url.join(&href).expect("a link's address")
    }

    fn form(&self) -> Form {
        forms(&self.body)
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("no form on {} ({}):\n{}", self.url, self.status, self.body))
    }
}

impl Default for Browser {
    fn default() -> Self {
        Self::new()
    }
}

impl Browser {
    /// A browser that was never anywhere.
    pub fn new() -> Self {
        Self {
            http: http_client(),
            cookies: Vec::new(),
        }
    }

    /// Opens an address; the fragment stays in the browser.
    pub async fn get(&mut self, url: &Url) -> Page {
        let mut request = url.clone();
        request.set_fragment(None);
        let builder = self
            .http
            .get(request)
            .header(header::ACCEPT, "text/html,*/*;q=0.8");
        self.send(url, builder).await
    }

    /// Submits the page's form with its first button.
    ///
    /// # Panics
    /// When the page has no form.
    pub async fn submit(&mut self, page: &Page) -> Page {
        self.submit_form(page, &page.form(), &[]).await
    }

    /// Submits the page's form with its first button and with these fields besides those it has, as of boxes that the
    /// person ticks.
    ///
    /// # Panics
    /// When the page has no form.
    pub async fn submit_with(&mut self, page: &Page, fields: &[(&str, &str)]) -> Page {
        self.submit_form(page, &page.form(), fields).await
    }

    /// Submits the first form of the page that has a button or field of this name and value.
    ///
    /// # Panics
    /// When the page has no such form.
    pub async fn press(
        &mut self,
        page: &Page,
        which: (&str, &str),
        fields: &[(&str, &str)],
    ) -> Page {
        let form = forms(&page.body)
            .into_iter()
            .find(|form| {
                let (name, value) = which;
                let parts = form.fields.iter().chain(&form.buttons);
                parts
                    .into_iter()
                    .any(|part| part == &(name.to_owned(), value.to_owned()))
            })
            .unwrap_or_else(|| panic!("no form with {which:?} on {}:\n{}", page.url, page.body));
        self.submit_form(page, &form, fields).await
    }

    async fn submit_form(&mut self, page: &Page, form: &Form, more: &[(&str, &str)]) -> Page {
        let mut fields = form.fields.clone();
        fields.extend(
            form.buttons
                .first()
                .filter(|(name, _)| !name.is_empty())
                .cloned(),
        );
        // What the person fills in takes the place of what the form has; boxes of one name stay beside each other.
        fields.retain(|(name, _)| !more.iter().any(|(filled, _)| filled == name));
        fields.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let target = if form.action.is_empty() {
            page.url.clone()
        } else {
            page.url.join(&form.action).expect("a form's action")
        };
        let builder = self
            .http
            .post(target.clone())
            .header(header::ORIGIN, page.url.origin().ascii_serialization())
            .header(header::ACCEPT, "text/html,*/*;q=0.8")
            .form(&fields);
        self.send(&target, builder).await
    }

    /// What a page's script does with `fetch`: POST of JSON to the page's own origin.
    pub async fn post_json(&mut self, url: &Url, body: &Value) -> Page {
        let builder = self
            .http
            .post(url.clone())
            .header(header::ORIGIN, url.origin().ascii_serialization())
            .json(body);
        self.send(url, builder).await
    }

    async fn send(&mut self, url: &Url, mut builder: reqwest::RequestBuilder) -> Page {
        if let Some(cookies) = self.cookies_for(url) {
            builder = builder.header(header::COOKIE, cookies);
        }
        let answer = builder
            .send()
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            self.keep(url, cookie.to_str().expect("a cookie in ASCII"));
        }
        Page {
            url: url.clone(),
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.text().await.unwrap_or_default(),
        }
    }

    fn cookies_for(&self, url: &Url) -> Option<String> {
        let host = url.host_str().unwrap_or_default();
        let fits = |cookie: &&Cookie| {
            cookie.host == host
                && (url.path() == cookie.path
                    || url
                        .path()
                        .starts_with(&format!("{}/", cookie.path.trim_end_matches('/'))))
        };
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .filter(fits)
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// RFC 6265, section 5.3, as far as this server's cookies need it.
    fn keep(&mut self, url: &Url, text: &str) {
        let mut parts = text.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let attributes: Vec<(String, &str)> = parts
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        let attribute = |name: &str| {
            attributes
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| *value)
        };
        let path = attribute("path").unwrap_or("/").to_owned();
        let host = url.host_str().unwrap_or_default().to_owned();
        self.cookies.retain(|known| {
            (known.name.as_str(), &known.path, &known.host) != (name, &path, &host)
        });
        if attribute("max-age") != Some("0") {
            self.cookies.push(Cookie {
                name: name.to_owned(),
                value: value.to_owned(),
                path,
                host,
            });
        }
    }
}
