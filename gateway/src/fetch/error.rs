use reqwest::StatusCode;

/// Why something could not be fetched. Either about the URL, so that asking again soon gives the same, or about the
/// moment: see [`FetchError::is_about_the_url`].
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not https.
    #[error("its address is not an https address with a host")]
    Scheme,
    /// It names a user.
    #[error("its address holds a user name or password")]
    Credentials,
    /// One of its addresses is not a public one.
    #[error("its host has an address that is not public")]
    NotPublic,
    /// Another status than 200 that is the site's word on the URL, redirects included.
    #[error("its site answered with status {0} instead of 200")]
    Status(StatusCode),
    /// Not JSON by its content type.
    #[error("its content type is not application/json")]
    ContentType,
    /// Compressed though nothing of the kind was offered.
    #[error("it came in a content coding that was not asked for")]
    Coding,
    /// Longer than what is read.
    #[error("it is too large")]
    TooLarge,
    /// Not text.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// The name could not be looked up.
    #[error("its host's name could not be resolved: {0}")]
    Unresolved(String),
    /// No connection, or one that broke.
    #[error("its site could not be reached: {0}")]
    Unreachable(String),
    /// A status that says to come later.
    #[error("its site answered with status {0}")]
    Later(StatusCode),
    /// The deadline passed.
    #[error("its site did not answer in time")]
    Timeout,
    /// Too many fetches are under way.
    #[error("too many fetches are under way")]
    Busy,
    /// What one visit may read was read already.
    #[error("as much was read from it as is read at a time")]
    Spent,
}

impl FetchError {
    /// Whether the failure is a property of the URL, which a cache may remember for a while. Otherwise it is one of
    /// the moment: the network, the load, a site that is down.
    pub fn is_about_the_url(&self) -> bool {
        match self {
            FetchError::Scheme
            | FetchError::Credentials
            | FetchError::NotPublic
            | FetchError::Status(_)
            | FetchError::ContentType
            | FetchError::Coding
            | FetchError::TooLarge
            | FetchError::NotUtf8 => true,
            FetchError::Unresolved(_)
            | FetchError::Unreachable(_)
            | FetchError::Later(_)
            | FetchError::Timeout
            | FetchError::Busy
            | FetchError::Spent => false,
        }
    }

    /// What a status other than the wanted one means (RFC 9110 section 15; 425 is of RFC 8470, 429 of RFC 6585).
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            408 | 421 | 425 | 429 | 500..=599 => FetchError::Later(status),
            _ => FetchError::Status(status),
        }
    }

    /// Keeps the chain of causes for the log.
    pub(super) fn unreachable(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(deeper) = cause {
            text = format!("{text}: {deeper}");
            cause = deeper.source();
        }
        FetchError::Unreachable(text)
    }
}
