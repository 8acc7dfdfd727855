//! icgate-system
