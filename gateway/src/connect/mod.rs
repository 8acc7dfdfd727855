//! The Internet Identity handshake.
