//! The gateway: the process that agents, browsers, websites and IC boundary nodes talk to.
//!
//! It terminates TLS, runs the OAuth authorization server, checks tokens and serves MCP. It holds no key that
//! can act for a user: whatever has to be signed goes to the signer, together with a secret derived from the
//! credential that the caller presented.
#![forbid(unsafe_code)]

pub mod app;
pub mod body;
pub mod candid;
pub mod cli;
pub mod config;
pub mod connect;
pub mod connection;
pub mod discovery;
pub mod edge;
pub mod fetch;
pub mod funding;
mod health;
pub mod ic;
pub mod instance;
pub mod mcp;
mod nearest;
pub mod oauth;
mod origin;
pub mod pages;
mod reader;
pub mod scope;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod uploads;
