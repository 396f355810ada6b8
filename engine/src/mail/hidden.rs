//! What does not look like what it is.

/// Whether `c` can't be seen, or changes how its neighbours are seen.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' // invisible
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' // joiners, line ends, direction
            | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' // variation selectors
            | '\u{fff0}'..='\u{ffff}' | '\u{e000}'..='\u{f8ff}' // specials, private use
            | '\u{e0000}'..='\u{10ffff}' // tags, variation selectors, private use
        )
}

/// Whether `text`, as a header's value or a file's name, could be shown as something else: by hidden characters, or by `=?`,
/// with which an encoded word (RFC 2047) begins. Persian and the scripts of India are not written without joiners, nor some
/// emoji without their selector.
pub(crate) fn misleads(text: &str) -> bool {
    let is_joiner = |c| matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe0f}');
    text.contains("=?") || text.contains(|c| is_hidden(c) && !is_joiner(c))
}

#[cfg(test)]
mod tests {
    use super::misleads;

    #[test]
    fn what_misleads_and_what_does_not() {
        for text in ["a\u{202e}b", "a\u{200b}", "\u{feff}a", "a\r\nb", "a\0", "=?utf-8?Q?a?=", "a\u{180b}", "\u{e0041}"]
        {
            assert!(misleads(text), "{text:?}");
        }
        for text in ["Zoë's bill = 1?", "می\u{200c}خواهم", "❤\u{fe0f}", "l\u{a0}avis", "张\u{3000}伟", "क्\u{200d}ष"]
        {
            assert!(!misleads(text), "{text:?}");
        }
    }
}
