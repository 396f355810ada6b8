//! What a notice says that a server said. Only as much of reading notices as the table's test needs.
//!
//! 1. A `message/feedback-report` is a complaint, and what an autoresponder sent is its own: neither is a reply to us.
//! 2. `message/delivery-status`: the Diagnostic-Code of each recipient. Where there is none, the comment of its Status, if that is
//!    a sentence.
//! 3. Else the part for people, as far as the original message does not follow: lines with a reply code, or one line for each
//!    recipient of a Sendmail's transcript. The sentence before goes with it: gateways tell there what they make of it.
//! 4. Else what stands there from the first address on.
//!
//! The step is what is said of it: `in reply to RCPT TO`, `>>> DATA`, and so on.

use crate::mail::Enhanced;
use crate::smtp::Step;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::{ContentType, Message, MessageParser, MessagePart, MimeHeaders, PartType};
use std::collections::HashMap;

/// A notice.
pub(super) enum Notice {
    /// Somebody complained, or somebody is on holiday.
    NoReply,
    /// What was said of each recipient.
    Said(Vec<Statement>),
}

/// What was said of a recipient.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) step: Option<Step>,
    pub(super) code: u16,
    pub(super) enhanced: Option<Enhanced>,
    pub(super) text: String,
}

/// Reads a notice.
pub(super) fn read(octets: &[u8]) -> Notice {
    let message = MessageParser::default().parse(octets).expect("a message");
    let mut parts = Parts::of(&message);
    // Microsoft's have a subject instead of a type.
    if parts.is_complaint || message.subject().is_some_and(|subject| subject.contains("complaint about message")) {
        return Notice::NoReply;
    }
    if parts.status.is_empty() && parts.human.to_ascii_lowercase().contains("\nfinal-recipient:") {
        parts.status = parts.human.clone();
    }
    let lines = parts.lines();
    let spoken = spoken(&lines);
    let blocks = blocks(&parts.status);
    if blocks.is_empty() && spoken.is_empty() && is_auto_reply(&message) {
        return Notice::NoReply;
    }
    let body = lines.join("\n");
    let of_block = |(number, block): (usize, &Block)| {
        let told = || spoken.get(number.min(spoken.len().saturating_sub(1))).cloned();
        block.statement(&body).or_else(told).unwrap_or_else(|| whole(&lines, block.get("status").map(String::as_str)))
    };
    let mut said: Vec<_> = blocks.iter().enumerate().map(of_block).collect();
    if said.is_empty() {
        said = spoken;
    }
    if said.is_empty() {
        said.push(whole(&lines, None));
    }
    Notice::Said(said)
}

/// The parts of a notice that matter.
#[derive(Default)]
struct Parts {
    status: String,
    human: String,
    is_complaint: bool,
}

impl Parts {
    fn of(message: &Message<'_>) -> Parts {
        let mut parts = Parts::default();
        for part in &message.parts {
            let kind = part.content_type().map_or("text", ContentType::ctype).to_ascii_lowercase();
            let subtype = part.content_type().and_then(ContentType::subtype).unwrap_or("plain").to_ascii_lowercase();
            match (kind.as_str(), subtype.as_str()) {
                ("message", "feedback-report") => parts.is_complaint = true,
                ("message", "delivery-status") => {
                    parts.status.push_str(&text_of(part.contents()));
                    parts.status.push('\n');
                }
                // What a gateway passes on.
                ("message", "rfc822") => parts.status.push_str(&nested_status(part)),
                ("text", "rfc822-headers") => {}
                ("text", _) if parts.human.trim().is_empty() => {
                    part.text_contents().unwrap_or_default().clone_into(&mut parts.human);
                }
                _ => {}
            }
        }
        parts
    }

    /// The part for people, up to the original message.
    fn lines(&self) -> Vec<&str> {
        let plain = self.human.lines().map(|line| line.trim_start_matches("> "));
        let mut any = false;
        plain
            .take_while(|line| {
                let over = any && is_end(line);
                any |= !line.trim().is_empty();
                !over
            })
            .collect()
    }
}

/// The delivery status inside a message that is a report itself.
fn nested_status(part: &MessagePart<'_>) -> String {
    let PartType::Message(inner) = &part.body else { return String::new() };
    let is_report = inner.content_type().and_then(ContentType::subtype).is_some_and(|kind| kind == "report");
    if is_report { Parts::of(inner).status } else { String::new() }
}

/// Octets as text: Japanese in seven bits (RFC 1468), or UTF-8.
fn text_of(octets: &[u8]) -> String {
    let decoder = charset_decoder(b"iso-2022-jp").filter(|_| octets.windows(2).any(|two| two == b"\x1b$"));
    decoder.map_or_else(|| String::from_utf8_lossy(octets).into_owned(), |decode| decode(octets))
}

