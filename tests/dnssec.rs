//! Zones that are really signed, ones that aren't, and ones that are signed wrongly.

mod runs;

use crate::support::middle::{Middle, asks};
use crate::support::world::tlsa;
use crate::support::{Signed, World, free_port};
use engine::resolve::{
    Dns, DnsConfig, Dnssec, Family, Fixed, MxHost, Nets, NoAddress, NoRoute, Place, Resolver, Security, TlsaRecord,
};
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::RecordType;
use std::time::Duration;

use Security::{Insecure, Secure};

/// Records of every zone that is used below.
const ZONE: &str = "\
mx1       A     127.0.0.2
mx2       A     127.0.0.3
plain     MX    10 mx1
other     MX    10 mx2
alias     CNAME plain
abroad    CNAME plain.open.
nomx      A     127.0.0.3
null      MX    0 .
nodata    TXT   \"no mail here\"
cn        CNAME mx1
cnabroad  CNAME mx1.open.
*.wild    A     127.0.0.2
is.wild   A     127.0.0.3
_mta-sts.plain TXT \"v=STSv1; \" \"id=7;\"
_mta-sts.plain TXT \"another\"
";

/// Its zones: `example` and `three` (NSEC3) are signed, `open` isn't, `bare` ought to be.
fn world() -> World {
    let tlsas = tlsa("mx1", 25, [3, 1, 1], b"\xaa\xbb") + &tlsa("cnabroad", 25, [2, 0, 2], b"\xcc");
    let records = format!("{ZONE}{tlsas}");
    let zones = [("example", Signed::Nsec), ("three", Signed::Nsec3), ("open", Signed::No), ("bare", Signed::Stripped)];
    World::start(&zones.map(|(name, signed)| (name, signed, records.as_str())))
}

/// What the engine asks with.
struct Asker(Fixed);

impl Asker {
    fn of(world: &World, port: u16, dnssec: Dnssec) -> Asker {
        let config = DnsConfig {
            servers: vec![([127, 0, 0, 1], port).into()],
            timeout: Duration::from_secs(2),
            dnssec,
            anchors: Some(world.anchors()),
            family: Family::Ipv4First,
            deny: Nets(Vec::new()),
            port: 25,
            ours: Some("acme-health.example".into()),
        };
        Asker(Fixed { dns: Some(Dns::start(config).expect("it starts")), ..Fixed::default() })
    }

    fn validating(world: &World) -> Asker {
        Asker::of(world, world.knot.port, Dnssec::Validate)
    }

    /// The best host, and what is known of its name.
    fn mx(&self, domain: &str) -> Result<(String, Security), NoRoute> {
        wait(self.0.mx(domain)).map(|mx| (mx.hosts[0].name.clone(), mx.security))
    }

    fn addresses(&self, host: &str) -> Result<Security, NoAddress> {
        wait(self.0.addresses(&named(host))).map(|addresses| addresses.security)
    }

    fn tlsa(&self, host: &str) -> Result<Vec<TlsaRecord>, NoAddress> {
        wait(self.0.tlsa(&named(host)))
    }
}

fn wait<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(answer)
}

fn named(host: &str) -> MxHost {
    MxHost { name: host.into(), preference: 0, place: Place::Named(25) }
}

fn record(usage: u8, selector: u8, matching: u8, data: &[u8]) -> TlsaRecord {
    TlsaRecord { usage, selector, matching, data: data.to_vec() }
}

#[test]
fn what_is_said_of_domains() {
    let world = world();
    let asker = Asker::validating(&world);
    let cases = [
        ("plain.example", Ok(("mx1.example", Secure))),
        ("plain.three", Ok(("mx1.three", Secure))),
        ("plain.open", Ok(("mx1.open", Insecure))),
        ("plain.bare", Err(NoRoute::Bogus)),
        ("alias.example", Ok(("mx1.example", Secure))),
        ("abroad.example", Ok(("mx1.open", Insecure))),
        ("nomx.example", Ok(("nomx.example", Secure))),
        ("nomx.three", Ok(("nomx.three", Secure))),
        ("nomx.open", Ok(("nomx.open", Insecure))),
        ("nomx.bare", Err(NoRoute::Bogus)),
        ("null.example", Err(NoRoute::NullMx)),
        ("nodata.example", Err(NoRoute::NoMailHost)),
        ("nodata.three", Err(NoRoute::NoMailHost)),
        ("nodata.open", Err(NoRoute::NoMailHost)),
        ("nx.example", Err(NoRoute::NoSuchDomain)),
        ("nx.three", Err(NoRoute::NoSuchDomain)),
        ("nx.open", Err(NoRoute::NoSuchDomain)),
        ("nx.bare", Err(NoRoute::Bogus)),
        ("nx.nowhere", Err(NoRoute::NoSuchDomain)),
        ("nx.invalid", Err(NoRoute::NoSuchDomain)),
    ];
    for (domain, expected) in cases {
        let expected = expected.map(|(name, security)| (name.to_owned(), security));
        assert_eq!(asker.mx(domain), expected, "{domain}");
        assert_eq!(asker.mx(domain), expected, "{domain} from the cache");
    }
}

