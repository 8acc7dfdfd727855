use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address belongs to the public internet. IPv4 is judged by the list of what is not (the IANA
/// special-purpose registry, RFC 6890), IPv6 by default deny: only global unicast, and within it not what is
/// reserved or carries an IPv4 address inside (Teredo, 6to4). The well-known prefix of NAT64 lies outside.
/// The IPv6 forms of an IPv4 address, mapped and compatible, count as that address.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => match address.to_ipv4() {
            Some(address) => is_global_v4(address),
            None => is_global_v6(address),
        },
    }
}

/// Whether an address is this machine's own loopback, in any of its forms.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback()
                || address
                    .to_ipv4_mapped()
                    .is_some_and(|address| address.is_loopback())
        }
    }
}

/// First address and length of a block.
type Block4 = (Ipv4Addr, u32);
type Block6 = (Ipv6Addr, u32);

const NOT_GLOBAL_V4: [Block4; 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // carriers' NAT
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, metadata services of clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, broadcast
];

/// The one address of the 6to4 relays' block with a use of its own (RFC 6751).
const RELAY_6A44: Ipv4Addr = Ipv4Addr::new(192, 88, 99, 2);

const UNICAST_V6: Block6 = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

const NOT_GLOBAL_V6: [Block6; 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Parts of 2001::/23 that are global all the same.
const GLOBAL_ASSIGNMENTS: [Block6; 6] = [
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 1), 128), // port control protocol
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 2), 128), // TURN
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 3), 128), // DNS-SD registration
    (Ipv6Addr::new(0x2001, 3, 0, 0, 0, 0, 0, 0), 32),  // AMT
    (Ipv6Addr::new(0x2001, 4, 0x112, 0, 0, 0, 0, 0), 48), // AS112
    (Ipv6Addr::new(0x2001, 0x30, 0, 0, 0, 0, 0, 0), 28), // drone identification
];

fn is_global_v4(address: Ipv4Addr) -> bool {
    address == RELAY_6A44
        || !NOT_GLOBAL_V4
            .iter()
            .any(|(block, length)| share_v4(*block, address, *length))
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let lies_in = |(block, length): &Block6| share_v6(*block, address, *length);
    lies_in(&UNICAST_V6)
        && (!NOT_GLOBAL_V6.iter().any(lies_in) || GLOBAL_ASSIGNMENTS.iter().any(lies_in))
}

/// Whether two addresses have the same first bits; `length` is 1 to 32.
fn share_v4(one: Ipv4Addr, other: Ipv4Addr, length: u32) -> bool {
    (one.to_bits() ^ other.to_bits()) >> (32 - length) == 0
}

