use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::{
    AuthServer, Browser, Consent, Devnet, Page, Tokens,
    oauth::{VERIFIER, tokens},
};

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A client without a browser or a redirect URI (RFC 8628).
#[derive(Debug, Clone)]
pub struct Device {
    /// The server it is registered at.
    pub server: AuthServer,
    /// RFC 7591 client identifier.
    pub client_id: String,
}

/// What a device is given.
#[derive(Debug, Clone, Deserialize)]
pub struct DeviceCodes {
    /// For the device.
    pub device_code: String,
    /// For the person.
    pub user_code: String,
    /// Where the person goes.
    pub verification_uri: Url,
    /// The same with the code filled in.
    pub verification_uri_complete: Url,
    /// Seconds.
    pub expires_in: u64,
    /// Seconds.
    pub interval: u64,
}

impl Device {
    /// Registers a client that uses the device grant only.
    pub async fn register(server: AuthServer) -> Self {
        let (status, body) = Self::registration(&server).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let client_id = body["client_id"].as_str().expect("a client_id").to_owned();
        Self { server, client_id }
    }

    /// The registration, whatever the answer is.
    pub async fn registration(server: &AuthServer) -> (StatusCode, Value) {
        let metadata = json!({
            "client_name": "television",
            "grant_types": [GRANT_TYPE, "refresh_token"],
        });
        let answer = server
            .http
            .post(server.endpoint("register"))
            .json(&metadata);
        let answer = answer.send().await.expect("registration");
        let status = answer.status();
        let body = answer.json().await.expect("registration answers JSON");
        (status, body)
    }

    /// Asks for codes, with these parameters besides its own.
    pub async fn codes(&self, parameters: &[(&str, &str)]) -> DeviceCodes {
        let mut form = vec![("client_id", self.client_id.as_str())];
        form.extend(parameters);
        let (status, body) = self.server.post("device_authorization", &form).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_value(body).expect("the members of RFC 8628")
    }

    /// Polls once, whatever the answer is.
    pub async fn poll(&self, codes: &DeviceCodes) -> (StatusCode, Value) {
        self.poll_with(codes, &[]).await
    }

    /// Polls once with the verifier of a challenge that the codes were asked for with.
    pub async fn poll_verified(&self, codes: &DeviceCodes) -> (StatusCode, Value) {
        self.poll_with(codes, &[("code_verifier", VERIFIER)]).await
    }

    async fn poll_with(
        &self,
        codes: &DeviceCodes,
        parameters: &[(&str, &str)],
    ) -> (StatusCode, Value) {
        let mut form = vec![
            ("grant_type", GRANT_TYPE),
            ("client_id", self.client_id.as_str()),
            ("device_code", codes.device_code.as_str()),
        ];
        form.extend(parameters);
        self.server.post("token", &form).await
    }

    /// Polls once, to tokens.
    pub async fn fetch(&self, codes: &DeviceCodes) -> Tokens {
        tokens(self.poll(codes).await)
    }

    /// The person opens the device page, types the code and gets to what it stands for.
    pub async fn enter(&self, browser: &mut Browser, codes: &DeviceCodes, typed: &str) -> Page {
        let page = browser.get(&codes.verification_uri).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        browser.fill_in(&page, &[("user_code", typed)]).await
    }

    /// The person confirms the code: gives the link to Internet Identity.
    pub async fn confirm(&self, browser: &mut Browser, codes: &DeviceCodes) -> Url {
        let page = self.enter(browser, codes, &codes.user_code).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        browser.choose(&page, "allow").await.redirect()
    }

    /// The whole way through the browser: gives the page it ends on.
    pub async fn signed_in(
        &self,
        browser: &mut Browser,
        devnet: &Devnet,
        codes: &DeviceCodes,
        consent: &Consent,
    ) -> Page {
        let link = self.confirm(browser, codes).await;
        let ii = self.server.instance().ii();
        let callback = devnet.consent(ii, link.as_str(), consent).await;
        let redeemed = self.server.callback(browser, &callback).await;
        assert_eq!(redeemed.status, StatusCode::OK, "{}", redeemed.body);
        let next = redeemed.json();
        let next = next["redirect"].as_str().expect("the next page");
        browser.get(&next.parse().expect("a URL")).await
    }
}
