//! Keys and values as octets. See the module's format table.

use crate::clock::Timestamp;
use crate::mail::{Address, Addressee, Class, Enhanced, Fields, Kind, Origin, Outcome, Row, RunId};
use crate::secret::{DataKey, Place};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub(super) const VERSION: u8 = 2;
const OUTCOME_HEAD: usize = 1 + 1 + 8 + 4 + 2 + 5 + 1;

/// `parts` one after the other, big-endian.
pub(super) fn key(run: RunId, parts: &[u64]) -> Vec<u8> {
    let mut key = run.octets().to_vec();
    for part in parts {
        key.extend_from_slice(&part.to_be_bytes());
    }
    key
}

/// The number at `at` of a key.
pub(super) fn number(key: &[u8], at: usize) -> Option<u64> {
    key.get(at * 8..at * 8 + 8)?.try_into().ok().map(u64::from_be_bytes)
}

/// The bit that says of an outcome's kind or a lease's hold that an earlier attempt was in doubt.
const DOUBTED: u8 = 0x80;
/// The bit of an outcome's kind that says that the number of a session follows the reason.
const TRAVELLED: u8 = 0x40;
/// The bit of an outcome's kind that says that what is sealed is JSON: the addressee beside the text.
const ADDRESSED: u8 = 0x20;

/// The bit of an outcome's kind that says that the number of a class follows the reason, before that of a session.
const CLASSED: u8 = 0x10;

pub(super) fn flagged(number: u8, doubted: bool) -> u8 {
    number | if doubted { DOUBTED } else { 0 }
}

pub(super) fn unflagged(octet: u8) -> (u8, bool) {
    (octet & !DOUBTED, octet & DOUBTED != 0)
}

/// An outcome as a value of the `outcome` family.
pub fn encode_outcome(outcome: &Outcome, run: RunId, ordinal: u64, key: &DataKey) -> Vec<u8> {
    let travelled = if outcome.session.is_some() { TRAVELLED } else { 0 };
    let addressed = if outcome.addressee.is_some() { ADDRESSED } else { 0 };
    let classed = if outcome.class.is_some() { CLASSED } else { 0 };
    let mut value = vec![VERSION, flagged(outcome.kind.number() | travelled | addressed | classed, outcome.doubted)];
    value.extend_from_slice(&outcome.at.0.to_be_bytes());
    value.extend_from_slice(&outcome.attempts.to_be_bytes());
    value.extend_from_slice(&outcome.code.unwrap_or(0).to_be_bytes());
    let enhanced = outcome.enhanced.unwrap_or(Enhanced(0, 0, 0));
    value.push(enhanced.0);
    value.extend_from_slice(&enhanced.1.to_be_bytes());
    value.extend_from_slice(&enhanced.2.to_be_bytes());
    push_label(&outcome.reason, &mut value);
    value.extend(outcome.class.map(Class::number));
    value.extend(outcome.session.into_iter().flat_map(u64::to_be_bytes));
    if let Some(plain) = sealed_part(outcome) {
        value.extend(key.seal(Place::Row("outcome", run, ordinal), &plain));
    }
    value
}

/// Reads an outcome; its text stays empty without the run's key. `None` if the value is damaged.
pub fn decode_outcome(value: &[u8], run: RunId, ordinal: u64, key: Option<&DataKey>) -> Option<Outcome> {
    if value.len() < OUTCOME_HEAD || value[0] != VERSION {
        return None;
    }
    let (head, rest) = value.split_at(OUTCOME_HEAD);
    let short = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (reason, mut rest) = rest.split_at_checked(usize::from(head[OUTCOME_HEAD - 1]))?;
    let (flags, doubted) = unflagged(head[1]);
    let (mut class, mut session) = (None, None);
    if flags & CLASSED != 0 {
        let (number, behind) = rest.split_first()?;
        (class, rest) = (Some(Class::from_number(*number)?), behind);
    }
    if flags & TRAVELLED != 0 {
        let (number, sealed) = rest.split_first_chunk::<8>()?;
        (session, rest) = (Some(u64::from_be_bytes(*number)), sealed);
    }
    let (text, addressee) = match key {
        Some(key) if !rest.is_empty() => {
            opened_part(key.open(Place::Row("outcome", run, ordinal), rest)?, flags & ADDRESSED != 0)?
        }
        _ => (String::new(), None),
    };
    Some(Outcome {
        kind: Kind::from_number(flags & !TRAVELLED & !ADDRESSED & !CLASSED)?,
        doubted,
        at: Timestamp(u64::from_be_bytes(head[2..10].try_into().ok()?)),
        attempts: u32::from_be_bytes(head[10..14].try_into().ok()?),
        code: Some(short(14)).filter(|code| *code != 0),
        enhanced: (head[16] != 0).then(|| Enhanced(head[16], short(17), short(19))),
        class,
        reason: String::from_utf8(reason.to_vec()).ok()?,
        text,
        session,
        addressee,
    })
}

