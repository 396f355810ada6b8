//! Canonical octets (RFC 6376 section 3.4). Content always has CR LF line ends.

use aws_lc_rs::digest::{Context, Digest, SHA256};

/// SHA-256 over the body in relaxed canonicalisation (section 3.4.4): runs of white space become one space, white space at
/// line ends goes, empty lines at the end go.
pub(super) fn body_hash(body: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    let mut line = Vec::with_capacity(128);
    let mut empty_lines = 0_usize;
    for raw in lines(body) {
        line.clear();
        relax(raw, &mut line);
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        for _ in 0..std::mem::take(&mut empty_lines) {
            context.update(b"\r\n");
        }
        line.extend_from_slice(b"\r\n");
        context.update(&line);
    }
    context.finish()
}

/// Appends a header field in relaxed canonicalisation (section 3.4.2), without its CR LF: name in lower case, unfolded, runs
/// of white space one space, none around the colon or at the end.
pub(super) fn header(field: &[u8], out: &mut Vec<u8>) {
    let colon = field.iter().position(|octet| *octet == b':').unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    out.extend(name.trim_ascii_end().to_ascii_lowercase());
    out.push(b':');
    let value: Vec<u8> = value.iter().skip(1).copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    relax(value.trim_ascii_start(), out);
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

/// Appends `line` with runs of space and tab as one space and none at its end.
fn relax(line: &[u8], out: &mut Vec<u8>) {
    let mut space = false;
    for octet in line {
        if matches!(octet, b' ' | b'\t') {
            space = true;
        } else {
            if std::mem::take(&mut space) {
                out.push(b' ');
            }
            out.push(*octet);
        }
    }
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(body).filter(|body| !body.is_empty());
    std::iter::from_fn(move || {
        let body = rest?;
        match find_crlf(body, 0) {
            Some(end) => {
                rest = Some(&body[end + 2..]).filter(|body| !body.is_empty());
                Some(&body[..end])
            }
            None => {
                rest = None;
                Some(body)
            }
        }
    })
}

fn find_crlf(octets: &[u8], from: usize) -> Option<usize> {
    octets[from..].windows(2).position(|pair| pair == b"\r\n").map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::digest;

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
}
