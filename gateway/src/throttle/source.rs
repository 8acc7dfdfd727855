use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use crate::config::network::mask_v6;

/// Where requests come from, as far as they are counted together: an IPv4 address, or an IPv6 /64, since one household
/// or host has a whole one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// What an address belongs to.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(mask_v6(address, 64))),
            v4 => v4,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_block() {
        let text = |address: &str| Source::of(address.parse().unwrap()).to_string();
        assert_eq!(text("203.0.113.9"), "203.0.113.9");
        assert_eq!(text("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(text("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    }
}
