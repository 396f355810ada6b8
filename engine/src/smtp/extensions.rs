//! What EHLO's reply offers.

use crate::mail::Reply;

/// The extensions that we use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    /// RFC 3207.
    pub(super) starttls: bool,
    /// RFC 2920.
    pub(super) pipelining: bool,
    /// RFC 3030.
    pub(super) chunking: bool,
    /// RFC 2034.
    pub(super) enhanced_codes: bool,
    /// RFC 1870: offered, and the largest message in octets where one is told.
    pub(super) size: Option<Option<u64>>,
    /// RFC 3461.
    pub(super) dsn: bool,
    /// RFC 6531.
    pub(super) smtputf8: bool,
    /// RFC 8689.
    pub(super) requiretls: bool,
    /// RFC 4954: the mechanisms.
    pub(super) auth: Vec<String>,
}

impl Extensions {
    /// Whether a message goes as one chunk. 354 can be nothing but the reply to DATA, and so keeps both sides in step; a 250 to
    /// BDAT could be a late one to RCPT. Only a server whose replies say what they are about is believed without a 354.
    pub(super) fn chunks(&self) -> bool {
        self.pipelining && self.chunking && self.enhanced_codes
    }

    pub(super) fn read(reply: &Reply) -> Extensions {
        let mut found = Extensions::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "STARTTLS" => found.starttls = true,
                "PIPELINING" => found.pipelining = true,
                "CHUNKING" => found.chunking = true,
                "ENHANCEDSTATUSCODES" => found.enhanced_codes = true,
                "SIZE" => found.size = Some(words.next().and_then(|most| most.parse().ok()).filter(|most| *most > 0)),
                "DSN" => found.dsn = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "REQUIRETLS" => found.requiretls = true,
                "AUTH" => found.auth.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        found
    }
}
