//! What a refusal is about, and what follows from that.
//!
//! Comes in: a reply that refuses, and the command that it answers. Goes out: its [`Class`], and whether the server said it of a
//! message or of [all of us](Says::Us). [`verdict`](super::verdict) asks here and decides; the words are in [`table`].
//!
//! 1. *Telling* words: they say it whatever the codes are.
//! 2. The enhanced status code, where it is more than "other".
//! 3. *Vague* words, and then what is left of the codes.
//!
//! | class | said to | what follows |
//! |---|---|---|
//! | rate | all of us | the provider is sent to more slowly; the row waits and its attempt is not spent, also where the code is 5yz |
//! | rate | one mailbox | as the code says: 4yz the row waits, 5yz it bounces. Others may write to it; we are not too fast |
//! | reputation | our address, at MAIL or RCPT | the site is suspended for this source, and its rows wait, also where the code is 5yz: every other row would meet the same, and none is at fault |
//! | reputation | after content, or less clearly | as the code says; that content had a part in it can't be excluded. The brake looks at the share |
//! | greylist | a message | its row waits, also where the code is 5yz |
//! | all others | a message | as the code says |
//!
//! Texts are the server's, and with them its customers': whoever writes a rule for one domain of a large provider writes its
//! reply. What such a rule says is taken for policy, so that nobody slows down a provider for all its others. Addresses and URLs are
//! passed over, and no more than [`MOST`] octets are looked at.

mod table;

#[cfg(test)]
mod notices;

use super::Step;
use crate::mail::{Class, Enhanced, Reply};
use crate::shaping::{self, ReplyPattern};
use aho_corasick::AhoCorasick;
use std::sync::LazyLock;

/// So many octets of a reply are looked at. The longest that was seen to say something had 600.
const MOST: usize = 1000;
/// So many octets may stand where a pattern has its `*`.
const GAP: usize = 64;

/// A row of the table: any of these words says that.
struct Row {
    says: Says,
    when: When,
    words: &'static [&'static str],
}

/// What is said, and of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Of this message, its recipient or its campaign.
    Row(Class),
    /// Of us, whatever we send.
    Us(Class),
}

/// Where words count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// In 4yz replies.
    Transient,
    /// Where it can be about the recipient's address. Elsewhere a filter behind the server says so, of an address that the server
    /// itself took: that is its policy.
    Address,
    /// Where it is surely about the recipient's address.
    Recipient,
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Its class.
    pub(super) class: Class,
    of_us: bool,
}

/// What follows from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// What the code says: 4yz the row waits, 5yz it bounces.
    Code,
    /// The row waits.
    Wait,
    /// The provider is sent to more slowly.
    Slow,
    /// Our source is not welcome at the site.
    Suspend,
}

impl Finding {
    /// Nothing was refused.
    pub(super) const NONE: Finding = Finding { class: Class::Unknown, of_us: false };

    /// What follows from it, where it was said in reply to `step`.
    pub(super) fn action(self, step: Step) -> Action {
        match self.class {
            Class::Rate if self.of_us => Action::Slow,
            Class::Reputation if self.of_us && matches!(step, Step::Mail | Step::Rcpt) => Action::Suspend,
            Class::Greylist => Action::Wait,
            _ => Action::Code,
        }
    }
}

/// What `reply`, which refuses, is about; `words` are those of the provider that said it, and go before all others. Whoever wrote
/// them down as a rate or a bad name means us.
pub(super) fn of_reply(step: Step, reply: &Reply, words: &[ReplyPattern]) -> Finding {
    if step == Step::Auth {
        return Finding { class: Class::Policy, of_us: true };
    }
    if let Some(class) = shaping::class_of(words, &reply.text()) {
        return Finding { class, of_us: matches!(class, Class::Rate | Class::Reputation) };
    }
    let lines = reply.lines.iter().map(String::as_str);
    Said { step: Some(step), code: reply.code, enhanced: reply.enhanced }.of(&plain(lines))
}

