use reqwest::StatusCode;
use url::Url;

use crate::{Browser, Client, Consent, Devnet, Instance, Page, Stack};

/// A person's browser and what they do with it besides connecting an app.
#[derive(Debug, Clone)]
pub struct Person {
    /// Their browser.
    pub browser: Browser,
    /// Where they have their connections.
    pub page: Url,
    instance: Instance,
}

impl Person {
    /// Somebody whose browser was never here.
    pub fn new(stack: &Stack, instance: Instance) -> Self {
        let page = format!("{}{}/connections", stack.gateway.url(), instance.prefix());
        Self {
            browser: Browser::new(),
            page: page.parse().expect("an http URL"),
            instance,
        }
    }

    /// The connections page, or what a browser without a session sees in its place.
    pub async fn connections(&mut self) -> Page {
        let page = self.page.clone();
        let page = self.browser.get(&page).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        page
    }

    /// Connects the browser itself. When the person has other connections, those with these names go on.
    pub async fn connect(&mut self, stack: &Stack, consent: &Consent, go_on: &[&str]) {
        let page = self.connections().await;
        let link = self.browser.submit(&page).await.redirect();
        let client = Client::at(stack.auth_server(self.instance));
        let page = self.consent(&client, &stack.devnet, &link, consent).await;
        if let Some(question) = client.question(&mut self.browser, &page).await {
            self.answer(&question, go_on).await;
        }
    }

    async fn consent(
        &mut self,
        client: &Client,
        devnet: &Devnet,
        link: &Url,
        consent: &Consent,
    ) -> Page {
        let callback = devnet
            .consent(self.instance.ii(), link.as_str(), consent)
            .await;
        client.callback(&mut self.browser, &callback).await
    }

    /// Ticks the connections of these names and goes on.
    pub async fn answer(&mut self, question: &Page, go_on: &[&str]) -> Page {
        let ids: Vec<String> = go_on
            .iter()
            .map(|name| box_of(&question.body, name))
            .collect();
        let boxes: Vec<(&str, &str)> = ids.iter().map(|id| ("go_on", id.as_str())).collect();
        self.browser.tick(question, &boxes).await
    }

    /// Connects an app; gives the code. When the person has other connections, those with these names go on.
    pub async fn connect_app(
        &mut self,
        stack: &Stack,
        client: &Client,
        consent: &Consent,
        go_on: &[&str],
    ) -> String {
        let page = client
            .redeemed(&mut self.browser, &stack.devnet, consent)
            .await;
        let question = client.question(&mut self.browser, &page).await;
        let question = question.expect("the person has other connections");
        let landed = self.answer(&question, go_on).await;
        client.returned(&landed.link("Back to the app"))["code"].clone()
    }

    /// Makes an API key on the connections page; gives the key.
    pub async fn make_key(&mut self, name: &str, scopes: &[&str], days: &str) -> String {
        let page = self.connections().await;
        let mut filled = vec![("name", name), ("days", days)];
        filled.extend(scopes.iter().map(|scope| ("scope", *scope)));
        let page = self
            .browser
            .submit_with(&page, ("step", "make_key"), &filled)
            .await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let (_, rest) = page.body.split_once("id=\"key\">").expect("a key");
        rest.split('<').next().unwrap_or_default().to_owned()
    }

    /// Ends the connection of this id on the connections page.
    pub async fn end(&mut self, id: &str) {
        let page = self.connections().await;
        let answer = self
            .browser
            .submit_with(&page, ("connection", id), &[])
            .await;
        assert_eq!(answer.redirect(), self.page);
    }
}

/// The id in the row or box of this name.
pub fn box_of(html: &str, name: &str) -> String {
    let at = html
        .find(&format!("<span class=\"name\">{name}"))
        .unwrap_or_else(|| panic!("no {name}:\n{html}"));
    let (_, value) = html[..at].rsplit_once("value=\"").expect("a box");
    value.split('"').next().unwrap_or_default().to_owned()
}