/// Whether the original message begins behind this line.
fn is_end(line: &str) -> bool {
    let line = line.trim_start_matches(|octet: char| !octet.is_alphanumeric()).to_ascii_lowercase();
    ENDS.iter().any(|end| line.starts_with(end))
}

const ENDS: [&str; 14] = [
    "original message",
    "below this line",
    "below is a copy",
    "message headers follow",
    "this is a copy of",
    "included is a copy",
    "enclosed is a copy",
    "returned message",
    "unsent message",
    "the header of the original",
    "return-path:",
    "received:",
    "message details",
    "final-recipient:",
];

/// The fields of one recipient in a delivery status (RFC 3464 section 2.3).
#[derive(Default)]
struct Block(HashMap<String, String>);

impl Block {
    fn get(&self, name: &str) -> Option<&String> {
        self.0.get(name)
    }

    fn statement(&self, body: &str) -> Option<Statement> {
        let status = self.get("status").map(String::as_str);
        let diagnostic = self.get("diagnostic-code").map_or("", String::as_str);
        let (kind, text) = diagnostic.split_once(';').unwrap_or(("", diagnostic));
        let comment =
            status.and_then(|status| status.split_once('(')).map(|(_, comment)| comment.trim_end_matches(')'));
        // What kind of mailbox trouble PowerMTA takes it for.
        let category = self.get("x-powermta-bouncecategory").map_or("", String::as_str);
        match text.trim() {
            "" => comment.filter(|comment| comment.len() > 16).map(|comment| statement(comment, status, "")),
            _ if kind.trim().eq_ignore_ascii_case("x-unix") => None,
            text => Some(statement(&format!("{text} {category}"), status, &format!("{text}\n{body}"))),
        }
    }
}

