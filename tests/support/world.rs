//! A DNS with a root of its own, really signed: Knot is the root, the zones below it, and whoever is asked.

use super::Knot;
use std::path::PathBuf;

/// What a zone below the root is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Signed, and its denials are by NSEC.
    Nsec,
    /// Signed, and its denials are by NSEC3.
    Nsec3,
    /// Unsigned, and the root says so.
    No,
    /// Unsigned, where the root says that it is signed: somebody drops the signatures.
    Stripped,
}

/// Its trust anchor is the root's key.
pub struct World {
    /// A zone whose records [`change`](Knot::change) is signed as before.
    pub knot: Knot,
}

impl World {
    /// Serves these zones: name (a single label), how they are signed, and their records, with names relative to the zone as in
    /// `plain MX 10 mx1`, `_25._tcp.mx1 TLSA 3 1 1 …` ([`tlsa`] writes one) or `_mta-sts.plain TXT "v=STSv1; id=1"`.
    pub fn start(zones: &[(&str, Signed, &str)]) -> World {
        let world = World { knot: Knot::still() };
        let mut root = String::new();
        for (name, signed, records) in zones {
            world.knot.write(name, records);
            root.push_str(&format!("{name}. NS ns.{name}.\nns.{name}. A 127.0.0.1\n"));
            if *signed != Signed::No {
                root.push_str(&world.keys(name, " DS "));
            }
            world.sign(name, *signed);
        }
        world.knot.write("root", &root);
        world.sign("root", Signed::Nsec);
        std::fs::write(world.anchors(), world.keys("root", " DNSKEY ")).expect("written");
        world.knot.start_again();
        world
    }

    /// The file for `[dns] trust_anchors`.
    pub fn anchors(&self) -> PathBuf {
        self.knot.path("root.key")
    }

    /// What `[dns]` must say for it to be asked; loopback is not denied.
    pub fn dns(&self) -> String {
        let (port, anchors) = (self.knot.port, self.anchors());
        format!("servers = [\"127.0.0.1:{port}\"]\ntrust_anchors = \"{}\"\ndeny_nets = []\n", anchors.display())
    }

    /// From now on a zone (or `root`) is signed like this; the root says of it what it said before.
    pub fn serve(&self, zone: &str, signed: Signed) {
        self.sign(zone, signed);
        self.knot.script("reload", &[]);
    }

    /// From now on a zone, or a part of one that is delegated, answers SERVFAIL.
    pub fn fail(&self, zone: &str) {
        self.knot.fail(zone);
    }

    /// Changes a zone *after* it was signed: its lines with signatures and denials, `owner. TTL TYPE data` each, are served as
    /// `edit` leaves them; those for which it gives nothing are gone.
    pub fn tamper(&self, zone: &str, edit: impl Fn(&str) -> Option<String>) {
        let signed = self.knot.script("zone", &[zone]);
        let edited: Vec<_> = signed.lines().filter_map(edit).collect();
        assert!(edited.iter().map(String::as_str).ne(signed.lines()), "nothing was changed: {signed}");
        std::fs::write(self.knot.path(&format!("zones/{zone}.zone")), edited.join("\n") + "\n").expect("written");
        self.serve(zone, Signed::Stripped);
    }

    fn sign(&self, zone: &str, signed: Signed) {
        let marker = self.knot.path(&format!("zones/{zone}.signed"));
        match signed {
            Signed::Nsec => std::fs::write(marker, "nsec").expect("written"),
            Signed::Nsec3 => std::fs::write(marker, "nsec3").expect("written"),
            Signed::No | Signed::Stripped => drop(std::fs::remove_file(marker)),
        }
    }

    /// Records of one kind that vouch for a zone's keys.
    fn keys(&self, zone: &str, kind: &str) -> String {
        let all = self.knot.script("keys", &[zone]);
        all.lines().filter(|line| line.contains(kind)).map(|line| format!("{line}\n")).collect()
    }
}

/// A TLSA record of `host` (relative to its zone) with usage, selector and matching type as given.
pub fn tlsa(host: &str, port: u16, [usage, selector, matching]: [u8; 3], data: &[u8]) -> String {
    let data: String = data.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("_{port}._tcp.{host} TLSA {usage} {selector} {matching} {data}\n")
}
