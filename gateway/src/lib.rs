//! icgate-gateway