#[test]
fn what_is_said_of_hosts() {
    let world = world();
    let asker = Asker::validating(&world);
    let ours = || Ok(vec![record(3, 1, 1, b"\xaa\xbb")]);
    let cases = [
        ("mx1.example", Ok(Secure), ours()),
        ("mx1.three", Ok(Secure), ours()),
        ("mx1.open", Ok(Insecure), Ok(vec![])),
        ("mx1.bare", Err(NoAddress::Bogus), Err(NoAddress::Bogus)),
        ("mx2.example", Ok(Secure), Ok(vec![])),
        ("mx2.three", Ok(Secure), Ok(vec![])),
        ("cn.example", Ok(Secure), ours()),
        ("cnabroad.example", Ok(Secure), Ok(vec![record(2, 0, 2, b"\xcc")])),
        ("cnabroad.open", Ok(Insecure), Ok(vec![])),
        ("a.wild.three", Ok(Secure), Ok(vec![])),
        // hickory 0.26 wants the wildcard itself denied, which no server can do.
        ("a.wild.example", Err(NoAddress::Bogus), Err(NoAddress::Bogus)),
        ("nx.example", Err(NoAddress::None), Ok(vec![])),
        ("nx.bare", Err(NoAddress::Bogus), Err(NoAddress::Bogus)),
    ];
    for (host, addresses, records) in cases {
        assert_eq!(asker.addresses(host), addresses, "{host}");
        assert_eq!(asker.tlsa(host), records, "{host}");
    }
    let fixed = MxHost { place: Place::Fixed(([127, 0, 0, 1], 25).into()), ..named("mx1.example") };
    assert_eq!(wait(asker.0.tlsa(&fixed)), Ok(vec![]), "configuration vouches for it");
    assert_eq!(Asker::of(&world, world.knot.port, Dnssec::Off).tlsa("mx1.example"), Ok(vec![]));
}

#[test]
fn texts_are_whole_and_none_is_an_answer() {
    let world = world();
    let asker = Asker::validating(&world);
    for zone in ["example", "three", "open"] {
        let mut texts = wait(asker.0.txt(&format!("_mta-sts.plain.{zone}"))).expect("texts");
        texts.sort_unstable();
        assert_eq!(texts, ["another", "v=STSv1; id=7;"], "{zone}");
        for absent in ["_mta-sts.other", "_mta-sts.nx", "plain"] {
            assert_eq!(wait(asker.0.txt(&format!("{absent}.{zone}"))), Ok(vec![]), "{absent}.{zone}");
        }
    }
    for name in ["_mta-sts.plain.bare", "_mta-sts.nx.bare"] {
        assert_eq!(wait(asker.0.txt(name)), Err(NoRoute::Bogus), "{name}");
    }
    let gone = Asker::of(&world, free_port(), Dnssec::Validate);
    assert!(wait(gone.0.txt("_mta-sts.plain.example")).is_err());
    assert!(gone.tlsa("mx1.example").is_err(), "no session without knowing");
}

#[test]
fn what_was_changed_after_it_was_signed_is_refused() {
    for zone in ["example", "three"] {
        let world = world();
        world.tamper(zone, |line| {
            let is = |start: &str| line.starts_with(&format!("{start}.{zone}. "));
            match line {
                // Another host for the mail, another address, another certificate, and two records that are gone with their
                // signatures while the denials that are left say that they are there.
                _ if is("plain") && line.contains(" MX 10") => Some(line.replace("mx1", "mx2")),
                _ if is("mx2") && line.contains(" A 127") => Some(line.replace("127.0.0.3", "127.0.0.9")),
                _ if is("_25._tcp.mx1") && line.contains(" TLSA 3") => Some(line.replace("AABB", "BBBB")),
                _ if is("_25._tcp.cnabroad") && line.contains(" TLSA ") => None,
                _ if is("other") && line.contains(" MX ") => None,
                _ if is("nomx") && line.contains(" A ") => None,
                _ => Some(line.to_owned()),
            }
        });
        let asker = Asker::validating(&world);
        assert_eq!(asker.mx(&format!("plain.{zone}")), Err(NoRoute::Bogus), "{zone}");
        assert_eq!(asker.mx(&format!("other.{zone}")), Err(NoRoute::Bogus), "{zone}");
        assert_eq!(asker.mx(&format!("nomx.{zone}")), Err(NoRoute::Bogus), "{zone}");
        assert_eq!(asker.addresses(&format!("mx2.{zone}")), Err(NoAddress::Bogus), "{zone}");
        assert_eq!(asker.tlsa(&format!("mx1.{zone}")), Err(NoAddress::Bogus), "{zone}: changed");
        assert_eq!(asker.tlsa(&format!("cnabroad.{zone}")), Err(NoAddress::Bogus), "{zone}: taken out");
        assert_eq!(asker.mx(&format!("alias.{zone}")), Err(NoRoute::Bogus), "{zone}: by a CNAME that is good");
        assert_eq!(asker.addresses(&format!("mx1.{zone}")), Ok(Secure), "{zone}: untouched");
    }
}

