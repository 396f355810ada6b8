//! What domains and hosts have shown of TLS, and the policies they publish: small records by name, in family `tls`.

use super::batch::Batch;
use super::codec::VERSION;
use super::db::family;
use super::{Error, Family, Store};

/// What a record is about. The letters are the store's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// An MX host.
    Host,
    /// A recipient's domain.
    Domain,
    /// A domain's MTA-STS policy.
    Policy,
    /// What is to be reported of a domain's day.
    Report,
    /// What a probe has found of a recipient's domain.
    Finding,
}

impl About {
    fn letter(self) -> u8 {
        match self {
            About::Host => b'h',
            About::Domain => b'd',
            About::Policy => b'p',
            About::Report => b'r',
            About::Finding => b'f',
        }
    }

    fn key(self, name: &str) -> Vec<u8> {
        [&[self.letter()], name.as_bytes()].concat()
    }
}

impl Store {
    /// The record about `name`.
    ///
    /// # Errors
    /// The store can't be read, or the record is of a format that we don't know.
    pub fn shown(&self, about: About, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let db = self.db()?;
        let found = db.get_cf(family(&db, Family::Tls), about.key(name));
        let found = found.map_err(|cause| self.seen(Error::reading(Family::Tls, &[], cause)))?;
        found.map(|value| without_version(&value)).transpose()
    }

    /// Replaces the record about `name`. Only a policy is synced: what else is lost with the power is seen again, but whoever
    /// suppresses a policy does not show it again.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_shown(&self, about: About, name: &str, record: &[u8]) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.put(Family::Tls, about.key(name), [&[VERSION], record].concat());
        self.write(&batch, about == About::Policy)
    }

    /// Removes the record about `name`.
    ///
    /// # Errors
    /// As [`put_shown`](Store::put_shown).
    pub fn forget_shown(&self, about: About, name: &str) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.delete(Family::Tls, about.key(name));
        self.write(&batch, false)
    }

    /// Every record of a kind, by name.
    ///
    /// # Errors
    /// As [`shown`](Store::shown).
    pub fn scan_shown(&self, about: About, mut each: impl FnMut(&str, &[u8])) -> Result<(), Error> {
        let db = self.db()?;
        let letter = [about.letter()];
        for entry in db.prefix_iterator_cf(family(&db, Family::Tls), letter) {
            let (key, value) = entry.map_err(|cause| self.seen(Error::reading(Family::Tls, &[], cause)))?;
            let Some(name) = key.strip_prefix(&letter) else { break };
            each(&String::from_utf8_lossy(name), &without_version(&value)?);
        }
        Ok(())
    }
}

fn without_version(value: &[u8]) -> Result<Vec<u8>, Error> {
    let damaged = Error::Damaged { family: "tls", run: crate::mail::RunId(0), ordinal: 0 };
    value.strip_prefix(&[VERSION]).map(<[u8]>::to_vec).ok_or(damaged)
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    #[test]
    fn a_policy_survives_a_loss_of_power() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        let before = store.synced_to();
        store.put_shown(About::Host, "mx.a.example", b"1").expect("written");
        assert_eq!(store.synced_to(), before);
        store.put_shown(About::Policy, "a.example", b"1").expect("written");
        assert!(store.synced_to() > before);
    }

    #[test]
    fn records_are_kept_by_kind_and_name() {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        store.put_shown(About::Host, "mx.a.example", b"1").expect("written");
        store.put_shown(About::Host, "mx.b.example", b"2").expect("written");
        store.put_shown(About::Domain, "mx.a.example", b"3").expect("written");
        store.put_shown(About::Host, "mx.b.example", b"4").expect("replaced");
        assert_eq!(store.shown(About::Domain, "mx.a.example").expect("readable"), Some(b"3".to_vec()));
        assert_eq!(store.shown(About::Policy, "mx.a.example").expect("readable"), None);
        let mut hosts = Vec::new();
        store.scan_shown(About::Host, |name, value| hosts.push((name.to_owned(), value.to_vec()))).expect("readable");
        assert_eq!(hosts, [("mx.a.example".to_owned(), b"1".to_vec()), ("mx.b.example".to_owned(), b"4".to_vec())]);
    }
}