/// What is sealed of an outcome whose row a letter may follow.
#[derive(Serialize, Deserialize)]
struct SealedEnd {
    text: String,
    to: String,
    key: String,
}

fn sealed_part(outcome: &Outcome) -> Option<Zeroizing<Vec<u8>>> {
    let text = &outcome.text;
    let Some(Addressee { to, key }) = &outcome.addressee else {
        return (!text.is_empty()).then(|| text.clone().into_bytes().into());
    };
    let whole = SealedEnd { text: text.clone(), to: to.clone(), key: key.clone() };
    Some(serde_json::to_vec(&whole).expect("text serialises").into())
}

fn opened_part(plain: Vec<u8>, addressed: bool) -> Option<(String, Option<Addressee>)> {
    if !addressed {
        return Some((String::from_utf8(plain).ok()?, None));
    }
    let SealedEnd { text, to, key } = serde_json::from_slice(&Zeroizing::new(plain)).ok()?;
    Some((text, Some(Addressee { to, key })))
}

#[derive(Serialize, Deserialize)]
struct SealedRow {
    to: String,
    fields: Fields,
    attempts: u32,
    first: Option<Timestamp>,
    /// Not there in rows that were sealed before it was written.
    #[serde(default)]
    doubted: bool,
}

/// A row as a value of `deferred`. `why` is what it waits for: codes and closed labels, no PHI.
pub(super) fn encode_deferred(row: &Row, why: &str, run: RunId, key: &DataKey) -> Vec<u8> {
    let mut value = vec![VERSION];
    push_label(why, &mut value);
    value.extend(seal(row, "deferred", run, key));
    value
}

/// A row as a value of `backlog`, whose key says nothing of its ordinal.
pub(super) fn encode_backlog(row: &Row, run: RunId, key: &DataKey) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(&row.ordinal.to_be_bytes());
    value.extend(seal(row, "backlog", run, key));
    value
}

fn seal(row: &Row, family: &'static str, run: RunId, key: &DataKey) -> Vec<u8> {
    let plain = SealedRow {
        to: row.to.as_str().to_owned(),
        fields: row.fields.clone(),
        attempts: row.attempts,
        first: row.first_attempt,
        doubted: row.doubted,
    };
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(&plain).expect("JSON values serialise"));
    key.seal(Place::Row(family, run, row.ordinal), &plain)
}

/// Why a deferred row waits, and its sealed part; `None` if the value is damaged.
pub(super) fn split_deferred(value: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = value.strip_prefix(&[VERSION])?.split_first()?;
    let (why, sealed) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(why).ok()?, sealed))
}

/// The ordinal of a row in the backlog, and its sealed part; `None` if the value is damaged.
pub(super) fn split_backlog(value: &[u8]) -> Option<(u64, &[u8])> {
    let (ordinal, sealed) = value.strip_prefix(&[VERSION])?.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*ordinal), sealed))
}

/// A closed label of at most 255 octets behind its length.
fn push_label(label: &str, value: &mut Vec<u8>) {
    let length = u8::try_from(label.len()).unwrap_or(u8::MAX);
    value.push(length);
    value.extend_from_slice(&label.as_bytes()[..usize::from(length)]);
}