/// Whether two addresses have the same first bits; `length` is 1 to 128.
fn share_v6(one: Ipv6Addr, other: Ipv6Addr, length: u32) -> bool {
    (one.to_bits() ^ other.to_bits()) >> (128 - length) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn global(text: &str) -> bool {
        is_global(text.parse().unwrap())
    }

    #[test]
    fn every_range_of_ipv4_ends_where_it_should() {
        // Last address before, first in, last in, first after; none where a neighbour is closed too.
        let ranges = [
            (None, "0.0.0.0", "0.255.255.255", Some("1.0.0.0")),
            (
                Some("9.255.255.255"),
                "10.0.0.0",
                "10.255.255.255",
                Some("11.0.0.0"),
            ),
            (
                Some("100.63.255.255"),
                "100.64.0.0",
                "100.127.255.255",
                Some("100.128.0.0"),
            ),
            (
                Some("126.255.255.255"),
                "127.0.0.0",
                "127.255.255.255",
                Some("128.0.0.0"),
            ),
            (
                Some("169.253.255.255"),
                "169.254.0.0",
                "169.254.255.255",
                Some("169.255.0.0"),
            ),
            (
                Some("172.15.255.255"),
                "172.16.0.0",
                "172.31.255.255",
                Some("172.32.0.0"),
            ),
            (
                Some("191.255.255.255"),
                "192.0.0.0",
                "192.0.0.255",
                Some("192.0.1.0"),
            ),
            (
                Some("192.0.1.255"),
                "192.0.2.0",
                "192.0.2.255",
                Some("192.0.3.0"),
            ),
            (
                Some("192.88.98.255"),
                "192.88.99.0",
                "192.88.99.1",
                Some("192.88.99.2"),
            ),
            (
                Some("192.88.99.2"),
                "192.88.99.3",
                "192.88.99.255",
                Some("192.88.100.0"),
            ),
            (
                Some("192.167.255.255"),
                "192.168.0.0",
                "192.168.255.255",
                Some("192.169.0.0"),
            ),
            (
                Some("198.17.255.255"),
                "198.18.0.0",
                "198.19.255.255",
                Some("198.20.0.0"),
            ),
            (
                Some("198.51.99.255"),
                "198.51.100.0",
                "198.51.100.255",
                Some("198.51.101.0"),
            ),
            (
                Some("203.0.112.255"),
                "203.0.113.0",
                "203.0.113.255",
                Some("203.0.114.0"),
            ),
            (
                Some("223.255.255.255"),
                "224.0.0.0",
                "239.255.255.255",
                None,
            ),
            (None, "240.0.0.0", "255.255.255.255", None),
        ];
        for (before, first, last, after) in ranges {
            for open in before.into_iter().chain(after) {
                assert!(global(open), "{open}");
                assert!(global(&format!("::ffff:{open}")), "{open} mapped");
                assert!(global(&format!("::{open}")), "{open} compatible");
            }
            for closed in [first, last] {
                assert!(!global(closed), "{closed}");
                assert!(!global(&format!("::ffff:{closed}")), "{closed} mapped");
                assert!(!global(&format!("::{closed}")), "{closed} compatible");
            }
        }
    }

    #[test]
    fn every_range_of_ipv6_ends_where_it_should() {
        for closed in [
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:a00:1",
            "::127.0.0.1",
            // IPv4-translated, and NAT64 (well-known and local prefix) with a public and a private address.
            "::ffff:0:1.1.1.1",
            "64:ff9b::",
            "64:ff9b::1.1.1.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::ffff:ffff",
            "64:ff9b:1::1",
            "100::1",
            "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            // Teredo, 2001::/23 around its exceptions.
            "2001::",
            "2001::1",
            "2001:0:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:1::",
            "2001:1::4",
            "2001:2::1",
            "2001:2:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:4::",
            "2001:4:111:ffff:ffff:ffff:ffff:ffff",
            "2001:4:113::",
            "2001:10::1",
            "2001:20::1",
            "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:40::",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            // 6to4, also around a public address.
            "2002::",
            "2002:7f00:1::",
            "2002:101:101::1",
            "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff::",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "4000::",
            "5f00::1",
            "fc00::",
            "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fe80::",
            "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fec0::1",
            "ff00::",
            "ff02::1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert!(!global(closed), "{closed}");
        }
        for open in [
            "2000::",
            "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:1::1",
            "2001:1::2",
            "2001:1::3",
            "2001:3::",
            "2001:3:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:4:112::",
            "2001:4:112:ffff:ffff:ffff:ffff:ffff",
            "2001:30::",
            "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:200::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2003::",
            "2606:4700:4700::1111",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
            "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert!(global(open), "{open}");
        }
    }

    #[test]
    fn loopback_is_known_in_every_form() {
        for text in ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"] {
            assert!(is_loopback(text.parse().unwrap()), "{text}");
        }
        for text in ["128.0.0.1", "::", "::2", "::ffff:10.0.0.1", "10.0.0.1"] {
            assert!(!is_loopback(text.parse().unwrap()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn forms_of_one_ipv4_address_are_judged_alike(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let expected = is_global(address.into());
            prop_assert_eq!(is_global(address.to_ipv6_mapped().into()), expected);
            prop_assert_eq!(is_global(address.to_ipv6_compatible().into()), expected);
        }

        #[test]
        fn nothing_the_standard_library_calls_local_is_global(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let local = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.is_broadcast() || address.is_documentation()
                || address.is_unspecified();
            prop_assert!(!(local && is_global(address.into())));
        }

        #[test]
        fn no_carrier_of_an_ipv4_address_is_global(v4: u32, rest: u64, low: u16) {
            let high = u128::from(v4);
            let sixto4 = (0x2002_u128 << 112) | (high << 80) | u128::from(rest);
            let teredo = (0x2001_0000_u128 << 96) | (high << 64) | u128::from(rest);
            let nat64 = (0x0064_ff9b_u128 << 96) | high;
            let nat64_local = (0x0064_ff9b_0001_u128 << 80) | (u128::from(low) << 64) | high;
            for bits in [sixto4, teredo, nat64, nat64_local] {
                prop_assert!(!is_global(Ipv6Addr::from_bits(bits).into()));
            }
        }

        #[test]
        fn outside_global_unicast_only_an_embedded_ipv4_address_is_global(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            if bits >> 125 != 1 && address.to_ipv4().is_none() {
                prop_assert!(!is_global(address.into()));
            }
        }
    }
}
