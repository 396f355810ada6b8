//! A server's reply.

use std::fmt;

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl Enhanced {
    /// Reads `5.1.1`.
    pub fn parse(text: &str) -> Option<Enhanced> {
        let mut parts = text.splitn(3, '.');
        let class = parts.next()?;
        let number = |part: &str| {
            let digits = (1..=3).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit());
            if digits { part.parse().ok() } else { None }
        };
        let class = match class {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        Some(Enhanced(class, number(parts.next()?)?, number(parts.next()?)?))
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A reply (RFC 5321 section 4.2): code, enhanced status code where one stands, and the text of all lines.
///
/// Its text may repeat an address, so `Debug` shows the codes only.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The three-digit code.
    pub code: u16,
    /// RFC 2034's code, where the server gives one.
    pub enhanced: Option<Enhanced>,
    /// The text lines without codes.
    pub lines: Vec<String>,
}

impl Reply {
    /// 2yz.
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 4yz.
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5yz.
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// All lines as one text.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.enhanced {
            Some(enhanced) => write!(f, "Reply({} {enhanced})", self.code),
            None => write!(f, "Reply({})", self.code),
        }
    }
}
