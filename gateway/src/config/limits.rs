use std::time::Duration;

/// What one client, and all of them together, may cost the edge. Table `[limits]` of gateway.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time (`connections`); one more is closed at once.
    pub connections: u32,
    /// Connections at a time from one address, an IPv6 /64 counting as one (`connections_per_address`).
    /// Trusted proxies are exempt.
    pub connections_per_address: u32,
    /// From the first byte of a request to the end of its header, and for the whole TLS handshake
    /// (`header_seconds`).
    pub header_time: Duration,
    /// Bytes of a request's header (`header_bytes`).
    pub header_bytes: usize,
    /// Bytes of a request's body (`body_bytes`).
    pub body_bytes: usize,
    /// Silence: between requests of a connection, within a body, and of a reader that takes nothing
    /// (`idle_seconds`).
    pub idle_time: Duration,
    /// From a request's header to its answer's header, the request's body included (`request_seconds`). A
    /// streamed answer may last longer.
    pub request_time: Duration,
    /// How long a stopping server lets running requests go on (`drain_seconds`).
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_address: 256,
            header_time: Duration::from_secs(10),
            header_bytes: 32 << 10,
            body_bytes: 4 << 20,
            idle_time: Duration::from_secs(60),
            request_time: Duration::from_secs(300),
            drain_time: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// Every key of the table `[limits]`.
    pub(super) const KEYS: [&'static str; 8] = [
        "connections",
        "connections_per_address",
        "header_seconds",
        "header_bytes",
        "body_bytes",
        "idle_seconds",
        "request_seconds",
        "drain_seconds",
    ];

    /// Sets one limit by its key; the error says what it must be.
    pub(super) fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        match key {
            "connections" => self.connections = number(text, 1, 65_536)?,
            "connections_per_address" => self.connections_per_address = number(text, 1, 65_536)?,
            "header_seconds" => self.header_time = seconds(text, 300)?,
            "header_bytes" => self.header_bytes = number(text, 1 << 10, 512 << 10)? as usize,
            "body_bytes" => self.body_bytes = number(text, 1 << 10, 64 << 20)? as usize,
            "idle_seconds" => self.idle_time = seconds(text, 3600)?,
            "request_seconds" => self.request_time = seconds(text, 3600)?,
            "drain_seconds" => self.drain_time = seconds(text, 10)?,
            _ => return Err("is not a limit of this version".to_owned()),
        }
        Ok(())
    }
}

fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

fn seconds(text: &str, most: u32) -> Result<Duration, String> {
    number(text, 1, most).map(|value| Duration::from_secs(value.into()))
}