/// Opens a sealed row; `None` if it is damaged or not of this place.
pub(super) fn open_row(
    sealed: &[u8],
    family: &'static str,
    run: RunId,
    ordinal: u64,
    origin: Origin,
    key: &DataKey,
) -> Option<Row> {
    let plain = zeroize::Zeroizing::new(key.open(Place::Row(family, run, ordinal), sealed)?);
    let row: SealedRow = serde_json::from_slice(&plain).ok()?;
    Some(Row {
        ordinal,
        to: Address::parse(&row.to).ok()?,
        fields: row.fields,
        attempts: row.attempts,
        first_attempt: row.first,
        doubted: row.doubted,
        origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        let class = proptest::option::of(proptest::sample::select(Class::ALL.to_vec()));
        let flags = (any::<bool>(), any::<bool>(), any::<Option<u64>>(), class);
        let addressee = proptest::option::of(("\\PC{1,40}", "\\PC{0,40}"));
        let texts = ("[a-z_]{0,40}", "\\PC{0,80}", addressee);
        (0..Kind::ALL.len(), any::<u64>(), any::<u32>(), 0_u16..600, flags, texts).prop_map(
            |(kind, at, attempts, code, (enhanced, doubted, session, class), (reason, text, addressee))| Outcome {
                kind: Kind::ALL[kind],
                doubted,
                at: Timestamp(at),
                attempts,
                code: Some(code).filter(|code| *code != 0),
                enhanced: enhanced.then_some(Enhanced(5, 7, 509)),
                class,
                reason,
                text,
                session,
                addressee: addressee.map(|(to, key)| Addressee { to, key }),
            },
        )
    }

    proptest! {
        #[test]
        fn outcomes_come_back(outcome in any_outcome(), run: u64, ordinal: u64) {
            let key = DataKey::new(&[3; 32]);
            let value = encode_outcome(&outcome, RunId(run), ordinal, &key);
            prop_assert_eq!(decode_outcome(&value, RunId(run), ordinal, Some(&key)), Some(outcome.clone()));
            let without = decode_outcome(&value, RunId(run), ordinal, None).expect("readable without the key");
            prop_assert_eq!(without.text, "");
            prop_assert_eq!((without.addressee, without.session), (None, outcome.session));
            prop_assert_eq!(without.class, outcome.class);
            prop_assert_eq!(without.kind, outcome.kind);
        }

        #[test]
        fn damaged_outcomes_do_not_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_outcome(&value, RunId(1), 1, Some(&DataKey::new(&[3; 32])));
        }
    }

    #[test]
    fn an_outcome_that_was_written_before_sessions_and_classes_were_kept_is_read() {
        let key = DataKey::new(&[3; 32]);
        let mut value = vec![VERSION, 2];
        value.extend([0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 2, 38, 5, 0, 1, 0, 1, 0]);
        value.extend(key.seal(Place::Row("outcome", RunId(1), 4), b"no such user"));
        let outcome = decode_outcome(&value, RunId(1), 4, Some(&key)).expect("readable");
        assert_eq!((outcome.kind, outcome.session, outcome.text.as_str()), (Kind::Bounced, None, "no such user"));
        assert_eq!(outcome.class, None);
        assert_eq!((outcome.why().as_str(), outcome.addressee), ("550 5.1.1", None));
    }

    proptest! {
        #[test]
        fn damaged_rows_do_not_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let key = DataKey::new(&[3; 32]);
            for sealed in [split_deferred(&value).map(|(_, sealed)| sealed), split_backlog(&value).map(|(_, sealed)| sealed)] {
                prop_assert!(sealed.and_then(|sealed| open_row(sealed, "backlog", RunId(1), 9, Origin::Input, &key)).is_none());
            }
        }
    }

    #[test]
    fn a_row_that_was_sealed_before_doubt_was_kept_opens() {
        let key = DataKey::new(&[3; 32]);
        let plain = br#"{"to":"ann@b.example","fields":{},"attempts":2,"first":5}"#;
        let sealed = key.seal(Place::Row("backlog", RunId(1), 9), plain);
        let row = open_row(&sealed, "backlog", RunId(1), 9, Origin::Input, &key).expect("opens");
        assert_eq!((row.attempts, row.doubted), (2, false));
    }

    #[test]
    fn rows_come_back_from_their_own_place_only() {
        let key = DataKey::new(&[3; 32]);
        let mut row = Row {
            ordinal: 9,
            to: Address::parse("ann@b.example").expect("an address"),
            fields: Fields::default(),
            attempts: 2,
            first_attempt: Some(Timestamp(5)),
            doubted: true,
            origin: Origin::Input,
        };
        row.fields.0.insert("zip".into(), "02155".into());
        let value = encode_deferred(&row, "450 4.2.1", RunId(1), &key);
        let (why, sealed) = split_deferred(&value).expect("well made");
        assert_eq!(why, "450 4.2.1");
        let back = open_row(sealed, "deferred", RunId(1), 9, Origin::Input, &key).expect("opens");
        assert_eq!(
            (back.to, back.fields, back.attempts, back.first_attempt, back.doubted),
            (row.to.clone(), row.fields.clone(), 2, Some(Timestamp(5)), true)
        );
        assert!(open_row(sealed, "backlog", RunId(1), 9, Origin::Input, &key).is_none());
        let value = encode_backlog(&row, RunId(1), &key);
        let (ordinal, sealed) = split_backlog(&value).expect("well made");
        assert_eq!(ordinal, 9);
        assert!(open_row(sealed, "backlog", RunId(1), 9, Origin::Input, &key).is_some());
        assert!(open_row(sealed, "deferred", RunId(1), 9, Origin::Input, &key).is_none());
    }
}
