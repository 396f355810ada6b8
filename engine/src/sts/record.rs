//! The TXT record by which a domain says that it has a policy.

use std::fmt;

/// The `id` of a policy: another one means another policy (RFC 8461 section 3.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicyId(String);

/// RFC 5234's WSP.
const BLANK: [char; 2] = [' ', '\t'];

impl PolicyId {
    /// 1 to 32 letters and digits.
    pub fn parse(text: &str) -> Option<PolicyId> {
        let usable = (1..=32).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_alphanumeric());
        usable.then(|| PolicyId(text.to_owned()))
    }

    /// The id that the TXT `records` of `_mta-sts.DOMAIN` announce. None where no record or more than one is of this version,
    /// or where that one is malformed: such a domain has announced nothing (section 3.1).
    pub(super) fn announced(records: &[String]) -> Option<PolicyId> {
        let mut ours = records.iter().filter_map(|record| fields(record));
        match (ours.next(), ours.next()) {
            (Some(fields), None) => id_of(fields),
            _ => None,
        }
    }

    /// As it was announced.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What follows the version and its delimiter. The prose of section 3.1 has no blank before the semicolon, its grammar allows
/// some (erratum 6285): we do.
fn fields(record: &str) -> Option<&str> {
    record.strip_prefix("v=STSv1")?.trim_start_matches(BLANK).strip_prefix(';')
}

/// The first `id` counts (section 3.2); unknown fields are passed over, malformed ones spoil the record.
fn id_of(fields: &str) -> Option<PolicyId> {
    let fields = fields.trim_matches(BLANK);
    let fields = fields.strip_suffix(';').unwrap_or(fields);
    let mut id = None;
    for field in fields.split(';') {
        let (name, value) = field.trim_matches(BLANK).split_once('=')?;
        let well_formed = is_field_name(name) && !value.is_empty() && value.bytes().all(is_value_octet);
        if !well_formed {
            return None;
        }
        if name == "id" && id.is_none() {
            id = Some(PolicyId::parse(value)?);
        }
    }
    id
}

/// The name of a field, in the record as in the policy: `sts-ext-name`.
pub(super) fn is_field_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|octet| octet.is_ascii_alphanumeric());
    first && name.len() <= 32 && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet))
}

/// `sts-ext-value`: what can be seen, but for `=` and `;`.
fn is_value_octet(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b'=' && octet != b';'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn announced(records: &[&str]) -> Option<String> {
        let records: Vec<String> = records.iter().map(|record| (*record).to_owned()).collect();
        PolicyId::announced(&records).map(|id| id.to_string())
    }

    #[test]
    fn which_records_announce_a_policy() {
        let longest = "a".repeat(32);
        let cases: [(&[&str], Option<&str>); 24] = [
            (&["v=STSv1; id=20160831085700Z;"], Some("20160831085700Z")),
            (&["v=STSv1;id=1"], Some("1")),
            (&["v=STSv1 ;\tid=1 ; "], Some("1")),
            (&["v=STSv1; x-new.1_2=a:b/c; id=1"], Some("1")),
            (&["v=STSv1; id=1; id=2"], Some("1")),
            (&["v=spf1 -all", "v=STSv1; id=1"], Some("1")),
            (&[&format!("v=STSv1; id={longest};")], Some(&longest)),
            (&["v=STSv1; id=1", "v=STSv1; id=1"], None),
            (&["v=STSv1; id=1", "v=STSv1;"], None),
            (&[], None),
            (&[""], None),
            (&["v=STSv1"], None),
            (&["v=STSv1;"], None),
            (&["v=STSv1; ID=1"], None),
            (&["v=STSv2; id=1"], None),
            (&["V=STSv1; id=1"], None),
            (&[" v=STSv1; id=1"], None),
            (&["v=STSv1; id="], None),
            (&["v=STSv1; id=1-2"], None),
            (&["v=STSv1; id = 1"], None),
            (&[&format!("v=STSv1; id={longest}a;")], None),
            (&["v=STSv1; id=1; nonsense"], None),
            (&["v=STSv1; id=1;; a=b"], None),
            (&["v=STSv1; id=1; a=b=c"], None),
        ];
        for (records, id) in cases {
            assert_eq!(announced(records).as_deref(), id, "{records:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}", tail in "[ -~\t]{0,60}") {
            for record in [text, format!("v=STSv1;{tail}")] {
                if let Some(id) = announced(&[&record]) {
                    prop_assert!((1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric()));
                    prop_assert!(record.contains(&id));
                }
            }
        }
    }
}
