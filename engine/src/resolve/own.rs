//! What the DNS says of an address of ours and of the name that we give: receivers ask the same questions, and refuse who gives
//! the wrong answers. "Forward-confirmed": a name of the address's PTR records leads back to it.

use super::{Dns, NoRoute};
use std::net::IpAddr;

/// What receivers find out about us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The names that the address's PTR records give.
    pub names: Vec<String>,
    /// Those of them whose address records lead back to it.
    pub confirmed: Vec<String>,
    /// The addresses of the EHLO name, of the address's own family.
    pub ehlo: Vec<IpAddr>,
}

/// What is wrong with it, the worst first. The words are for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misgiving {
    /// The address has no name.
    NoName,
    /// None of its names leads back to it.
    Unconfirmed,
    /// The EHLO name has no address.
    EhloNowhere,
    /// The EHLO name has other addresses.
    EhloElsewhere,
    /// The EHLO name leads to the address, and the address names itself otherwise.
    OtherName,
}

impl Misgiving {
    /// Its word in `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Misgiving::NoName => "no_ptr",
            Misgiving::Unconfirmed => "ptr_unconfirmed",
            Misgiving::EhloNowhere => "ehlo_unresolved",
            Misgiving::EhloElsewhere => "ehlo_elsewhere",
            Misgiving::OtherName => "ehlo_differs",
        }
    }

    /// Whether large receivers refuse mail for it; else it only looks careless.
    pub fn is_grave(self) -> bool {
        self != Misgiving::OtherName
    }
}

impl Introduction {
    /// What is wrong, where we say that `address` is `ehlo`.
    pub fn misgivings(&self, address: IpAddr, ehlo: &str) -> Vec<Misgiving> {
        let of_address = match (self.names.is_empty(), self.confirmed.is_empty()) {
            (true, _) => Some(Misgiving::NoName),
            (_, true) => Some(Misgiving::Unconfirmed),
            _ => None,
        };
        let of_name = match (self.ehlo.is_empty(), self.ehlo.contains(&address)) {
            (true, _) => Some(Misgiving::EhloNowhere),
            (_, false) => Some(Misgiving::EhloElsewhere),
            _ if of_address.is_none() && !self.confirmed.iter().any(|name| name.eq_ignore_ascii_case(ehlo)) => {
                Some(Misgiving::OtherName)
            }
            _ => None,
        };
        of_address.into_iter().chain(of_name).collect()
    }
}

impl Dns {
    /// What receivers find when `address` says that it is `ehlo`; for whoever is on no runtime of his own.
    ///
    /// # Errors
    /// A question got no answer: nothing is known then.
    pub fn introduction(&self, address: IpAddr, ehlo: &str) -> Result<Introduction, NoRoute> {
        self.wait_for(async {
            let mut names = self.names(&reverse(address)).await?;
            names.truncate(MOST_NAMES);
            let mut confirmed = Vec::new();
            for name in &names {
                if self.addresses_of(name, address).await?.contains(&address) {
                    confirmed.push(name.clone());
                }
            }
            let ehlo = self.addresses_of(ehlo, address).await?;
            Ok(Introduction { names, confirmed, ehlo })
        })
    }
}

/// Names of one address that are followed: receivers look at some and not at hundreds.
const MOST_NAMES: usize = 10;

/// Where the names of an address stand (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(four) => {
            let [a, b, c, d] = four.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(six) => {
            let halves = six.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            halves.map(|half| format!("{half:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_names_of_an_address_stand() {
        let at = |text: &str| reverse(text.parse().expect("an address"));
        assert_eq!(at("192.0.2.10"), "10.2.0.192.in-addr.arpa");
        // The example of RFC 3596 section 2.5.
        let name = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
        assert_eq!(at("4321:0:1:2:3:4:567:89ab"), name);
    }

    #[test]
    fn what_receivers_would_think() {
        let ours: IpAddr = "192.0.2.10".parse().expect("an address");
        let other: IpAddr = "192.0.2.11".parse().expect("an address");
        let (out, pool) = ("out.acme.example", "pool-10.isp.example");
        type Case<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [IpAddr], &'a [Misgiving]);
        let cases: [Case<'_>; 8] = [
            ("all is well", &[out], &[out], &[ours], &[]),
            ("one of two names", &[pool, out], &[out], &[ours], &[]),
            ("in capitals", &["OUT.acme.example"], &["OUT.acme.example"], &[ours], &[]),
            ("no PTR", &[], &[], &[ours], &[Misgiving::NoName]),
            ("a PTR that leads elsewhere", &[pool], &[], &[ours], &[Misgiving::Unconfirmed]),
            ("another name", &[pool], &[pool], &[ours, other], &[Misgiving::OtherName]),
            ("EHLO of another", &[out], &[out], &[other], &[Misgiving::EhloElsewhere]),
            ("nothing at all", &[], &[], &[], &[Misgiving::NoName, Misgiving::EhloNowhere]),
        ];
        for (case, names, confirmed, ehlo, expected) in cases {
            let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            let found = Introduction { names: texts(names), confirmed: texts(confirmed), ehlo: ehlo.to_vec() };
            assert_eq!(found.misgivings(ours, out), expected, "{case}");
        }
    }
}
