//! The message itself, made by mail-builder from our own names and dates.
//!
//! ```text
//! mixed                      only with attachments
//! ├─ alternative             only with text and HTML
//! │  ├─ text/plain
//! │  └─ related              only with inline attachments
//! │     ├─ text/html
//! │     └─ image/png …
//! └─ application/pdf …
//! ```

use super::library::Said;
use crate::clock::Timestamp;
use crate::mail::{Address, Mailbox};
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Header;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::MimePart;
use std::borrow::Cow;

/// Everything that differs from message to message.
pub(super) struct Parts<'a> {
    pub(super) from: &'a Mailbox,
    pub(super) from_name: Option<&'a str>,
    pub(super) reply_to: Option<&'a Mailbox>,
    pub(super) to: &'a Address,
    pub(super) to_name: Option<&'a str>,
    pub(super) date: Timestamp,
    pub(super) message_id: &'a str,
    pub(super) boundary: &'a str,
    pub(super) subject: &'a str,
    /// The same in every message of this wording; ASCII, and never encoded: machines read them.
    pub(super) fixed: &'a [(&'static str, String)],
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) text: &'a Said,
    pub(super) html: Option<&'a Said>,
    pub(super) inline: Vec<MimePart<'a>>,
    pub(super) attached: Vec<MimePart<'a>>,
}

/// Header fields, an empty line and the body, all 7-bit with CR LF; `To` alone is UTF-8 where the address is (RFC 6532).
pub(super) fn message(parts: Parts<'_>) -> Vec<u8> {
    let mut builder = MessageBuilder::new()
        .from(Header::new_address(parts.from_name, parts.from.address.as_str()))
        .to(Header::new_address(parts.to_name, parts.to.as_str()))
        .subject(parts.subject)
        .date(i64::try_from(parts.date.seconds()).unwrap_or(i64::MAX))
        .message_id(parts.message_id);
    if let Some(reply_to) = parts.reply_to {
        builder = builder.reply_to(Header::new_address(reply_to.name.as_deref(), reply_to.address.as_str()));
    }
    for (name, value) in parts.fixed {
        builder = builder.header(*name, Raw::new(value.as_str()));
    }
    for (name, value) in &parts.headers {
        builder = builder.header(*name, Text::new(value.as_str()));
    }
    let enclosed: usize = parts.attached.iter().chain(&parts.inline).map(MimePart::size).sum();
    let said: usize = [parts.text].into_iter().chain(parts.html).map(Said::length).sum();
    let mut octets = Vec::with_capacity(said + enclosed + 1536);
    builder.body(body(parts.boundary, parts.text, parts.html, parts.inline, parts.attached)).serialize(&mut octets);
    octets
}

fn body<'a>(
    boundary: &'a str,
    text: &'a Said,
    html: Option<&'a Said>,
    inline: Vec<MimePart<'a>>,
    attached: Vec<MimePart<'a>>,
) -> MimePart<'a> {
    let html = html.map(|html| with("related", boundary, html.part("text/html"), inline));
    let text = text.part("text/plain");
    let said = match html {
        Some(html) => multipart("alternative", boundary.into(), vec![text, html]),
        None => text,
    };
    with("mixed", boundary, said, attached)
}

impl Said {
    fn part(&self, kind: &'static str) -> MimePart<'_> {
        match self {
            Said::Text(text) => MimePart::new(kind, text),
            Said::Quoted(octets) => {
                let kind = ContentType::new(kind).attribute("charset", "utf-8");
                MimePart::new(kind, octets.as_slice()).transfer_encoding("quoted-printable")
            }
        }
    }

    /// Octets that it takes in a message, nearly.
    fn length(&self) -> usize {
        match self {
            Said::Text(text) => text.len() + text.len() / 4,
            Said::Quoted(octets) => octets.len(),
        }
    }
}

/// `first` alone, or before the `others`.
fn with<'a>(kind: &str, boundary: &str, first: MimePart<'a>, others: Vec<MimePart<'a>>) -> MimePart<'a> {
    if others.is_empty() {
        return first;
    }
    let mut parts = Vec::with_capacity(1 + others.len());
    parts.push(first);
    parts.extend(others);
    // A boundary a level. None begins another, as RFC 2046 section 5.1.2 wants: a token has no full stop.
    multipart(kind, boundary.replacen("=_", &format!("=_{}.", &kind[..1]), 1).into(), parts)
}

fn multipart<'a>(kind: &str, boundary: Cow<'a, str>, parts: Vec<MimePart<'a>>) -> MimePart<'a> {
    MimePart::new(ContentType::new(format!("multipart/{kind}")).attribute("boundary", boundary), parts)
}

#[cfg(test)]
mod tests {
    use crate::clock::Timestamp;
    use crate::render::library::Said;
    use crate::render::renderer::tests::{renderer, row};
    use encodify::qp::BODY;
    use serde_json::json;

    #[test]
    fn encoded_beforehand_or_not() {
        let written = |said: &Said| {
            let mut octets = Vec::new();
            said.part("text/html").write_part(&mut octets);
            String::from_utf8(octets).expect("ASCII")
        };
        for text in ["a word with an é", "<p>é</p>\n.\n=3D \nFrom here to there\n"] {
            let quoted = Said::Quoted(BODY.encode(text).into_bytes());
            assert_eq!(written(&quoted), written(&Said::Text(text.to_owned())));
        }
    }

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

    #[test]
    fn an_address_beyond_ascii_is_the_only_thing_that_is() {
        let renderer = renderer("{{plan}}", "<p>{{name}}</p>", "{{name}}").expect("compiles");
        let mut row = row(json!({"plan": "δ", "name": "δ"}));
        row.to = crate::mail::Address::parse("δοκιμή@παράδειγμα.example").expect("an address");
        let message = String::from_utf8(renderer.render(&row, Timestamp(0)).expect("renders")).expect("UTF-8");
        let field = "To: <δοκιμή@xn--hxajbheg2az3al.example>\r\n";
        assert!(message.contains(field), "{message}");
        assert!(message.replace(field, "").is_ascii(), "{message}");
    }

    #[test]
    fn text_alone_is_one_part() {
        let renderer = renderer("s", "", "{{name}}").expect("compiles");
        let message = renderer.render(&row(json!({"plan": "A", "name": "Ann"})), Timestamp(0)).expect("renders");
        let message = String::from_utf8(message).expect("ASCII");
        assert!(message.contains("Content-Type: text/plain; charset=\"utf-8\"\r\n"), "{message}");
        assert!(!message.contains("multipart") && message.ends_with("\r\nAnn"), "{message:?}");
    }

    proptest::proptest! {
        /// Whatever public columns hold, header lines stay within RFC 5322 section 2.1.1, or the row makes no message.
        #[test]
        fn header_lines_are_short(value in "(\\PC|x{0,90}| ){0,60}", word in 0_usize..3000) {
            let renderer = renderer("{{plan}}", "x", "x").expect("compiles");
            for plan in [value, "x".repeat(word), "\"\\".repeat(word), "é".repeat(word), "=?utf-8?Q?".repeat(word / 10)] {
                if let Ok(message) = renderer.render(&row(json!({"plan": plan})), Timestamp(0)) {
                    let text = String::from_utf8(message).expect("ASCII");
                    proptest::prop_assert!(text.split("\r\n").all(|line| line.len() <= 998));
                }
            }
        }
    }
}
