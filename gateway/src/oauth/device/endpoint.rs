use std::net::IpAddr;

use http::{Method, StatusCode};

use crate::{
    body::Response,
    edge::Peer,
    instance::Instance,
    oauth::{
        Server,
        answer::{Code, Refusal, method_not_allowed},
        routes::Route,
        server::form_request,
    },
    pages,
    throttle::Source,
};

impl Server {
    /// Answers a request to one of the device grant's addresses.
    pub(in crate::oauth) async fn device(
        &self,
        route: Route,
        instance: &Instance,
        parts: &http::request::Parts,
        body: &[u8],
        source: Option<Source>,
    ) -> Response {
        let headers = &parts.headers;
        if !self.device_grant {
            return Refusal::new(
                Code::InvalidRequest,
                "This server does not offer sign-in for devices.",
            )
            .with_status(StatusCode::NOT_FOUND)
            .into_negotiated(headers);
        }
        let get = matches!(parts.method, Method::GET | Method::HEAD);
        let post = parts.method == Method::POST;
        let address: Option<IpAddr> = parts.extensions.get().map(|peer: &Peer| peer.address);
        match route {
            Route::DeviceAuthorization(_) if post => {
                let address = address.map_or_else(|| "unknown".to_owned(), |at| at.to_string());
                let answer = match form_request(headers) {
                    Ok(()) => {
                        self.authorize_device(instance, &address, body, source)
                            .await
                    }
                    Err(refusal) => Err(refusal),
                };
                answer.unwrap_or_else(Refusal::into_json)
            }
            Route::DeviceAuthorization(_) => method_not_allowed("POST", headers),
            Route::Device(_) if get => self
                .device_page(instance, headers, parts.uri.query().unwrap_or_default())
                .unwrap_or_else(|refusal| refusal.into_negotiated(headers)),
            Route::Device(_) if post => self
                .device_answered(instance, headers, address, body, source)
                .await
                .unwrap_or_else(|refusal| refusal.into_negotiated(headers)),
            Route::Device(_) => method_not_allowed("GET, HEAD, POST", headers),
            _ if get => pages::device_notice(
                "Your device is connected",
                "Go back to your device: it goes on by itself within a few seconds. You can close this page.",
            ),
            _ => method_not_allowed("GET, HEAD", headers),
        }
    }
}
