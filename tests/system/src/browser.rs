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
    /// What a trusted proxy says about where it is; none on this machine.
    address: Option<String>,
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
            address: None,
        }
    }

    /// A browser somewhere else, as a gateway sees it that trusts proxies on this machine.
    pub fn at(address: &str) -> Self {
        Self {
            address: Some(address.to_owned()),
            ..Self::new()
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
        self.fill_in(page, &[]).await
    }

    /// The same after typing into its fields.
    ///
    /// # Panics
    /// When the page has no form or no such field.
    pub async fn fill_in(&mut self, page: &Page, typed: &[(&str, &str)]) -> Page {
        let first = page.form().buttons.into_iter().next();
        self.press(page, typed, first).await
    }

    /// Submits the page's form with the button of this value.
    ///
    /// # Panics
    /// When the page has no form or no such button.
    pub async fn choose(&mut self, page: &Page, value: &str) -> Page {
        let button = page
            .form()
            .buttons
            .into_iter()
            .find(|(_, known)| known == value);
        assert!(button.is_some(), "no button {value}:\n{}", page.body);
        self.press(page, &[], button).await
    }

    /// Submits the page's form with its first button after ticking boxes, each of them a name and a value.
    ///
    /// # Panics
    /// When the page has no form.
    pub async fn tick(&mut self, page: &Page, boxes: &[(&str, &str)]) -> Page {
        self.submit_form(page, page.form(), boxes).await
    }

    /// Submits the form of the page that has this field or button, with others filled in.
    ///
    /// # Panics
    /// When the page has no such form.
    pub async fn submit_with(
        &mut self,
        page: &Page,
        (name, value): (&str, &str),
        filled: &[(&str, &str)],
    ) -> Page {
        let wanted = (name.to_owned(), value.to_owned());
        let form = forms(&page.body)
            .into_iter()
            .find(|form| form.fields.contains(&wanted) || form.buttons.contains(&wanted));
        let form = form.unwrap_or_else(|| panic!("no form with {wanted:?}:\n{}", page.body));
        self.submit_form(page, form, filled).await
    }

    /// What is filled in takes the place of what the form has under the name.
    async fn submit_form(&mut self, page: &Page, form: Form, filled: &[(&str, &str)]) -> Page {
        let mut fields = form.fields;
        fields.retain(|(name, _)| !filled.iter().any(|(known, _)| known == name));
        let filled = filled.iter();
        fields.extend(filled.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let first = form.buttons.into_iter().next();
        fields.extend(first.filter(|(name, _)| !name.is_empty()));
        self.post(page, &form.action, &fields).await
    }

    async fn press(
        &mut self,
        page: &Page,
        typed: &[(&str, &str)],
        button: Option<(String, String)>,
    ) -> Page {
        let form = page.form();
        let mut fields = form.fields.clone();
        for (name, value) in typed {
            let field = fields.iter_mut().find(|(known, _)| known == name);
            let field = field.unwrap_or_else(|| panic!("no field {name}:\n{}", page.body));
            (*value).clone_into(&mut field.1);
        }
        fields.extend(button.filter(|(name, _)| !name.is_empty()));
        self.post(page, &form.action, &fields).await
    }

    async fn post(&mut self, page: &Page, action: &str, fields: &[(String, String)]) -> Page {
        let target = if action.is_empty() {
            page.url.clone()
        } else {
            page.url.join(action).expect("a form's action")
        };
        let builder = self
            .http
            .post(target.clone())
            .header(header::ORIGIN, page.url.origin().ascii_serialization())
            .header(header::ACCEPT, "text/html,*/*;q=0.8")
            .form(fields);
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

    /// The value of a cookie that it keeps.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let kept = self.cookies.iter().find(|cookie| cookie.name == name);
        kept.map(|cookie| cookie.value.clone())
    }

    /// Keeps a cookie that no server set, as a thief's browser does.
    pub fn keep_cookie(&mut self, url: &Url, text: &str) {
        self.keep(url, text);
    }

    async fn send(&mut self, url: &Url, mut builder: reqwest::RequestBuilder) -> Page {
        if let Some(cookies) = self.cookies_for(url) {
            builder = builder.header(header::COOKIE, cookies);
        }
        if let Some(address) = &self.address {
            builder = builder.header("x-forwarded-for", address);
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
        let secure = attribute("secure").is_some();
        let alone = attribute("path") == Some("/") && attribute("domain").is_none();
        // `Secure` and `__Host-`: RFC 6265bis, section 4.1.3.2.
        if secure && url.scheme() != "https" || name.starts_with("__Host-") && !(secure && alone) {
            return;
        }
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