/// What surrounds a refusal's words. Notices of others don't tell each of these.
#[derive(Clone, Copy, Debug)]
struct Said {
    step: Option<Step>,
    code: u16,
    enhanced: Option<Enhanced>,
}

impl Said {
    fn of(self, text: &str) -> Finding {
        let hits = WORDS.hits(text);
        let found = hits
            .first(&WORDS.telling, self)
            .or_else(|| self.by_enhanced())
            .or_else(|| hits.first(&WORDS.vague, self).map(|says| self.at_the_door(says)));
        let (class, of_us) = match found.unwrap_or_else(|| Says::Row(self.by_code())) {
            Says::Row(class) => (class, false),
            Says::Us(class) => (class, true),
        };
        // What is unknown or wrong in reply to MAIL is our sender.
        let of_sender = matches!(class, Class::MailboxUnknown | Class::MailboxClosed | Class::Domain);
        let class = if self.step == Some(Step::Mail) && of_sender { Class::Policy } else { class };
        Finding { class, of_us }
    }

    /// What a row of the table says here; `None` where it says nothing here.
    fn read(self, row: &Row) -> Option<Says> {
        let of_recipient = self.step == Some(Step::Rcpt) || matches!(self.enhanced, Some(Enhanced(_, 1, _)));
        match row.when {
            When::Always => Some(row.says),
            When::Transient => (self.code / 100 == 4).then_some(row.says),
            When::Recipient => of_recipient.then_some(row.says),
            When::Address => {
                let untold = self.step.is_none() && self.enhanced.is_none();
                Some(if of_recipient || untold { row.says } else { Says::Row(Class::Policy) })
            }
        }
    }

    fn by_enhanced(self) -> Option<Says> {
        let Enhanced(class, subject, detail) = self.enhanced?;
        // RFC 3463 section 3.4: for good where the system takes no mail at all, for now where it is overloaded or stopped.
        if (subject, detail) == (3, 2) {
            return Some(Says::Row(if class == 5 { Class::Domain } else { Class::Infrastructure }));
        }
        let row = table::CODES.iter().find(|(of, details, _)| *of == subject && details.contains(&detail));
        row.map(|(.., says)| *says)
    }

    /// Who is refused before he has said anything is refused for his address.
    fn at_the_door(self, says: Says) -> Says {
        let door = matches!(self.step, Some(Step::Greeting | Step::Ehlo | Step::Helo));
        if door && says == Says::Row(Class::Policy) { Says::Us(Class::Reputation) } else { says }
    }

    /// What codes say that no text makes clearer.
    fn by_code(self) -> Class {
        match (self.enhanced, self.code) {
            (Some(Enhanced(5, 1, _)), _) => Class::MailboxUnknown,
            (Some(Enhanced(_, 3, _)), _) => Class::Infrastructure,
            (Some(Enhanced(_, 7, _)), _) => Class::Policy,
            (_, 552) if self.step == Some(Step::Rcpt) => Class::MailboxFull,
            (_, 552) => Class::TooLarge,
            (_, 550 | 551 | 553) if self.step == Some(Step::Rcpt) => Class::MailboxUnknown,
            (_, 500..=504 | 555) => Class::Protocol,
            (_, 421 | 451 | 452) => Class::Infrastructure,
            _ => Class::Unknown,
        }
    }
}

/// Lower-case words, one blank between two, but for addresses and URLs.
fn plain<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let says_nothing = |word: &&str| word.contains('@') || word.contains("://");
    for word in lines.flat_map(str::split_ascii_whitespace).filter(|word| !says_nothing(word)) {
        if text.len() + word.len() >= MOST {
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&word.to_ascii_lowercase());
    }
    text
}

/// All words of the table, looked for in one go.
struct Words {
    automaton: AhoCorasick,
    literals: Vec<&'static str>,
    telling: Vec<Pattern>,
    vague: Vec<Pattern>,
}