/// What a man in the middle answers to one question; whatever else is asked, he passes on.
fn in_the_middle(
    world: &World,
    (name, kind): (&'static str, RecordType),
    lie: impl Fn(&Message, &crate::support::middle::Server) -> Message + Send + 'static,
) -> Middle {
    Middle::start(world.knot.port, move |question, server| match asks(question, name, kind) {
        true => lie(question, server),
        false => server.ask(question),
    })
}

#[test]
fn a_denial_with_the_papers_of_an_unsigned_zone_is_not_believed() {
    let world = world();
    for denial in ["nx.open.", "nodata.open."] {
        let plain = ("plain.example.", RecordType::MX);
        let middle =
            in_the_middle(&world, plain, move |question, server| server.ask_for(question, denial, RecordType::MX));
        let asker = Asker::of(&world, middle.port, Dnssec::Validate);
        assert_eq!(asker.mx("other.example"), Ok(("mx2.example".into(), Secure)));
        assert_eq!(asker.mx("plain.example"), Err(NoRoute::Bogus), "{denial}");
        let tlsa = ("_25._tcp.mx1.example.", RecordType::TLSA);
        let middle =
            in_the_middle(&world, tlsa, move |question, server| server.ask_for(question, denial, RecordType::MX));
        let asker = Asker::of(&world, middle.port, Dnssec::Validate);
        assert_eq!(asker.tlsa("mx1.example"), Err(NoAddress::Bogus), "{denial}");
    }
}

#[test]
fn a_denial_without_papers_or_with_another_names_is_not_believed() {
    let world = world();
    let plain = ("plain.example.", RecordType::MX);
    let bare = in_the_middle(&world, plain, |question, server| {
        let mut said = server.ask_for(question, "nx.example.", RecordType::MX);
        said.authorities.clear();
        said
    });
    assert_eq!(Asker::of(&world, bare.port, Dnssec::Validate).mx("plain.example"), Err(NoRoute::Bogus));
    let other =
        in_the_middle(&world, plain, |question, server| server.ask_for(question, "zz.example.", RecordType::MX));
    assert_eq!(Asker::of(&world, other.port, Dnssec::Validate).mx("plain.example"), Err(NoRoute::Bogus));
}

#[test]
fn a_wildcard_is_no_answer_for_a_name_that_exists() {
    let world = world();
    assert_eq!(Asker::validating(&world).addresses("is.wild.example"), Ok(Secure));
    let middle = in_the_middle(&world, ("is.wild.example.", RecordType::A), |question, server| {
        let mut said = server.ask_for(question, "a.wild.example.", RecordType::A);
        said.answers.iter_mut().for_each(|record| record.name.clone_from(&question.queries[0].name));
        said.authorities = server.ask_for(question, "nx.open.", RecordType::A).authorities;
        said
    });
    let asker = Asker::of(&world, middle.port, Dnssec::Validate);
    assert_eq!(asker.addresses("is.wild.example"), Err(NoAddress::Bogus));
}

/// Knot leaves `abroad` to us anyway; here he leaves out what follows inside the zone.
#[test]
fn an_answer_that_is_cut_short_does_not_make_a_signed_host_look_unsigned() {
    let world = world();
    let middle = Middle::start(world.knot.port, |question, server| {
        let mut said = server.ask(question);
        if asks(question, "cn.example.", RecordType::A) || asks(question, "alias.example.", RecordType::MX) {
            said.answers.retain(|record| record.name == question.queries[0].name);
        }
        said
    });
    for known in [false, true] {
        let asker = Asker::of(&world, middle.port, Dnssec::Validate);
        if known {
            asker.addresses("mx1.example").expect("an address");
            asker.mx("plain.example").expect("a host");
        }
        for _ in 0..2 {
            assert_eq!(asker.addresses("cn.example"), Ok(Secure), "{known}");
            assert_eq!(asker.tlsa("cn.example"), Ok(vec![record(3, 1, 1, b"\xaa\xbb")]), "{known}");
            assert_eq!(asker.addresses("mx1.example"), Ok(Secure), "{known}");
            assert_eq!(asker.mx("alias.example"), Ok(("mx1.example".into(), Secure)), "{known}");
        }
    }
}

#[test]
fn genuine_records_of_another_name_are_no_answer() {
    let world = world();
    let middle = in_the_middle(&world, ("plain.example.", RecordType::MX), |question, server| {
        let mut said = server.ask(question);
        said.answers.splice(0..0, server.ask_for(question, "other.three.", RecordType::MX).answers);
        said
    });
    let asker = Asker::of(&world, middle.port, Dnssec::Validate);
    let mx = wait(asker.0.mx("plain.example")).expect("a host");
    assert_eq!(mx.hosts.iter().map(|host| host.name.as_str()).collect::<Vec<_>>(), ["mx1.example"]);
}

/// systemd-resolved does so.
#[test]
fn a_resolver_that_gives_signatures_only_to_those_who_check_is_no_trouble() {
    let world = world();
    let middle = Middle::start(world.knot.port, |question, server| {
        let mut said = server.ask(question);
        if !question.metadata.checking_disabled {
            said.answers.retain(|record| record.record_type() != RecordType::RRSIG);
        }
        said
    });
    let asker = Asker::of(&world, middle.port, Dnssec::Validate);
    assert_eq!(asker.mx("plain.example"), Ok(("mx1.example".into(), Secure)));
    assert_eq!(asker.tlsa("mx1.example"), Ok(vec![record(3, 1, 1, b"\xaa\xbb")]));
}

/// Of these a caching resolver answers most: keys of zones above, and what was asked a moment ago. Questions that are under way
/// at once may share one or not, and a slow answer is asked for again: the bounds are loose.
#[test]
fn what_validation_costs_in_queries() {
    let world = world();
    let asker = Asker::validating(&world);
    let asked = || world.knot.queries("all");
    let mut before = asked();
    let mut cost = |what: &str, most: u64| {
        let now = asked();
        println!("{what}: {} queries", now - before);
        assert!(now - before <= most, "{what}: {} queries", now - before);
        before = now;
    };
    for (zone, mx, address, tlsa, again) in [("example", 6, 6, 3, 4), ("three", 6, 6, 3, 4), ("open", 10, 9, 0, 9)] {
        let host = format!("mx1.{zone}");
        asker.mx(&format!("plain.{zone}")).expect("a host");
        cost(&format!("MX of a domain of {zone}"), mx);
        asker.addresses(&host).expect("an address");
        cost(&format!("A and AAAA of a host of {zone}"), address);
        asker.tlsa(&host).expect("an answer");
        cost(&format!("TLSA of a host of {zone}"), tlsa);
        asker.mx(&format!("other.{zone}")).expect("a host");
        cost(&format!("MX of another domain of {zone}"), again);
        asker.addresses(&host).expect("known");
        asker.tlsa(&host).expect("known");
        cost("what is in the cache", 0);
    }
}

/// A resolver that finds secure what `example` says, and tells who asks.
#[test]
fn the_ad_bit_of_a_resolver_counts_where_it_is_trusted() {
    let world = world();
    let middle = Middle::start(world.knot.port, |question, server| {
        let mut said = server.ask(question);
        // What RFC 4035 section 3.2.3 asks of it: everything in the answer is secure.
        let ours = |record: &hickory_resolver::proto::rr::Record| record.name.to_ascii().ends_with("example.");
        let chain_stays = said.answers.iter().all(ours) && !asks(question, "cnabroad.example.", RecordType::A);
        said.metadata.authentic_data = question.metadata.authentic_data && chain_stays;
        said
    });
    let asker = Asker::of(&world, middle.port, Dnssec::TrustAd);
    for _ in 0..2 {
        assert_eq!(asker.mx("plain.example"), Ok(("mx1.example".into(), Secure)));
        assert_eq!(asker.mx("plain.three"), Ok(("mx1.three".into(), Insecure)));
        assert_eq!(asker.addresses("mx1.example"), Ok(Secure));
        assert_eq!(asker.tlsa("mx1.example"), Ok(vec![record(3, 1, 1, b"\xaa\xbb")]));
        assert_eq!((asker.addresses("mx1.open"), asker.tlsa("mx1.open")), (Ok(Insecure), Ok(vec![])));
        // The host's own name is secure; the way on is not.
        assert_eq!(asker.addresses("cnabroad.example"), Ok(Secure));
        assert_eq!(asker.tlsa("cnabroad.example"), Ok(vec![record(2, 0, 2, b"\xcc")]));
        assert_eq!(asker.mx("abroad.example"), Ok(("mx1.open".into(), Insecure)));
    }
    assert_eq!(Asker::of(&world, middle.port, Dnssec::Off).mx("plain.example"), Ok(("mx1.example".into(), Insecure)));
}
