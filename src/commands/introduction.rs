//! What `check` says of how our sources introduce themselves.

use engine::resolve::{Introduction, Misgiving};
use engine::run::{Introduced, Seen};
use serde_json::{Value, json};
use std::net::IpAddr;

/// For people: a line an address, and one for each thing to do.
pub fn lines(introduced: &Introduced) -> Vec<String> {
    let Introduced { source, address, seen } = introduced;
    let who = match address {
        Some(address) => format!("source {} at {address}", source.name),
        None => format!("source {}", source.name),
    };
    match seen {
        Seen::Spared(why) => vec![format!("{who}: names not checked: {why}")],
        Seen::Unknown(trouble) => vec![format!("{who}: names not checked: {}", trouble.label())],
        Seen::Looked(found, misgivings) if misgivings.is_empty() => {
            vec![format!("{who}: its name {} leads there and back", found.confirmed.join(", "))]
        }
        Seen::Looked(found, misgivings) => {
            let address = address.expect("only an address is looked at");
            misgivings.iter().flat_map(|one| about(*one, &who, address, &source.ehlo, found)).collect()
        }
    }
}

/// Whether large receivers refuse mail from there.
pub fn is_grave(introduced: &Introduced) -> bool {
    matches!(&introduced.seen, Seen::Looked(_, misgivings) if misgivings.iter().any(|one| one.is_grave()))
}

/// For programs.
pub fn object(introduced: &Introduced) -> Value {
    let Introduced { source, address, seen } = introduced;
    let mut object = json!({"source": &*source.name, "ehlo": source.ehlo, "address": address});
    match seen {
        Seen::Spared(why) => object["not_checked"] = json!(why),
        Seen::Unknown(trouble) => object["not_checked"] = json!(trouble.label()),
        Seen::Looked(found, misgivings) => {
            object["ptr"] = json!(found.names);
            object["confirmed"] = json!(found.confirmed);
            object["findings"] = misgivings.iter().map(|one| one.word()).collect();
        }
    }
    object
}

/// What is wrong, and what to do.
fn about(misgiving: Misgiving, who: &str, address: IpAddr, ehlo: &str, found: &Introduction) -> [String; 2] {
    let (names, record) = (found.names.join(", "), if address.is_ipv4() { "A" } else { "AAAA" });
    let (what, hint) = match misgiving {
        Misgiving::NoName => (
            "the address has no PTR record".to_owned(),
            format!(
                "have whoever gave you the address set its PTR record to {ehlo}: Gmail and others refuse mail without"
            ),
        ),
        Misgiving::Unconfirmed => (
            format!("its PTR record says {names}, and that name does not lead back to it"),
            format!("give that name an {record} record of {address}, or have the PTR record set to {ehlo}"),
        ),
        Misgiving::EhloNowhere => {
            (format!("its ehlo name {ehlo} has no {record} record"), format!("add: {ehlo}. {record} {address}"))
        }
        Misgiving::EhloElsewhere => (
            format!("its ehlo name {ehlo} leads to {}", listed(&found.ehlo)),
            format!("add: {ehlo}. {record} {address}; or give the source the name that belongs to its address"),
        ),
        Misgiving::OtherName => (
            format!("its PTR record says {names}, and it introduces itself as {ehlo}"),
            format!("write ehlo = \"{}\", or have the PTR record set to {ehlo}", found.confirmed[0]),
        ),
    };
    [format!("{who}: {what}"), format!("  hint: {hint}")]
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::smtp::Source;

    #[test]
    fn each_finding_says_what_to_do() {
        let address: IpAddr = "192.0.2.10".parse().expect("an address");
        let (ehlo, pool) = ("out.acme.example", "pool.isp.example");
        let said = |names: &[&str], confirmed: &[&str], leads: &[&str]| {
            let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect();
            let leads = leads.iter().map(|address| address.parse().expect("an address")).collect();
            let found = Introduction { names: texts(names), confirmed: texts(confirmed), ehlo: leads };
            let misgivings = found.misgivings(address, ehlo);
            let source = Source { name: "a".into(), ehlo: ehlo.into(), ipv4: None, ipv6: None };
            let introduced = Introduced { source, address: Some(address), seen: Seen::Looked(found, misgivings) };
            (lines(&introduced).join("\n"), is_grave(&introduced))
        };
        let (well, grave) = said(&[ehlo], &[ehlo], &["192.0.2.10"]);
        assert_eq!(
            (well.as_str(), grave),
            ("source a at 192.0.2.10: its name out.acme.example leads there and back", false)
        );
        let (other, grave) = said(&[pool], &[pool], &["192.0.2.10"]);
        assert!(other.contains(
            "says pool.isp.example, and it introduces itself as out.acme.example\n  hint: write ehlo = \"pool"
        ));
        assert!(!grave, "it only looks careless");
        let (none, grave) = said(&[], &[], &[]);
        assert!(grave && none.contains("no PTR record\n  hint: have whoever gave you"), "{none}");
        assert!(none.contains("has no A record\n  hint: add: out.acme.example. A 192.0.2.10"), "{none}");
        let (elsewhere, _) = said(&[pool], &[], &["192.0.2.11"]);
        assert!(
            elsewhere.contains("that name does not lead back") && elsewhere.contains("leads to 192.0.2.11"),
            "{elsewhere}"
        );
    }
}
