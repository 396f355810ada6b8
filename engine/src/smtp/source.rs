//! Who we are to the servers we send to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// One of our own addresses and the name that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in reports and metrics.
    pub name: Arc<str>,
    /// What EHLO says: the name that the address's PTR record gives.
    pub ehlo: String,
    /// Where connections to IPv4 addresses come from.
    pub ipv4: Option<Ipv4Addr>,
    /// Where connections to IPv6 addresses come from.
    pub ipv6: Option<Ipv6Addr>,
}

impl Source {
    /// Our own address towards `peer`: `Ok(None)` leaves it to the system, `Err` where this source has none of that family.
    ///
    /// # Errors
    /// The source is bound to addresses of the other family only.
    pub fn towards(&self, peer: IpAddr) -> Result<Option<IpAddr>, WrongFamily> {
        let (own, other) = match peer {
            IpAddr::V4(_) => (self.ipv4.map(IpAddr::V4), self.ipv6.is_some()),
            IpAddr::V6(_) => (self.ipv6.map(IpAddr::V6), self.ipv4.is_some()),
        };
        if own.is_none() && other { Err(WrongFamily) } else { Ok(own) }
    }
}

/// The source has no address of the peer's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongFamily;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_source_keeps_to_its_families() {
        let (four, six) = (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::LOCALHOST);
        let source = |ipv4, ipv6| Source { name: "a".into(), ehlo: "out.acme.example".into(), ipv4, ipv6 };
        let (to_four, to_six) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(six));
        assert_eq!(source(None, None).towards(to_six), Ok(None));
        assert_eq!(source(Some(four), None).towards(to_four), Ok(Some(four.into())));
        assert_eq!(source(Some(four), None).towards(to_six), Err(WrongFamily));
        assert_eq!(source(Some(four), Some(six)).towards(to_six), Ok(Some(six.into())));
    }
}
