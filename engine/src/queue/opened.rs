//! An open session, and what is kept of it for those who ask later how a message travelled.

use super::Job;
use crate::clock::Timestamp;
use crate::mail::MxTrust;
use crate::smtp::{Evidence, Proof, Session, Target};
use crate::store::SessionRecord;
use data_encoding::HEXLOWER;

/// A session, and what is to be kept of it.
pub(super) struct Opened {
    pub(super) session: Session,
    record: SessionRecord,
    /// Under which number it is kept, once a message was begun on it: sessions that carry nothing leave nothing.
    kept: Option<u64>,
}

impl Opened {
    /// A session that was just opened with `target`, from `source`.
    pub(super) fn new(session: Session, target: Target<'_>, source: &str, mx_trust: MxTrust, now: Timestamp) -> Opened {
        let evidence = session.proof().map(Proof::evidence);
        let text = |part: fn(&Evidence) -> &str| evidence.map_or_else(String::new, |it| part(it).to_owned());
        let record = SessionRecord {
            at: now,
            host: target.host.to_owned(),
            address: target.address,
            source: source.to_owned(),
            version: session.proof().map_or("none", Proof::version).to_owned(),
            suite: text(|evidence| &evidence.suite),
            key_exchange: text(|evidence| &evidence.key_exchange),
            peer: evidence.and_then(|evidence| evidence.peer),
            // Of a session in clear the proof does not say it.
            mx_trust,
            certificate: evidence.and_then(|evidence| evidence.fingerprint).map(|octets| HEXLOWER.encode(&octets)),
            resumed: evidence.is_some_and(|evidence| evidence.resumed),
        };
        Opened { session, record, kept: None }
    }

    /// The number under which it is kept, from the first message on; `None` where the store of `job`'s run has failed.
    pub(super) fn keep(&mut self, job: &Job) -> Option<u64> {
        self.kept = self.kept.or_else(|| job.run.settle.keep_session(&self.record));
        self.kept
    }
}
