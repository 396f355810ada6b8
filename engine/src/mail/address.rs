//! Mail addresses, checked for the syntax of RFC 5321 section 4.1.2 and, beyond ASCII, of RFC 6531 section 3.3.

use super::hidden::is_hidden;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use std::borrow::Cow;
use std::fmt;

/// A recipient's or sender's address: a dot-atom local part in any script and a domain of at least two labels, which is
/// kept as A-labels (`xn--…`): so a domain in any script works at servers without SMTPUTF8 too. Quoted local parts
/// (`"ann b"@…`) are refused: hardly any exist, and what a file holds in quotes is mostly a mistake.
///
/// An address is PHI: `Debug` shows nothing of it and there is no `Display`; [`Address::as_str`] is for the wire.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    text: String,
    at: usize,
}

/// Why a text is no address. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// No `@`.
    #[error("has no @")]
    NoAt,
    /// Nothing before the `@`.
    #[error("has nothing before the @")]
    NoLocalPart,
    /// Nothing after the `@`.
    #[error("has no domain")]
    NoDomain,
    /// Neither a dot-atom nor its like beyond ASCII.
    #[error("has a local part with a character that can't stand there (a space, a quote, an invisible one)")]
    BadLocalPart,
    /// Not letters, digits and hyphens in at least two labels, in any script.
    #[error("has a domain that is no host name of two labels or more")]
    BadDomain,
    /// Longer than RFC 5321 section 4.5.3.1 allows.
    #[error("is longer than RFC 5321 allows (64 octets before the @, 254 in all)")]
    TooLong,
    /// A sender with a local part that only SMTPUTF8 carries: most of the world could not answer.
    #[error("is not ASCII before the @, as a sender's must be")]
    NotAscii,
}

impl Address {
    /// Reads an address; white space around it is ignored.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Address, AddressFault> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressFault::Empty);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressFault::NoAt)?;
        if local.is_empty() {
            return Err(AddressFault::NoLocalPart);
        }
        if domain.is_empty() {
            return Err(AddressFault::NoDomain);
        }
        if local.len() > 64 || domain.len() > 1000 {
            return Err(AddressFault::TooLong);
        }
        if !local.split('.').all(is_atom) {
            return Err(AddressFault::BadLocalPart);
        }
        let domain = ascii_domain(domain).ok_or(AddressFault::BadDomain)?;
        // Octets, as they travel: RFC 6531 section 3.3 keeps the limits of RFC 5321.
        if local.len() + 1 + domain.len() > 254 {
            return Err(AddressFault::TooLong);
        }
        Ok(Address { text: format!("{local}@{domain}"), at: local.len() })
    }

    /// The whole address as it stands on the wire: the local part as it was written, the domain as A-labels in lower case.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands after the `@`: A-labels in lower case.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// Whether only a server with SMTPUTF8 (RFC 6531) takes it: its local part is not ASCII.
    pub fn needs_smtputf8(&self) -> bool {
        !self.text.is_ascii()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(redacted)")
    }
}

/// `Name <address>` or a bare address, as configuration writes a sender. Not PHI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name, where there is one.
    pub name: Option<String>,
    /// The address.
    pub address: Address,
}

impl Mailbox {
    /// Reads a mailbox.
    ///
    /// # Errors
    /// What is wrong with its address.
    pub fn parse(text: &str) -> Result<Mailbox, AddressFault> {
        let text = text.trim();
        match text.strip_suffix('>').and_then(|rest| rest.rsplit_once('<')) {
            Some((name, address)) => {
                let name = name.trim().trim_matches('"').trim();
                let name = (!name.is_empty()).then(|| name.to_owned());
                Ok(Mailbox { name, address: sender(address)? })
            }
            None => Ok(Mailbox { name: None, address: sender(text)? }),
        }
    }
}

fn sender(text: &str) -> Result<Address, AddressFault> {
    Address::parse(text)
        .and_then(|address| if address.needs_smtputf8() { Err(AddressFault::NotAscii) } else { Ok(address) })
}

/// RFC 5322 section 3.2.3 `atext`, and beyond ASCII what RFC 6531 section 3.3 adds to it.
fn is_atom(part: &str) -> bool {
    let allowed = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        _ if c.is_ascii() => "!#$%&'*+-/=?^_`{|}~".contains(c),
        // An address must be what it looks like, in a report as on a screen.
        _ => !is_hidden(c) && !c.is_whitespace(),
    };
    !part.is_empty() && part.chars().all(allowed)
}

/// A domain as A-labels in lower case (UTS 46, STD 3 rules), if it is a host name of two labels or more.
pub(crate) fn ascii_domain(domain: &str) -> Option<Cow<'_, str>> {
    let plain = domain.is_ascii()
        && !domain.split('.').any(|label| label.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("xn--")));
    let ascii = if plain {
        if domain.bytes().any(|octet| octet.is_ascii_uppercase()) {
            Cow::Owned(domain.to_ascii_lowercase())
        } else {
            Cow::Borrowed(domain)
        }
    } else {
        Uts46::new()
            .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
            .ok()?
    };
    is_host_name(&ascii).then_some(ascii)
}

