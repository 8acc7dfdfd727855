/// How many records of each kind there may be. What anybody can create without signing in is bounded here.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Registered clients, those of the operator's file not counted; the least recently used one without a connection goes first.
    pub clients: u32,
    /// Sign-ins on their way; the oldest goes first.
    pub pending_connects: u32,
    /// Devices that wait for somebody to sign in; the oldest goes first.
    pub device_requests: u32,
    /// Live connections; none is ever evicted, new ones are refused.
    pub connections: u32,
    /// Credentials kept of one connection; the oldest goes first.
    pub credentials_per_connection: u32,
    /// Approvals of all browsers; the oldest goes first.
    pub approvals: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 10_000,
            pending_connects: 1_024,
            device_requests: 1_024,
            connections: 20_000,
            credentials_per_connection: 128,
            approvals: 10_000,
        }
    }
}
