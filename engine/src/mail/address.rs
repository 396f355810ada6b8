//! Mail addresses, checked for the syntax of RFC 5321 section 4.1.2.

use std::fmt;

/// A recipient's or sender's address: a dot-atom local part and a domain of at least two labels. ASCII only for now.
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
    /// Not a dot-atom.
    #[error("has a local part that RFC 5321 does not allow")]
    BadLocalPart,
    /// Not letters, digits and hyphens in at least two labels.
    #[error("has a domain that is no host name of two labels or more")]
    BadDomain,
    /// Longer than RFC 5321 section 4.5.3.1 allows.
    #[error("is longer than RFC 5321 allows (64 octets before the @, 254 in all)")]
    TooLong,
    /// SMTPUTF8 addresses are not supported yet.
    #[error("is not ASCII, and SMTPUTF8 is not supported yet")]
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
        if !text.is_ascii() {
            return Err(AddressFault::NotAscii);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressFault::NoAt)?;
        if local.is_empty() {
            return Err(AddressFault::NoLocalPart);
        }
        if domain.is_empty() {
            return Err(AddressFault::NoDomain);
        }
        if local.len() > 64 || text.len() > 254 {
            return Err(AddressFault::TooLong);
        }
        if !local.split('.').all(is_atom) {
            return Err(AddressFault::BadLocalPart);
        }
        if !is_host_name(domain) {
            return Err(AddressFault::BadDomain);
        }
        Ok(Address { text: format!("{local}@{}", domain.to_ascii_lowercase()), at: local.len() })
    }

    /// The whole address; the domain is in lower case.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands after the `@`, in lower case.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
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
                Ok(Mailbox { name, address: Address::parse(address)? })
            }
            None => Ok(Mailbox { name: None, address: Address::parse(text)? }),
        }
    }
}

/// RFC 5322 section 3.2.3 `atext`.
fn is_atom(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet))
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
            ("jos\u{e9}@b.example", AddressFault::NotAscii),
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
    }

    proptest::proptest! {
        /// What is accepted can stand between angle brackets on the wire.
        #[test]
        fn never_breaks_a_command(text in "\\PC{0,40}@\\PC{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                proptest::prop_assert!(!address.as_str().contains(['<', '>', ' ', '\r', '\n']));
            }
        }
    }
}
