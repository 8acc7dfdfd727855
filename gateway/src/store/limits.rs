/// How many records of each kind there may be. What anybody can create without signing in is bounded here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Registered clients, those of the operator's file not counted. Of the address with the most unused ones the least
    /// recently used goes first; one with a connection never goes.
    pub clients: u32,
    /// Of these, unused ones of one address; its least recently used goes first.
    pub clients_per_address: u32,
    /// Sign-ins on their way; the oldest of the address with the most goes first.
    pub pending_connects: u32,
    /// Of these, sign-ins of one address; its oldest goes first.
    pub pending_connects_per_address: u32,
    /// Devices that wait for somebody to sign in; what is over goes first, then the oldest of the address with the
    /// most.
    pub device_requests: u32,
    /// Of these, devices of one address; its oldest goes first.
    pub device_requests_per_address: u32,
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
            clients_per_address: 256,
            pending_connects: 1_024,
            pending_connects_per_address: 64,
            device_requests: 1_024,
            device_requests_per_address: 64,
            connections: 20_000,
            credentials_per_connection: 128,
            approvals: 10_000,
        }
    }
}
