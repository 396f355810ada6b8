//! How sessions travelled: family `session`, for those who ask years later how a message did.

use super::batch::Batch;
use super::codec::VERSION;
use super::{Error, Family, Store};
use crate::clock::Timestamp;
use crate::mail::{MxTrust, Peer, RunId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What is kept of a session. Outcomes refer to it by its number; it holds nothing of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// When it was opened.
    pub at: Timestamp,
    /// The MX host's name.
    pub host: String,
    /// Where it was.
    pub address: SocketAddr,
    /// The source it was opened from.
    pub source: String,
    /// `TLSv1.3`, `TLSv1.2`, or `none`.
    pub version: String,
    /// The cipher suite as IANA names it; empty without TLS.
    pub suite: String,
    /// The group of the key exchange; empty without TLS, or where it went on from an earlier session without one.
    pub key_exchange: String,
    /// How the peer has proven its name, if it did.
    pub peer: Option<Peer>,
    /// How it was known that the domain's mail goes there.
    pub mx_trust: MxTrust,
    /// SHA-256 of the peer's certificate, in hexadecimal.
    pub certificate: Option<String>,
    /// Whether it went on from an earlier session; the certificate is that one's.
    pub resumed: bool,
}

impl Store {
    /// Keeps a session and gives its number, which no other session of this state directory has. Not synced: it is in the WAL
    /// before every outcome that refers to it, and so on the disk before it.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn put_session(&self, session: &SessionRecord) -> Result<u64, Error> {
        // Turns grow over all engines, and nobody asks that they have no gaps.
        let number = self.turns(1);
        let record = serde_json::to_vec(session).expect("plain values");
        let batch = Batch::of(Family::Session, number.to_be_bytes(), [&[VERSION], record.as_slice()].concat());
        self.write(&batch, false)?;
        Ok(number)
    }

    /// The session of that number.
    ///
    /// # Errors
    /// The store can't be read, or the record is damaged.
    pub fn session(&self, number: u64) -> Result<Option<SessionRecord>, Error> {
        let Some(value) = self.read(Family::Session, &number.to_be_bytes())? else { return Ok(None) };
        let record = value.strip_prefix(&[VERSION]).and_then(|json| serde_json::from_slice(json).ok());
        let damaged = || self.seen(Error::Damaged { family: "session", run: RunId(0), ordinal: number });
        record.map(Some).ok_or_else(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    #[test]
    fn sessions_come_back_by_numbers_that_no_other_engine_gives() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("lock"), "").expect("written");
        let record = |host: &str| SessionRecord {
            at: Timestamp(5),
            host: host.into(),
            address: ([192, 0, 2, 1], 25).into(),
            source: "a".into(),
            version: "TLSv1.3".into(),
            suite: "TLS13_AES_256_GCM_SHA384".into(),
            key_exchange: "X25519MLKEM768".into(),
            peer: Some(Peer::DaneEe),
            mx_trust: MxTrust::Dnssec,
            certificate: Some("ab".repeat(32)),
            resumed: false,
        };
        let mut numbers = Vec::new();
        for engine in 0..3 {
            let store = Store::open(folder.path(), &Settings::default()).expect("a store");
            assert!(store.take_standing(folder.path()).expect("taken").is_ok());
            for host in ["mx1.example", "mx2.example"] {
                numbers.push((store.put_session(&record(host)).expect("written"), format!("{engine}.{host}")));
            }
            assert_eq!(store.session(numbers[0].0).expect("readable"), Some(record("mx1.example")));
            assert_eq!(store.session(1).expect("readable"), None);
        }
        let known: std::collections::BTreeSet<_> = numbers.iter().map(|(number, _)| number).collect();
        assert_eq!(known.len(), 6, "{numbers:?}");
    }
}
