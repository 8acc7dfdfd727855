use http::{HeaderValue, StatusCode, header};
use icgate_proto::{Reason, SignerError};
use serde_json::json;

use crate::{
    body::Response,
    oauth::{Refusal, no_store_json},
    pages,
    store::StoreError,
    throttle::TooMany,
};

/// Tells the callback page, which tries again when the person says so.
pub(crate) fn too_often(too_many: TooMany) -> Response {
    let seconds = too_many.seconds();
    Failure {
        status: StatusCode::TOO_MANY_REQUESTS,
        text: format!(
            "Too many requests have come from your network address. Try again in {seconds} seconds."
        ),
        retry: Some(seconds),
        wait: false,
    }
    .into_response()
}

/// What the person reads on the callback page when it does not work.
pub(super) struct Failure {
    status: StatusCode,
    text: String,
    /// In how many seconds the same request may work.
    retry: Option<u64>,
    /// Whether it is expected to, so that the page repeats it by itself.
    wait: bool,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            text: text.into(),
            retry: None,
            wait: false,
        }
    }

    pub(super) fn later(text: impl Into<String>) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            retry: Some(5),
            ..Self::new(text)
        }
    }

    /// Internet Identity does not know the session key yet.
    pub(super) fn not_yet() -> Self {
        Self {
            wait: true,
            ..Self::later(
                "Internet Identity does not confirm the connection. If you allowed it there, try again in a few \
                 seconds; otherwise start the connection again from your app.",
            )
        }
    }

    pub(super) fn foreign() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            ..Self::new("This request was sent from another site.")
        }
    }

    pub(super) fn too_late() -> Self {
        Self::new(
            "This sign-in is unknown, too old or was pushed aside by others. Start the connection again from your app.",
        )
    }

    pub(super) fn into_page(self) -> Response {
        pages::error(self.status, &self.text)
    }

    pub(super) fn into_response(self) -> Response {
        let mut answer = json!({ "error": self.text });
        if self.retry.is_some() {
            answer["retry"] = true.into();
        }
        if self.wait {
            answer["wait"] = true.into();
        }
        let mut response = no_store_json(self.status, &answer);
        if let Some(seconds) = self.retry {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::later(Refusal::from(error).description)
    }
}

impl From<SignerError> for Failure {
    /// What the signer found, in words for the person in front of the callback page.
    fn from(error: SignerError) -> Self {
        let start_again = "Start the connection again from your app.";
        match error.reason {
            Reason::ChainExpired => Failure::new(format!(
                "What Internet Identity sent was valid for a few minutes only and has expired. {start_again}"
            )),
            Reason::ChainInvalid | Reason::ChainForeignKey => Failure::new(format!(
                "What came back was not made by Internet Identity for this sign-in. {start_again}"
            )),
            Reason::RegistrationRefused => Failure::new(format!(
                "Internet Identity refused the connection: {} {start_again}",
                error.message
            )),
            Reason::SecretRefused
            | Reason::ConnectionEnded
            | Reason::ConnectionPending
            | Reason::ConnectionReplaced => Failure::too_late(),
            Reason::IdentityUnavailable => Failure::later(
                "Internet Identity could not be reached in time. Try again in a few seconds.",
            ),
            Reason::SignerUnavailable | Reason::Overloaded => {
                Failure::later("The signer is not available right now. Try again in a few seconds.")
            }
            Reason::IdentityUnexpected => Failure::new(format!(
                "Internet Identity's answer could not be trusted. {start_again}"
            )),
            reason => {
                tracing::error!(%reason, %error, "a sign-in could not be completed");
                Failure::new(format!(
                    "This server could not complete the sign-in. {start_again}"
                ))
            }
        }
    }
}
