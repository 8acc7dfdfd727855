//! Candid: text to bytes and back, bounded.