fn blocks(status: &str) -> Vec<Block> {
    let mut blocks = vec![Block::default()];
    let mut name = String::new();
    for line in status.lines() {
        let block = blocks.last_mut().expect("one at least");
        if line.trim().is_empty() {
            blocks.push(Block::default());
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = block.0.get_mut(&name) {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((field, value)) = line.split_once(':') {
            name = field.trim().to_ascii_lowercase();
            block.0.insert(name.clone(), value.trim().to_owned());
        }
    }
    let of_recipient = |block: &Block| {
        ["final-recipient", "original-recipient", "diagnostic-code"].iter().any(|name| block.get(name).is_some())
    };
    blocks.retain(of_recipient);
    blocks
}

/// What lines with a reply code in the part for people say.
fn spoken(lines: &[&str]) -> Vec<Statement> {
    let mut all: Vec<Line> = Vec::new();
    let (mut command, mut sentence, mut open) = ("", "", false);
    for (number, raw) in lines.iter().enumerate() {
        let line = raw.trim();
        if line.is_empty() {
            open = false;
            continue;
        }
        if line.starts_with(">>> ") {
            command = line;
        }
        if begins_reply(line) {
            let around = |from: usize, to: usize| lines[from..to.min(lines.len())].join(" ");
            let before = around(number.saturating_sub(2), number + 1);
            let context = match command {
                "" if step(&before).is_none() => around(number, number + 4),
                "" => before,
                command => command.to_owned(),
            };
            let line = Line { text: format!("{line} {sentence}"), context };
            // In a transcript that was the last word about this recipient.
            command = if line.is_of_recipient() { "" } else { command };
            all.push(line);
            open = true;
        } else if let Some(last) = all.last_mut().filter(|_| open && !line.contains('@')) {
            last.text = format!("{} {line}", last.text);
            last.context = format!("{} {line}", last.context);
        } else {
            open = false;
        }
        sentence = if line.ends_with('.') && !line.contains('@') && !begins_reply(line) { line } else { "" };
    }
    let marked = |mark: &str| all.iter().filter(|line| line.text.contains(mark)).collect::<Vec<_>>();
    let chosen = [marked("(reason:"), of_recipients(&all), marked("<<< "), all.iter().collect()];
    let chosen = chosen.into_iter().find(|lines| !lines.is_empty()).unwrap_or_default();
    chosen.into_iter().map(|line| statement(&line.text, None, &line.context)).collect()
}

/// A line with a reply code, and what surrounds it.
struct Line {
    text: String,
    context: String,
}

impl Line {
    /// As Sendmail ends what it says of a recipient.
    fn is_of_recipient(&self) -> bool {
        self.text.get(3..5) == Some(" <") && self.text.contains(">... ")
    }
}

/// `554 <ann@b.example>... Remote protocol error`: of each recipient the server's word before it, or else the line itself.
fn of_recipients(all: &[Line]) -> Vec<&Line> {
    let (mut chosen, mut server) = (Vec::new(), None);
    for line in all {
        if line.text.starts_with("<<< ") {
            server = Some(line);
        } else if line.is_of_recipient() {
            chosen.push(server.take().unwrap_or(line));
        }
    }
    chosen
}

fn begins_reply(line: &str) -> bool {
    let line = line.trim_start_matches("(reason: ");
    code(line).is_some() || line.split(' ').next().is_some_and(|word| Enhanced::parse(word).is_some())
}

/// All that stands there from the first address on.
fn whole(lines: &[&str], status: Option<&str>) -> Statement {
    let from = lines.iter().position(|line| line.contains('@')).unwrap_or(0);
    let words = |lines: &[&str]| lines.join(" ").split_whitespace().filter(|word| !word.contains('@')).count();
    let from = if words(&lines[from..]) > 2 { from } else { 0 };
    let text = lines[from..].join(" ");
    let enhanced = of_status(status).or_else(|| enhanced(&text));
    let code = enhanced.map_or(0, |Enhanced(class, ..)| u16::from(class) * 100);
    Statement { step: None, code, enhanced, text }
}

/// A reply in `text`, with the status of its report and the words in which the step stands.
fn statement(text: &str, status: Option<&str>, context: &str) -> Statement {
    let (number, behind) = code(text).unwrap_or((0, 0));
    let enhanced = enhanced(&text[behind..]).or_else(|| enhanced(text)).or_else(|| of_status(status));
    let of_class = enhanced.map_or(0, |Enhanced(class, ..)| u16::from(class) * 100);
    let repeated = |word: &&str| !word.starts_with(&format!("{number}-")) && **word != number.to_string();
    let text: Vec<_> = text[behind..].split_whitespace().filter(repeated).collect();
    let code = if number == 0 { of_class } else { number };
    Statement { step: step(context), code, enhanced, text: text.join(" ") }
}

fn of_status(status: Option<&str>) -> Option<Enhanced> {
    enhanced(status?)
}

/// The first reply code, and where it ends.
fn code(text: &str) -> Option<(u16, usize)> {
    let octets = text.as_bytes();
    (0..octets.len().saturating_sub(2)).find_map(|at| {
        let digits = &octets[at..at + 3];
        let shaped = matches!(digits, [b'2' | b'4' | b'5', b'0'..=b'7', b'0'..=b'9']);
        let begins = at == 0 || b" \t:'\"<(,[".contains(&octets[at - 1]);
        let ends = match octets.get(at + 3..).unwrap_or_default() {
            [] | [b' ' | b'-' | b',', ..] | [b':'] => true,
            // Not part of an address of the net.
            [b':', next, ..] => next.is_ascii_whitespace(),
            _ => false,
        };
        (shaped && begins && ends).then(|| (text[at..at + 3].parse().expect("three digits"), at + 3))
    })
}

/// The first enhanced status code.
fn enhanced(text: &str) -> Option<Enhanced> {
    let runs = text.split(|octet: char| !octet.is_ascii_digit() && octet != '.');
    runs.filter_map(|run| Enhanced::parse(run.trim_matches('.'))).next()
}

/// The step whose name comes in these words.
fn step(context: &str) -> Option<Step> {
    let context = context.to_ascii_lowercase();
    // Of a transcript the command right before the first word of the server.
    let asked = context.find("<<<").and_then(|said| context[..said].rfind(">>> ").map(|at| &context[at..said]));
    let context = asked.unwrap_or(&context);
    STEPS.iter().find(|(words, _)| context.contains(words)).map(|(_, step)| *step)
}

const STEPS: [(&str, Step); 17] = [
    ("end of data", Step::Content),
    ("final data", Step::Content),
    ("text command", Step::Content),
    ("after i sent the message", Step::Content),
    ("data command", Step::Data),
    (">>> data", Step::Data),
    ("smtp command data", Step::Data),
    ("sender was rejected", Step::Mail),
    ("[mail_from]", Step::Mail),
    ("[rcpt_to]", Step::Rcpt),
    ("rcpt to", Step::Rcpt),
    ("rcpt command", Step::Rcpt),
    ("does not like recipient", Step::Rcpt),
    ("most progress was rcpt", Step::Rcpt),
    ("mail from", Step::Mail),
    ("initial connection", Step::Greeting),
    ("esmtp not accepting", Step::Greeting),
];

/// An autoresponder's (RFC 3834 section 5), and no mail system's.
fn is_auto_reply(message: &Message<'_>) -> bool {
    let raw = String::from_utf8_lossy(&message.raw_message).to_ascii_lowercase();
    let head = raw.split("\n\n").next().unwrap_or_default();
    let from = head.lines().find(|line| line.starts_with("from:")).unwrap_or_default();
    let of_system =
        ["mailer-daemon", "postmaster", "googlegroups", "mail delivery"].iter().any(|name| from.contains(name));
    head.contains("auto-submitted: auto-replied") && !of_system
}
