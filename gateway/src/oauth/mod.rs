//! The OAuth authorization server.
