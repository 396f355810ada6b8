//! Canonical octets (RFC 6376 section 3.4). Content always has CR LF line ends.

use aws_lc_rs::digest::{Digest, SHA256, digest};
use memchr::{memchr, memchr_iter};

/// SHA-256 over the body in relaxed canonicalisation (section 3.4.4).
pub(super) fn body_hash(body: &[u8]) -> Digest {
    digest(&SHA256, &relaxed_body(body))
}

/// Runs of white space become one space, white space at line ends goes, empty lines at the end go. Nearly all of a body is
/// canonical already and is copied in long pieces.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut relaxed = Vec::with_capacity(body.len() + 2);
    let mut rest = body;
    while let Some(at) = uneven(rest) {
        let (even, others) = rest.split_at(at);
        relaxed.extend_from_slice(even);
        let white = others.iter().take_while(|octet| is_white(**octet)).count();
        rest = &others[white..];
        if !rest.is_empty() && !rest.starts_with(b"\r\n") {
            relaxed.push(b' ');
        }
    }
    relaxed.extend_from_slice(rest);
    while relaxed.ends_with(b"\r\n") {
        relaxed.truncate(relaxed.len() - 2);
    }
    if !relaxed.is_empty() {
        relaxed.extend_from_slice(b"\r\n");
    }
    relaxed
}

/// Octets looked at together: the compiler makes vector instructions of it.
const AT_ONCE: usize = 64;

/// Where white space begins that may be more than one space between two words.
fn uneven(octets: &[u8]) -> Option<usize> {
    let is_uneven =
        |octet: u8, next: u8| (octet == b'\t') | (octet == b' ') & ((next == b' ') | (next == b'\t') | (next == b'\r'));
    let last = octets.len().checked_sub(1)?;
    let (pairs, followers) = (octets[..last].chunks(AT_ONCE), octets[1..].chunks(AT_ONCE));
    for (block, (octets, next)) in pairs.zip(followers).enumerate() {
        let found = octets.iter().zip(next).fold(false, |found, (octet, next)| found | is_uneven(*octet, *next));
        if found {
            let at = octets.iter().zip(next).position(|(octet, next)| is_uneven(*octet, *next));
            return at.map(|at| block * AT_ONCE + at);
        }
    }
    is_white(octets[last]).then_some(last)
}

fn is_white(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

/// Appends a header field in relaxed canonicalisation (section 3.4.2), without its CR LF: name in lower case, unfolded, runs
/// of white space one space, none around the colon or at the end.
pub(super) fn header(field: &[u8], out: &mut Vec<u8>) {
    let colon = memchr(b':', field).unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let start = out.len();
    let is_gap = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
    let mut rest = value.get(1..).unwrap_or_default();
    while let Some(word) = rest.iter().position(|octet| !is_gap(octet)) {
        if out.len() > start && rest[..word].iter().any(|octet| is_white(*octet)) {
            out.push(b' ');
        }
        let end = rest[word..].iter().position(is_gap).map_or(rest.len(), |length| word + length);
        out.extend_from_slice(&rest[word..end]);
        rest = &rest[end..];
    }
}

/// The header fields of a message, each with its folded lines, and the body after the empty line.
pub(super) fn split(content: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut fields = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(end) = find_crlf(content, at) {
        let next = end + 2;
        if end == at {
            return (fields, &content[next..]);
        }
        if !matches!(content.get(next), Some(b' ' | b'\t')) {
            fields.push(&content[start..end]);
            start = next;
        }
        at = next;
    }
    (fields, &[])
}

fn find_crlf(octets: &[u8], from: usize) -> Option<usize> {
    memchr_iter(b'\n', &octets[from..])
        .map(|at| from + at)
        .find(|at| octets[from..*at].ends_with(b"\r"))
        .map(|at| at - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_6376_section_3_4_5() {
        // The example of the RFC.
        let content = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n";
        let (fields, body) = split(content);
        let mut relaxed = Vec::new();
        for field in &fields {
            header(field, &mut relaxed);
            relaxed.extend_from_slice(b"\r\n");
        }
        assert_eq!(relaxed, b"a:X\r\nb:Y Z\r\n");
        assert_eq!(body_hash(body).as_ref(), digest(&SHA256, b" C\r\nD E\r\n").as_ref());
    }

    #[test]
    fn folds_and_spaces_in_header_fields() {
        let cases = [
            ("Subject: a b", "subject:a b"),
            ("Subject : \t a \t b \t ", "subject:a b"),
            ("X-Y:\r\n\ta\r\n b\r\n\t\r\n c", "x-y:a b c"),
            ("X:", "x:"),
            ("X: \t", "x:"),
            ("X: a\rb\nc", "x:abc"),
            ("no colon", "no colon:"),
        ];
        for (field, canonical) in cases {
            let mut out = Vec::new();
            header(field.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).expect("ASCII"), canonical, "{field:?}");
        }
    }

    #[test]
    fn ends_of_bodies() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"", b""),
            (b"\r\n\r\n", b""),
            (b"a", b"a\r\n"),
            (b"a\r\n \t\r\n\r\n", b"a\r\n"),
            (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
            (b" \ta\t\r\n", b" a\r\n"),
        ];
        for (body, canonical) in cases {
            assert_eq!(
                body_hash(body).as_ref(),
                digest(&SHA256, canonical).as_ref(),
                "{}",
                String::from_utf8_lossy(body)
            );
        }
    }
    /// A line at a time, an octet at a time.
    fn by_the_letter(body: &[u8]) -> Vec<u8> {
        let body = String::from_utf8(body.to_vec()).expect("text");
        let relax = |line: &str| {
            let words: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            let first = if line.starts_with([' ', '\t']) && !words.is_empty() { " " } else { "" };
            first.to_owned() + &words.join(" ")
        };
        let lines: Vec<_> = body.split("\r\n").map(relax).collect();
        let whole = lines.join("\r\n");
        let end = whole.trim_end_matches("\r\n");
        if end.is_empty() { Vec::new() } else { format!("{end}\r\n").into_bytes() }
    }

    proptest::proptest! {
        #[test]
        fn pieces_are_as_good_as_octets(parts in proptest::collection::vec("[a\\.]{0,70}|[ \t]{1,3}|(\r\n){1,2}|\r|\n", 0..40)) {
            let body = parts.concat().into_bytes();
            proptest::prop_assert_eq!(relaxed_body(&body), by_the_letter(&body));
        }
    }
}
