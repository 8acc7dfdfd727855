//! Listeners, TLS and limits.
