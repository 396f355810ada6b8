//! What an operator can do about a reason.

/// What to do about `why`: codes and a closed label, as `why` made them. `None` where there is nothing but to wait or to
/// accept it.
pub fn hint(why: &str) -> Option<&'static str> {
    let label = why.rsplit(' ').next().unwrap_or_default();
    HINTS.iter().find(|(reason, _)| *reason == label).map(|(_, hint)| *hint)
}

const HINTS: [(&str, &str); 19] = [
    ("auth_refused", "the smarthost does not take our login: correct [smarthost] user and password; its rows wait"),
    ("auth_not_offered", "the smarthost offers none of SCRAM-SHA-256, PLAIN and LOGIN: is it the right port?"),
    ("auth_broken", "the smarthost did not prove that it knows our password, or broke off: is it the right host?"),
    (
        "sender_refused",
        "our envelope sender is not welcome: is [message] return_path a domain that may be sent from there?",
    ),
    (
        "source_refused",
        "our address is on a block list, or has no reverse name: `report --list` shows the reply, which says where to ask",
    ),
    ("relay_denied", "the smarthost does not relay for us: does it know this machine's address, or want a login?"),
    (
        "no_mx_address",
        "the host's name has no address; if it is the smarthost's, correct [smarthost] host or say its address",
    ),
    ("client_certificate_refused", "the smarthost does not take our certificate: is it expired, or another CA's?"),
    (
        "certificate_expired",
        "the server's certificate is past its time, or this machine's clock is wrong; its operator must renew it",
    ),
    (
        "unknown_issuer",
        "no root we trust issued the server's certificate: for a private CA add its PEM file to [tls] roots",
    ),
    ("name_mismatch", "the server's certificate is for another name: is the route's host the name that it proves?"),
    ("no_starttls", "the server offers no TLS; a letter is the way to these rows"),
    (
        "denied_address",
        "the domain's mail hosts are in a denied network: if that is meant, add a fixed route or change [dns] deny_nets",
    ),
    (
        "no_source_address",
        "no [[source]] has an address of the host's family: give one ipv4 or ipv6, or see [dns] family",
    ),
    ("source_address_gone", "the [[source]]'s address is no longer one of this machine: see `ip address`"),
    ("dns_failed", "the name server refused or failed: ask it by hand, and see [dns] servers"),
    (
        "dnssec_bogus",
        "the domain's answers aren't signed as its parent says, or signatures don't get here: `sealpost check` tells which",
    ),
    ("dns_timed_out", "no name server answers: see [dns] servers"),
    (
        "out_of_resources",
        "this machine has no descriptors or ports left: raise `ulimit -n`, or lower [limits] connections",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_after_the_codes_is_what_counts() {
        assert!(hint("535 5.7.8 auth_refused").is_some_and(|hint| hint.contains("password")));
        assert!(hint("no_starttls").is_some());
        assert!(hint("550 5.1.1").is_none() && hint("").is_none());
    }
}
