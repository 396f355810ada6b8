//! The mail that carries a report (RFC 8460 section 5.3).

use super::postman::Sender;
use super::report::Report;
use crate::clock::Timestamp;
use crate::mail::Message;
use crate::sign::Signer;
use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};

/// The signed mail with `report` for `to`.
pub(super) fn letter(report: &Report, to: &str, sender: &Sender, signer: &Signer, now: Timestamp) -> Message {
    let Report { domain, id, file, .. } = report;
    let submitter = sender.from.domain();
    let said = format!(
        "This is an aggregate report of TLS (RFC 8460) from {} about mail to {domain}.\r\n\
         Whom to ask about it: {}\r\n",
        sender.organization, sender.contact
    );
    let packed = MimePart::new(ContentType::new("application/tlsrpt+gzip"), BodyPart::Binary(report.gzip().into()));
    let kind = ContentType::new("multipart/report").attribute("report-type", "tlsrpt");
    let unique = id.split('@').next().unwrap_or_default();
    let kind = kind.attribute("boundary", format!("=_{unique}"));
    let body = MimePart::new(kind, vec![MimePart::new("text/plain", said), packed.attachment(file.as_str())]);
    let content = MessageBuilder::new()
        .from(sender.from.as_str())
        .to(to)
        .subject(format!("Report Domain: {domain} Submitter: {submitter} Report-ID: <{id}>"))
        .date(i64::try_from(now.seconds()).unwrap_or(i64::MAX))
        .message_id(id.as_str())
        .header("TLS-Report-Domain", Raw::new(domain.as_str()))
        .header("TLS-Report-Submitter", Raw::new(submitter))
        // It tells of TLS that fails, and so must not wait for it (RFC 8689 section 5).
        .header("TLS-Required", Raw::new("No"))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .body(body)
        .write_to_vec()
        .expect("memory takes it");
    Message::sealed(signer.sign(&content, now), &content)
}