/// A word of a row, by the numbers of its literals.
struct Pattern {
    row: &'static Row,
    first: usize,
    /// What follows behind the `*`.
    then: Option<usize>,
}

static WORDS: LazyLock<Words> = LazyLock::new(Words::new);

impl Words {
    fn new() -> Words {
        let mut literals: Vec<&'static str> = Vec::new();
        let mut number = |literal: &'static str| {
            literals.iter().position(|known| *known == literal).unwrap_or_else(|| {
                literals.push(literal);
                literals.len() - 1
            })
        };
        let mut patterns = |rows: &'static [Row]| -> Vec<Pattern> {
            let words = rows.iter().flat_map(|row| row.words.iter().map(move |word| (row, *word)));
            let pattern = |(row, word): (&'static Row, &'static str)| match word.split_once(" * ") {
                Some((first, then)) => Pattern { row, first: number(first), then: Some(number(then)) },
                None => Pattern { row, first: number(word), then: None },
            };
            words.map(pattern).collect()
        };
        let (telling, vague) = (patterns(table::TELLING), patterns(table::VAGUE));
        let automaton = AhoCorasick::new(&literals).expect("some hundred short literals");
        Words { automaton, literals, telling, vague }
    }

    fn hits(&self, text: &str) -> Hits {
        let mut hits = Hits { seen: vec![false; self.literals.len()], at: Vec::new() };
        for found in self.automaton.find_overlapping_iter(text) {
            let number = found.pattern().as_usize();
            if stands(self.literals[number], text, found.start()) {
                hits.seen[number] = true;
                hits.at.push((number, found.start(), found.end()));
            }
        }
        hits
    }
}

/// Whether `literal`, which is in `text` at `start`, stands there as a word: it begins one, where it begins with a letter, and a
/// short one ends it, too. `rate` is none in `generate`, `rbl` none in `rblock`.
fn stands(literal: &str, text: &str, start: usize) -> bool {
    let begins = literal.starts_with(|first: char| first.is_ascii_alphabetic());
    let short = literal.len() <= 4 && literal.ends_with(|last: char| last.is_ascii_alphabetic());
    let goes_before = begins && text[..start].ends_with(char::is_alphabetic);
    let goes_on = short && text[start + literal.len()..].starts_with(char::is_alphabetic);
    !goes_before && !goes_on
}

/// Which literals occur, and where.
struct Hits {
    seen: Vec<bool>,
    at: Vec<(usize, usize, usize)>,
}

impl Hits {
    /// What the first row says of which a word occurs, and which says something here.
    fn first(&self, patterns: &[Pattern], said: Said) -> Option<Says> {
        patterns.iter().filter(|pattern| self.have(pattern)).find_map(|pattern| said.read(pattern.row))
    }

    fn have(&self, pattern: &Pattern) -> bool {
        self.seen[pattern.first] && pattern.then.is_none_or(|then| self.seen[then] && self.follows(pattern.first, then))
    }

