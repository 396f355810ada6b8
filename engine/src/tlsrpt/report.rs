//! The report of one domain and day (RFC 8460 section 4.4).

use super::page::Page;
use super::postman::Sender;
use super::tally::Counted;
use crate::clock::Timestamp;
use aws_lc_rs::digest;
use chrono::DateTime;
use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use std::io::Write;

const SECONDS: u64 = 24 * 3600;

fn utc(seconds: u64) -> DateTime<chrono::Utc> {
    i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or_default()
}

/// A report, ready to be sent.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whom it is about.
    pub domain: String,
    /// Its id: the same whenever it is sent, so that whoever gets it twice knows.
    pub(super) id: String,
    /// What file it would be.
    pub(super) file: String,
    json: String,
}

/// Its JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Whole<'a> {
    organization_name: &'a str,
    date_range: DateRange,
    contact_info: &'a str,
    report_id: &'a str,
    policies: &'a [Counted],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DateRange {
    start_datetime: String,
    end_datetime: String,
}

impl Report {
    /// The report of `page` as it stands at `now`: of a day that is not over, up to then.
    pub fn of(page: &Page, sender: &Sender, now: Timestamp) -> Report {
        let start = page.day.begin().seconds();
        let end = now.seconds().clamp(start, start + SECONDS - 1);
        let submitter = sender.from.domain();
        let named = format!("{submitter} {} {start} {end}", page.domain);
        let unique = HEXLOWER.encode(&digest::digest(&digest::SHA256, named.as_bytes()).as_ref()[..8]);
        let id = format!("{unique}@{submitter}");
        let time = |seconds| utc(seconds).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let whole = Whole {
            organization_name: &sender.organization,
            date_range: DateRange { start_datetime: time(start), end_datetime: time(end) },
            contact_info: &sender.contact,
            report_id: &id,
            policies: page.policies(),
        };
        let json = serde_json::to_string_pretty(&whole).expect("plain values");
        // Section 5.1.
        let file = format!("{submitter}!{}!{start}!{end}!{unique}.json.gz", page.domain);
        Report { domain: page.domain.clone(), id, file, json }
    }

    /// Its JSON.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The same, compressed as it is sent (section 5.2).
    pub(super) fn gzip(&self) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(self.json.as_bytes()).and_then(|()| packed.finish()).expect("memory takes it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Address;
    use serde_json::{Value, json};

    fn sender() -> Sender {
        Sender {
            organization: "Company-X".into(),
            contact: "sts-reporting@company-x.example".into(),
            from: Address::parse("tlsrpt@company-x.example").expect("an address"),
        }
    }

    /// The example of RFC 8460 appendix B, but for what a sender may leave out; it is read as the store would have it, and comes
    /// out with the same fields, names and nesting.
    #[test]
    fn the_rfcs_example() {
        let policies = json!([{
            "policy": {
                "policy-type": "sts",
                "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
                "policy-domain": "company-y.example",
                "mx-host": ["*.mail.company-y.example"],
            },
            "summary": { "total-successful-session-count": 5326, "total-failure-session-count": 303 },
            "failure-details": [
                {
                    "result-type": "certificate-expired", "sending-mta-ip": "2001:db8:abcd:12::1",
                    "receiving-mx-hostname": "mx1.mail.company-y.example", "failed-session-count": 100,
                    "failure-reason-code": "certificate_expired",
                },
                {
                    "result-type": "starttls-not-supported", "sending-mta-ip": "2001:db8:abcd:13::1",
                    "receiving-mx-hostname": "mx2.mail.company-y.example", "receiving-ip": "203.0.113.56",
                    "failed-session-count": 200, "failure-reason-code": "no_starttls",
                },
                {
                    "result-type": "validation-failure", "sending-mta-ip": "198.51.100.62",
                    "receiving-ip": "203.0.113.58", "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                    "failed-session-count": 3, "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                },
            ],
        }]);
        let page = Page::test("2016-04-01", "company-y.example", &policies);
        let report = Report::of(&page, &sender(), Timestamp(u64::MAX));
        let value: Value = serde_json::from_str(report.json()).expect("JSON");
        let expected = json!({
            "organization-name": "Company-X",
            "date-range": { "start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z" },
            "contact-info": "sts-reporting@company-x.example",
            "report-id": report.id,
            "policies": policies,
        });
        assert_eq!(value, expected);
        let unique = report.id.strip_suffix("@company-x.example").expect("ours");
        assert_eq!(report.file, format!("company-x.example!company-y.example!1459468800!1459555199!{unique}.json.gz"));
        let again = Report::of(&page, &sender(), Timestamp(u64::MAX));
        assert_eq!((again.id, again.json), (report.id, report.json));
    }
}
