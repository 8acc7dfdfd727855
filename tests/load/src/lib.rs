//! icgate-load
