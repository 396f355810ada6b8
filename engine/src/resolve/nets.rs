//! Networks in which no public MX host can be. A domain whose MX points there is a mistake or an attack on our own network.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks that look-ups must not lead into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nets(pub Vec<IpNet>);

/// Loopback, private, link-local, shared (RFC 6598), multicast, reserved and unspecified (IANA special-purpose address
/// registries, RFC 6890).
const SPECIAL_4: [([u8; 4], u8); 10] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([224, 0, 0, 0], 3),
];
const SPECIAL_6: [(u16, u8); 5] = [(0x2002, 16), (0xfc00, 7), (0xfe80, 10), (0xfec0, 10), (0xff00, 8)];

impl Default for Nets {
    fn default() -> Nets {
        let four = SPECIAL_4
            .map(|(octets, length)| IpNet::V4(Ipv4Net::new(octets.into(), length).expect("lengths are 32 at most")));
        let six = SPECIAL_6.map(|(first, length)| {
            let address = Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0);
            IpNet::V6(Ipv6Net::new(address, length).expect("lengths are 128 at most"))
        });
        let alone = [Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST].map(|address| IpNet::from(IpAddr::V6(address)));
        Nets(four.into_iter().chain(six).chain(alone).collect())
    }
}

impl Nets {
    /// Whether `address` is in one of them; an IPv6 form of an IPv4 address is looked at as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = plain(address);
        self.0.iter().any(|net| net.contains(&address))
    }
}

/// IPv4 inside IPv6, mapped (`::ffff:…`) or by NAT64's well-known prefix (RFC 6052), as IPv4.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let [a, b, c, d, e, f, high, low] = six.segments();
    let nat64 = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0];
    let inside = Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    if nat64 { IpAddr::V4(inside) } else { six.to_canonical() }
}

/// Reads `10.0.0.0/8`, or a single address.
pub fn parse(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_and_what_is_not() {
        let nets = Nets::default();
        let denied = [
            "127.0.0.1",
            "127.255.0.9",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "100.64.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
        ];
        for text in denied {
            assert!(nets.contains(text.parse().expect("an address")), "{text}");
        }
        for text in ["192.0.2.1", "8.8.8.8", "172.32.0.1", "2001:db8::1", "64:ff9b::808:808", "::ffff:8.8.8.8"] {
            assert!(!nets.contains(text.parse().expect("an address")), "{text}");
        }
    }

    #[test]
    fn written_as_network_or_address() {
        assert_eq!(parse("10.0.0.0/8").map(|net| net.prefix_len()), Some(8));
        assert_eq!(parse("::1").map(|net| net.prefix_len()), Some(128));
        assert_eq!(parse("10.0.0.0/40"), None);
    }
}
