//! What sources that warm up have sent whom: family `allowance`. Small records by provider and address; what is in them is the
//! business of `warmup`.

use super::batch::Batch;
use super::codec::VERSION;
use super::db::past;
use super::{Error, Family, Store};
use crate::mail::RunId;
use std::net::IpAddr;

impl Store {
    /// The record of what `address` sent `provider`.
    ///
    /// # Errors
    /// The store can't be read, or the record is damaged.
    pub fn allowance(&self, address: IpAddr, provider: u64) -> Result<Option<Vec<u8>>, Error> {
        let found = self.read(Family::Allowance, &key(address, provider))?;
        found.map(|value| content(&value).map(<[u8]>::to_vec).map_err(|error| self.seen(error))).transpose()
    }

    /// Replaces it. Not synced: it is in the WAL before the lease of the message that it counts, and so on the disk before
    /// that message is ready.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_allowance(&self, address: IpAddr, provider: u64, record: &[u8]) -> Result<(), Error> {
        let value = [&[VERSION], record].concat();
        self.write(&Batch::of(Family::Allowance, key(address, provider), value), false)
    }

    /// Every record with its address and provider.
    ///
    /// # Errors
    /// As [`allowance`](Store::allowance).
    pub fn scan_allowances(&self, mut each: impl FnMut(IpAddr, u64, &[u8])) -> Result<(), Error> {
        self.scan_range(Family::Allowance, &[], past(&[]), |key, value| {
            let (address, provider) = split(key).ok_or_else(damaged)?;
            each(address, provider, content(value)?);
            Ok(true)
        })
    }

    /// Removes the records that are `stale`.
    ///
    /// # Errors
    /// As [`put_allowance`](Store::put_allowance), and where one can't be read.
    pub fn forget_allowances(&self, stale: impl Fn(&[u8]) -> bool) -> Result<(), Error> {
        let mut batch = Batch::default();
        self.scan_allowances(|address, provider, record| {
            if stale(record) {
                batch.delete(Family::Allowance, key(address, provider));
            }
        })?;
        if batch.is_empty() { Ok(()) } else { self.write(&batch, false) }
    }
}

/// Provider, then the address's 4 or 16 octets.
fn key(address: IpAddr, provider: u64) -> Vec<u8> {
    let mut key = provider.to_be_bytes().to_vec();
    match address {
        IpAddr::V4(four) => key.extend(four.octets()),
        IpAddr::V6(six) => key.extend(six.octets()),
    }
    key
}

fn split(key: &[u8]) -> Option<(IpAddr, u64)> {
    let (provider, address) = key.split_first_chunk::<8>()?;
    let address = match address.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
    };
    Some((address, u64::from_be_bytes(*provider)))
}

fn content(value: &[u8]) -> Result<&[u8], Error> {
    value.strip_prefix(&[VERSION]).ok_or_else(damaged)
}

fn damaged() -> Error {
    Error::Damaged { family: "allowance", run: RunId(0), ordinal: 0 }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    #[test]
    fn records_are_kept_by_provider_and_address_and_survive_the_process() {
        let folder = tempfile::tempdir().expect("folder");
        let (four, six): (IpAddr, IpAddr) = ("192.0.2.1".parse().expect("one"), "2001:db8::1".parse().expect("one"));
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        store.put_allowance(four, 7, b"old").expect("written");
        store.put_allowance(six, 7, b"new").expect("written");
        store.put_allowance(four, 8, b"old").expect("written");
        store.put_allowance(four, 7, b"new").expect("replaced");
        drop(store);
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        assert_eq!(store.allowance(four, 7).expect("readable"), Some(b"new".to_vec()));
        assert_eq!(store.allowance(six, 8).expect("readable"), None);
        store.forget_allowances(|record| record == b"old").expect("forgotten");
        let mut all = Vec::new();
        store.scan_allowances(|address, provider, _| all.push((address, provider))).expect("readable");
        all.sort();
        assert_eq!(all, [(four, 7), (six, 7)]);
    }

    /// It is the lease behind it that makes it so.
    #[test]
    fn what_a_message_took_is_on_the_disk_before_it_is_ready() {
        use crate::clock::Timestamp;
        use crate::store::{Leave, WalEnd};
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(folder.path(), &Settings::default()).expect("a store");
        store.put_allowance("192.0.2.1".parse().expect("one"), 7, b"1").expect("written");
        let taken = WalEnd::of(folder.path());
        assert!(store.synced_to() < taken, "it costs no sync of its own");
        let leave = Leave { run: RunId(1), ordinal: 1, first: Timestamp(1), doubted: false };
        store.lease([leave].into_iter(), true).expect("leased");
        assert!(store.synced_to() > taken);
    }
}