pub(crate) fn is_host_name(domain: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.contains('.') && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted() {
        for text in ["a@b.example", " ann.o'neil+x@Mail.Example ", "x_1=y@a-b.c.example"] {
            let address = Address::parse(text).expect(text);
            assert_eq!(address.domain(), address.domain().to_ascii_lowercase(), "{text}");
            assert!(!address.needs_smtputf8(), "{text}");
        }
    }

    /// Written, on the wire, whether a server must speak SMTPUTF8.
    #[test]
    fn in_any_script() {
        let cases = [
            ("josé@b.example", "josé@b.example", true),
            ("ann@MÜNCHEN.example", "ann@xn--mnchen-3ya.example", false),
            ("δοκιμή@παράδειγμα.example", "δοκιμή@xn--hxajbheg2az3al.example", true),
            ("संपर्क@डाटामेल.example", "संपर्क@xn--c2bd4bq1db8d.example", true),
            ("ann@XN--MNCHEN-3YA.example", "ann@xn--mnchen-3ya.example", false),
            // Full-width dots and letters are the domain they look like.
            ("ann@ｂ。example", "ann@b.example", false),
        ];
        for (written, wire, utf8) in cases {
            let address = Address::parse(written).expect(written);
            assert_eq!((address.as_str(), address.needs_smtputf8()), (wire, utf8), "{written}");
            assert_eq!(Address::parse(wire).expect(wire), address, "{written}");
        }
    }

    #[test]
    fn refused() {
        let long = format!("{}@b.example", "a".repeat(65));
        let cases = [
            ("", AddressFault::Empty),
            ("nobody", AddressFault::NoAt),
            ("@b.example", AddressFault::NoLocalPart),
            ("ann@", AddressFault::NoDomain),
            ("ann@localhost", AddressFault::BadDomain),
            ("ann@-b.example", AddressFault::BadDomain),
            ("ann@b..example", AddressFault::BadDomain),
            ("a..b@b.example", AddressFault::BadLocalPart),
            ("a b@b.example", AddressFault::BadLocalPart),
            ("a\r\nRCPT TO:<x@b.example", AddressFault::BadLocalPart),
            ("a>@b.example", AddressFault::BadLocalPart),
            ("\"ann b\"@b.example", AddressFault::BadLocalPart),
            ("ann\u{202e}@b.example", AddressFault::BadLocalPart),
            ("ann\u{200b}@b.example", AddressFault::BadLocalPart),
            ("ann\u{fe0f}@b.example", AddressFault::BadLocalPart),
            ("ann\u{180b}@b.example", AddressFault::BadLocalPart),
            ("ann\u{a0}x@b.example", AddressFault::BadLocalPart),
            ("ann\u{85}@b.example", AddressFault::BadLocalPart),
            ("ann@b\u{202e}.example", AddressFault::BadDomain),
            ("ann@xn--\u{e9}.example", AddressFault::BadDomain),
            ("ann@xn--zz.example", AddressFault::BadDomain),
            ("ann@\u{f1}_o.example", AddressFault::BadDomain),
            ("ann@\u{f1}", AddressFault::BadDomain),
            (long.as_str(), AddressFault::TooLong),
        ];
        for (text, fault) in cases {
            assert_eq!(Address::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn mailboxes() {
        let mailbox = Mailbox::parse("Acme Health <notices@acme-health.example>").expect("a mailbox");
        assert_eq!(mailbox.name.as_deref(), Some("Acme Health"));
        assert_eq!(mailbox.address.domain(), "acme-health.example");
        assert_eq!(Mailbox::parse("a@b.example").expect("bare").name, None);
        assert_eq!(Mailbox::parse("jos\u{e9}@b.example"), Err(AddressFault::NotAscii));
        let domain = Mailbox::parse("Se\u{f1}al <a@se\u{f1}al.example>").expect("any domain").address;
        assert_eq!(domain.domain(), "xn--seal-hqa.example");
    }

    proptest::proptest! {
        /// What is accepted can stand between angle brackets on the wire.
        #[test]
        fn never_breaks_a_command(text in "(\\PC|[a-zéñδ]){0,30}@([a-zéñδ]{1,9}|\\PC)(\\.([a-zéñδ]{1,9}|\\PC)){0,3}") {
            if let Ok(address) = Address::parse(&text) {
                proptest::prop_assert!(!address.as_str().contains(['<', '>', '"', ',', ';']));
                proptest::prop_assert!(!address.as_str().contains(|c: char| c.is_control() || c.is_whitespace()));
                proptest::prop_assert!(address.domain().is_ascii() && address.as_str().len() <= 254);
                proptest::prop_assert_eq!(Address::parse(address.as_str()), Ok(address));
            }
        }
    }
}
