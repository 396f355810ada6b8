//! The encoding of a text file: as declared, held against how the file begins.

use crate::Fault;
use serde::Deserialize;

/// How a text file's characters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[serde(rename = "utf-8")]
    Utf8,
    /// Latin-1 as the web means it: windows-1252 (WHATWG Encoding Standard, section 4.2).
    #[serde(rename = "latin1")]
    Latin1,
    /// UTF-16 as its byte order mark says; little-endian if it has none.
    #[serde(rename = "utf-16")]
    Utf16,
}

impl Encoding {
    /// The word a campaign file uses for it.
    pub fn word(self) -> &'static str {
        match self {
            Encoding::Utf8 => "utf-8",
            Encoding::Latin1 => "latin1",
            Encoding::Utf16 => "utf-16",
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Utf8 => "UTF-8",
            Encoding::Latin1 => "Latin-1",
            Encoding::Utf16 => "UTF-16",
        }
    }

    /// The encoding of a file that begins with `head`, which is the whole file if `whole`. What is declared is held against
    /// a byte order mark; where nothing is declared, the file must begin as UTF-8.
    pub(crate) fn of(head: &[u8], whole: bool, declared: Option<Encoding>) -> Result<Encoding, Fault> {
        let marked = match head {
            [0xef, 0xbb, 0xbf, ..] => Some(Encoding::Utf8),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Encoding::Utf16),
            _ => None,
        };
        match (declared, marked) {
            // "ÿþ" begins no text in Latin-1, nor does "ï»¿".
            (Some(declared), Some(found)) if declared != found => Err(Fault::OtherEncoding { declared, found }),
            (Some(declared), _) => Ok(declared),
            (None, Some(Encoding::Utf16)) => Err(Fault::NotUtf8(Some(Encoding::Utf16))),
            (None, _) => guess(head, whole),
        }
    }
}

fn guess(head: &[u8], whole: bool) -> Result<Encoding, Fault> {
    let binary =
        [(&b"PK\x03\x04"[..], "a ZIP archive or an Excel workbook"), (b"PAR1", "Parquet"), (b"%PDF-", "a PDF")];
    if let Some((_, what)) = binary.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(Fault::NotText(what));
    }
    let start = &head[..head.len().min(1024)];
    if start.iter().filter(|octet| **octet == 0).count() * 4 > start.len() {
        return Err(Fault::NotUtf8(Some(Encoding::Utf16)));
    }
    match std::str::from_utf8(head) {
        Ok(_) => Ok(Encoding::Utf8),
        // A character that the end of the look cut in two.
        Err(cut) if cut.error_len().is_none() && !whole => Ok(Encoding::Utf8),
        Err(_) => Err(Fault::NotUtf8(is_latin1(head).then_some(Encoding::Latin1))),
    }
}

/// Whether `octets` are likely windows-1252: read so there are no control characters, neither those of ASCII nor the five
/// holes, and there is not more UTF-8 in them than damage.
fn is_latin1(octets: &[u8]) -> bool {
    let control = |octet: &u8| matches!(octet, 0..=8 | 11 | 12 | 14..=31 | 127 | 0x81 | 0x8d | 0x8f | 0x90 | 0x9d);
    let (mut good, mut bad) = (0, 0);
    for chunk in octets.utf8_chunks() {
        good += chunk.valid().chars().filter(|letter| !letter.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    bad > good && !octets.iter().any(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_beginning_says() {
        let utf16: Vec<u8> = "id,name\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        type Case<'a> = (&'a str, &'a [u8], Option<Encoding>, Result<Encoding, &'a str>);
        let cases: &[Case<'_>] = &[
            ("UTF-8", "é".as_bytes(), None, Ok(Encoding::Utf8)),
            ("a mark", b"\xef\xbb\xbfa", None, Ok(Encoding::Utf8)),
            ("nothing", b"", None, Ok(Encoding::Utf8)),
            ("UTF-16 without a mark", &utf16, None, Err("utf-16")),
            ("UTF-16 with a mark", b"\xff\xfea\0", None, Err("utf-16")),
            ("UTF-16 with a mark, big-endian", b"\xfe\xff\0a", None, Err("utf-16")),
            ("Latin-1", b"caf\xe9,1\n", None, Err("latin1")),
            ("neither", b"caf\xe9\x81,1\n", None, Err("utf-8")),
            (
                "UTF-8 with a damaged letter",
                "é é é \u{e9}".as_bytes().split_last().expect("octets").1,
                None,
                Err("utf-8"),
            ),
            ("cut in two at the file's end", b"caf\xc3", None, Err("latin1")),
            ("a workbook", b"PK\x03\x04\x14", None, Err("export it as CSV")),
            ("declared against its mark", b"\xef\xbb\xbfa", Some(Encoding::Latin1), Err("utf-8")),
            ("declared against another mark", b"\xff\xfea\0", Some(Encoding::Utf8), Err("utf-16")),
            ("declared", b"caf\xe9", Some(Encoding::Latin1), Ok(Encoding::Latin1)),
            ("declared UTF-8 is believed", b"caf\xe9", Some(Encoding::Utf8), Ok(Encoding::Utf8)),
        ];
        for (name, head, declared, expected) in cases {
            match (Encoding::of(head, true, *declared), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, *expected, "{name}"),
                (Err(fault), Err(hint)) => {
                    assert!(fault.hint().is_some_and(|text| text.contains(hint)), "{name}: {fault}");
                }
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
        assert_eq!(Encoding::of(b"caf\xc3", false, None).expect("cut by the look"), Encoding::Utf8);
    }

    #[test]
    fn the_words_of_a_campaign_file() {
        for encoding in [Encoding::Utf8, Encoding::Latin1, Encoding::Utf16] {
            let read: Encoding = serde_json::from_str(&format!("\"{}\"", encoding.word())).expect("a word");
            assert_eq!(read, encoding);
        }
    }
}
