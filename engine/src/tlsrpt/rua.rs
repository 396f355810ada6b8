//! The TXT record by which a domain asks for reports (RFC 8460 section 3).

use crate::mail::Address;
use std::fmt;

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `mailto:`.
    Mail(String),
    /// `https:`, whole.
    Web(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Mail(address) => write!(f, "mailto:{address}"),
            Place::Web(address) => f.write_str(address),
        }
    }
}

/// Places of one record. Nobody needs more, and each costs a connection.
const MOST: usize = 8;

/// Where the TXT `records` of `_smtp._tls.DOMAIN` want reports to go. Nowhere, where no record or more than one is of this
/// version (section 3); what we can't send to is passed over.
pub fn places(records: &[String]) -> Vec<Place> {
    let mut ours = records.iter().filter_map(|record| fields(record));
    let (Some(fields), None) = (ours.next(), ours.next()) else { return Vec::new() };
    let mut rua = fields.split(';').filter_map(|field| field.trim().strip_prefix("rua="));
    let uris = rua.next().unwrap_or_default().split(',');
    uris.filter_map(|uri| place(uri.trim())).take(MOST).collect()
}

fn fields(record: &str) -> Option<&str> {
    record.strip_prefix("v=TLSRPTv1")?.trim_start().strip_prefix(';')
}

fn place(uri: &str) -> Option<Place> {
    let (scheme, rest) = uri.split_once(':')?;
    match scheme.to_ascii_lowercase().as_str() {
        "mailto" => {
            let address = rest.split('?').next().unwrap_or_default();
            // Percent-encoded addresses (RFC 6068) name nobody that a report was ever sent to.
            let address = Address::parse(address).ok().filter(|address| address.as_str().is_ascii())?;
            (!address.as_str().contains('%')).then(|| Place::Mail(address.as_str().to_owned()))
        }
        "https" => {
            let seen = uri.bytes().all(|octet| octet.is_ascii_graphic());
            (rest.starts_with("//") && seen).then(|| Place::Web(uri.to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_reports_are_wanted() {
        let cases: [(&[&str], &[&str]); 13] = [
            (&["v=TLSRPTv1;rua=mailto:reports@example.com"], &["mailto:reports@example.com"]),
            (&["v=TLSRPTv1; rua=https://r.example.com/v1/tlsrpt"], &["https://r.example.com/v1/tlsrpt"]),
            (
                &["v=TLSRPTv1 ; rua=mailto:a@example.com , https://r.example/x;"],
                &["mailto:a@example.com", "https://r.example/x"],
            ),
            (&["other", "v=TLSRPTv1; x=1; rua=MAILTO:a@example.com"], &["mailto:a@example.com"]),
            (&["v=TLSRPTv1; rua=mailto:a@example.com?subject=x"], &["mailto:a@example.com"]),
            (&["v=TLSRPTv1; rua=http://r.example/x,ftp://r.example,mailto:b@example.com"], &["mailto:b@example.com"]),
            (&["v=TLSRPTv1; rua=mailto:a%40b@example.com,mailto:nobody"], &[]),
            (&["v=TLSRPTv1; rua=https:/x,https://r.example/a b"], &[]),
            (&["v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:a@b.example"], &[]),
            (&["v=TLSRPTv2; rua=mailto:a@example.com"], &[]),
            (&["v=TLSRPTv1"], &[]),
            (&["v=TLSRPTv1;"], &[]),
            (&[], &[]),
        ];
        for (records, expected) in cases {
            let records: Vec<_> = records.iter().map(|record| (*record).to_owned()).collect();
            let found: Vec<_> = places(&records).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{records:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_passed_over(text in ".{0,60}", tail in "[ -~]{0,60}") {
            for record in [text, format!("v=TLSRPTv1;{tail}"), format!("v=TLSRPTv1; rua={tail}")] {
                proptest::prop_assert!(places(&[record]).len() <= MOST);
            }
        }
    }
}