    fn follows(&self, first: usize, then: usize) -> bool {
        let of = |literal| self.at.iter().filter(move |(number, ..)| *number == literal);
        of(first).any(|(.., end)| of(then).any(|(_, start, _)| (*end..=end + GAP).contains(start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(step: Step, line: &str) -> Finding {
        let mut parser = crate::smtp::ReplyParser::default();
        parser.feed(format!("{line}\r\n").as_bytes());
        of_reply(step, &parser.take().expect("well made").expect("whole"), &[])
    }

    #[test]
    fn what_large_providers_say() {
        let cases = [
            (
                Step::Mail,
                "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
                Class::Rate,
                Action::Slow,
            ),
            (
                Step::Content,
                "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address",
                Class::Rate,
                Action::Slow,
            ),
            (
                Step::Rcpt,
                "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation",
                Class::Rate,
                Action::Slow,
            ),
            (
                Step::Mail,
                "421 RP-001 (BAY004) Unfortunately, some messages from 192.0.2.1 weren't sent",
                Class::Rate,
                Action::Slow,
            ),
            (Step::Rcpt, "421 4.7.0 too many messages, slow down", Class::Rate, Action::Slow),
            (Step::Rcpt, "452 4.5.3 Too many recipients", Class::Rate, Action::Slow),
            (Step::Content, "550 5.7.28 flooding", Class::Rate, Action::Slow),
            (
                Step::Rcpt,
                "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents",
                Class::Rate,
                Action::Code,
            ),
            (
                Step::Content,
                "550 5.7.1 TRANSPORT.RULES.RejectMessage; rate limit exceeded",
                Class::Policy,
                Action::Code,
            ),
            (
                Step::Rcpt,
                "550 5.7.606 Access denied, banned sending IP [192.0.2.1]",
                Class::Reputation,
                Action::Suspend,
            ),
            (
                Step::Rcpt,
                "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
                Class::Reputation,
                Action::Suspend,
            ),
            (
                Step::Mail,
                "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list",
                Class::Reputation,
                Action::Suspend,
            ),
            (
                Step::Content,
                "550 5.7.1 likely suspicious due to the very low reputation of the sending IP address",
                Class::Reputation,
                Action::Code,
            ),
            (
                Step::Content,
                "550 5.7.26 Unauthenticated email from a.example is not accepted due to domain's DMARC policy",
                Class::Authentication,
                Action::Code,
            ),
            (Step::Content, "554 5.7.9 Message not accepted for policy reasons", Class::Policy, Action::Code),
            (
                Step::Content,
                "550 5.7.1 Our system has detected that this message is likely unsolicited mail",
                Class::SpamBlock,
                Action::Code,
            ),
            (
                Step::Rcpt,
                "450 4.2.0 <a@b.example>: Recipient address rejected: Greylisted, see http://postgrey.example",
                Class::Greylist,
                Action::Wait,
            ),
            (
                Step::Rcpt,
                "550 5.1.1 The email account that you tried to reach does not exist",
                Class::MailboxUnknown,
                Action::Code,
            ),
            (
                Step::Rcpt,
                "550 5.2.1 The email account that you tried to reach is disabled",
                Class::MailboxClosed,
                Action::Code,
            ),
            (Step::Rcpt, "452 4.2.2 The recipient's inbox is out of storage space", Class::MailboxFull, Action::Code),
            (
                Step::Content,
                "554 delivery error: dd This user doesn't have a yahoo.com account",
                Class::MailboxUnknown,
                Action::Code,
            ),
            (
                Step::Rcpt,
                "550 5.4.1 Recipient address rejected: Access denied. [x.prod.protection.outlook.com]",
                Class::MailboxUnknown,
                Action::Code,
            ),
            (Step::Mail, "451 4.3.2 Please try again later", Class::Infrastructure, Action::Code),
            (Step::Rcpt, "552 5.2.3 Message size exceeds fixed maximum message size", Class::TooLarge, Action::Code),
            (Step::Content, "554 5.6.0 Message contains a virus", Class::Content, Action::Code),
            (Step::Mail, "530 5.7.0 Must issue a STARTTLS command first", Class::Tls, Action::Code),
            (Step::Rcpt, "556 5.1.10 Recipient address has null MX", Class::Domain, Action::Code),
            (Step::Rcpt, "550", Class::MailboxUnknown, Action::Code),
            (Step::Rcpt, "550 <a@b.example> does not exist", Class::MailboxUnknown, Action::Code),
            (Step::Content, "553 b.example does not exist", Class::Domain, Action::Code),
            (Step::Content, "550 Requested action not taken: mailbox unavailable", Class::Policy, Action::Code),
            (Step::Rcpt, "450 Requested action not taken: mailbox unavailable", Class::Infrastructure, Action::Code),
            (Step::Content, "554 Transaction failed", Class::Infrastructure, Action::Code),
            (Step::Content, "500", Class::Protocol, Action::Code),
            (Step::Content, "554", Class::Unknown, Action::Code),
        ];
        for (step, line, class, action) in cases {
            let finding = found(step, line);
            assert_eq!((finding.class, finding.action(step)), (class, action), "{} {line}", step.word());
        }
    }

    #[test]
    fn an_address_or_a_url_says_nothing() {
        for text in [
            "<rate.limit@spamhaus.example>",
            "see https://postmaster.example/rate/limit/dnsbl",
            "generate limits",
            "pirate limit",
        ] {
            let finding = found(Step::Content, &format!("451 {text}"));
            assert_eq!(finding.class, Class::Infrastructure, "{text}");
        }
    }

    #[test]
    fn what_is_unknown_in_reply_to_mail_is_our_sender() {
        for text in ["550 no such domain", "550 5.1.8 unknown user", "553 5.1.1 a.example does not exist"] {
            assert_eq!(found(Step::Mail, text).class, Class::Policy, "{text}");
        }
    }

    #[test]
    fn who_takes_the_address_and_then_knows_no_such_user_has_a_filter() {
        assert_eq!(found(Step::Content, "550 unknown user").class, Class::Policy);
        assert_eq!(found(Step::Content, "550 5.1.1 unknown user").class, Class::MailboxUnknown);
        assert_eq!(found(Step::Rcpt, "550 unknown user").class, Class::MailboxUnknown);
    }

    #[test]
    fn only_the_beginning_of_a_long_text_is_looked_at() {
        let line = |before: usize| format!("554 {}greylisted", "x ".repeat(before));
        assert_eq!(found(Step::Content, &line(400)).class, Class::Greylist);
        assert_eq!(found(Step::Content, &line(600)).class, Class::Unknown);
    }

    #[test]
    fn the_operators_table_says_the_same() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATIONS.md");
        let text = std::fs::read_to_string(path).expect("it is there");
        let section = text.split("\n## What refusals are about\n").nth(1).expect("a section");
        let section = section.split("\n## ").next().expect("its end");
        let mut listed = Vec::new();
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = row.split(" | ").collect();
            for word in cells[0].split('`').skip(1).step_by(2) {
                let class = Class::ALL.into_iter().find(|class| class.word() == word).expect("a class");
                let acts = |of_us| Finding { class, of_us }.action(Step::Rcpt) != Action::Code;
                assert_eq!(acts(true) || acts(false), !cells[2].starts_with("as the code says"), "{word}");
                listed.push(class);
            }
        }
        listed.sort_unstable();
        assert_eq!(listed, Class::ALL);
    }

    /// A word that can't decide because an earlier one is part of it would be dead; one that is not plain would never be found.
    #[test]
    fn every_word_can_decide() {
        for rows in [table::TELLING, table::VAGUE] {
            let mut earlier: Vec<&str> = Vec::new();
            for row in rows {
                for word in row.words {
                    assert_eq!(plain([*word].into_iter()), word.trim(), "{word} is no plain text");
                    if row.when == When::Always {
                        let covered =
                            earlier.iter().find(|shorter| !shorter.contains(" * ") && is_word_of(shorter, word));
                        assert_eq!(covered, None, "{word}");
                    }
                }
                if row.when == When::Always {
                    earlier.extend(row.words);
                }
            }
        }
    }

    fn is_word_of(shorter: &str, word: &str) -> bool {
        word.match_indices(shorter).any(|(at, _)| stands(shorter, word, at))
    }

    proptest::proptest! {
        #[test]
        fn any_text(text in "\\PC{0,300}", code in 400_u16..600) {
            let reply = Reply { code, enhanced: None, lines: vec![text] };
            for step in [Step::Greeting, Step::Mail, Step::Rcpt, Step::Content] {
                let _ = of_reply(step, &reply, &[]);
            }
        }
    }
}
