//! The message itself, made by mail-builder from our own names and dates.

use crate::clock::Timestamp;
use crate::mail::{Address, Mailbox};
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Header;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::text::Text;
use mail_builder::mime::MimePart;

/// Everything that differs from message to message.
pub(super) struct Parts<'a> {
    pub(super) from: &'a Mailbox,
    pub(super) reply_to: Option<&'a Mailbox>,
    pub(super) to: &'a Address,
    pub(super) date: Timestamp,
    pub(super) message_id: &'a str,
    pub(super) boundary: &'a str,
    pub(super) subject: &'a str,
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) text: &'a str,
    pub(super) html: &'a str,
}

/// Header fields, an empty line and a `multipart/alternative` body of text and HTML, all 7-bit with CR LF.
pub(super) fn message(parts: &Parts<'_>) -> Vec<u8> {
    let mut builder = MessageBuilder::new()
        .from(mailbox(parts.from))
        .to(Header::new_address(None::<&str>, parts.to.as_str()))
        .subject(parts.subject)
        .date(i64::try_from(parts.date.seconds()).unwrap_or(i64::MAX))
        .message_id(parts.message_id);
    if let Some(reply_to) = parts.reply_to {
        builder = builder.reply_to(mailbox(reply_to));
    }
    for (name, value) in &parts.headers {
        builder = builder.header(*name, Text::new(value.as_str()));
    }
    let body = MimePart::new(
        ContentType::new("multipart/alternative").attribute("boundary", parts.boundary),
        vec![MimePart::new("text/plain", parts.text), MimePart::new("text/html", parts.html)],
    );
    let mut octets = Vec::with_capacity(parts.text.len() + parts.html.len() + parts.html.len() / 4 + 1024);
    builder.body(body).serialize(&mut octets);
    octets
}

fn mailbox(mailbox: &Mailbox) -> Header<'_> {
    Header::new_address(mailbox.name.as_deref(), mailbox.address.as_str())
}

#[cfg(test)]
mod tests {
    use crate::clock::Timestamp;
    use crate::render::template::tests::{renderer, row};
    use serde_json::json;

    #[test]
    fn seven_bit_short_lines_and_the_same_every_time() {
        let renderer = renderer("{{plan}}", "<p>{{name}}</p>", "{{name}}").expect("compiles");
        let long = "é".repeat(3000);
        for name in ["Ann", "Víctor", long.as_str(), ".\r\n..\n.x", &"x".repeat(5000)] {
            let row = row(
                json!({"plan": "Blüe ✓ a very long plan name that goes on and on past where a line may end", "name": name}),
            );
            let message = renderer.render(&row, Timestamp(1_700_000_000_000)).expect("renders");
            assert!(message.is_ascii());
            let text = String::from_utf8(message.clone()).expect("ASCII");
            for line in text.split("\r\n") {
                assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line}");
            }
            for field in ["From: ", "To: ", "Subject: ", "Date: ", "Message-ID: ", "MIME-Version: "] {
                assert_eq!(
                    text.matches(&format!("\r\n{field}")).count() + usize::from(text.starts_with(field)),
                    1,
                    "{field}"
                );
            }
            assert!(text.contains("Date: Tue, 14 Nov 2023 22:13:20 +0000"), "{text}");
            assert_eq!(renderer.render(&row, Timestamp(1_700_000_000_000)).expect("again"), message);
        }
    }
}
