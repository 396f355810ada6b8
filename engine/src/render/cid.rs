//! `cid:` references from HTML to inline attachments (RFC 2392).
//!
//! A campaign writes `<img src="cid:logo">`. A Content-ID is an addr-spec, and the URL must repeat it whole, so the reference
//! becomes `cid:logo@DOMAIN` when the template is compiled and costs a row nothing.

/// A reference in a template.
pub(super) struct Reference<'a> {
    /// The line it stands on, from 1.
    pub(super) line: usize,
    /// What it names; empty where a template would fill it in.
    pub(super) name: &'a str,
    /// Where the name ends in the text.
    end: usize,
}

/// Every reference in `html`: what follows `cid:` at the beginning of an attribute or a CSS `url()`.
pub(super) fn references(html: &str) -> Vec<Reference<'_>> {
    let octets = html.as_bytes();
    let begins = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| octets.get(before));
        before.is_some_and(|octet| matches!(octet, b'"' | b'\'' | b'(' | b'='))
            && octets.get(at..at + 4).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"cid:"))
    };
    let starts = (0..octets.len()).filter(|at| begins(*at)).map(|at| at + 4);
    let reference = |start: usize| {
        let length = octets[start..].iter().take_while(|octet| is_name(**octet)).count();
        let line = octets[..start].iter().filter(|octet| **octet == b'\n').count() + 1;
        Reference { line, name: &html[start..start + length], end: start + length }
    };
    starts.map(reference).collect()
}

/// `html` with every reference made whole.
pub(super) fn qualified(html: &str, domain: &str) -> String {
    let mut whole = String::with_capacity(html.len());
    let mut from = 0;
    for reference in references(html) {
        whole.push_str(&html[from..reference.end]);
        whole.push('@');
        whole.push_str(domain);
        from = reference.end;
    }
    whole + &html[from..]
}

/// What an inline attachment may be called: the same in a Content-ID and in a URL, without escapes.
pub(crate) fn is_name(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_where_html_refers_and_nowhere_else() {
        let html =
            "<img src=\"cid:logo\">\n<td background='CID:bg-1'>url(cid:dot.2) cid:no <img src=cid:x> \"cid:{{y}}\"";
        let found: Vec<_> = references(html).iter().map(|reference| (reference.line, reference.name)).collect();
        assert_eq!(found, [(1, "logo"), (2, "bg-1"), (2, "dot.2"), (2, "x"), (2, "")]);
        let whole = qualified("<img src=\"cid:logo\"> cid:no (cid:é)", "acme.example");
        assert_eq!(whole, "<img src=\"cid:logo@acme.example\"> cid:no (cid:@acme.exampleé)");
    }
}
