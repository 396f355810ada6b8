//! `[message]` as written. Every default has its reason in `config/campaign.toml`.

use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::path::PathBuf;
use toml::Spanned;

/// `[message]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageTable {
    /// `Name <address>`.
    pub from: Spanned<String>,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<Spanned<String>>,
    /// The domain of the envelope sender.
    pub return_path: Spanned<String>,
    /// The recipient's name in `To`: a template of public columns.
    pub to_name: Option<Spanned<String>>,
    /// A template of public columns.
    pub subject: Spanned<String>,
    /// The HTML template's file.
    pub html: Option<Spanned<PathBuf>>,
    /// The text template's file; made from the HTML where missing.
    pub text: Option<Spanned<PathBuf>>,
    /// The folder with templates that others include.
    pub partials: Option<Spanned<PathBuf>>,
    /// `Feedback-ID`: up to four fields, the last of them the sender's.
    pub feedback_id: Option<Spanned<String>>,
    /// `Auto-Submitted: auto-generated`.
    #[serde(default = "yes")]
    pub auto_submitted: bool,
    /// The largest message.
    #[serde(default)]
    pub max_size: MaxSize,
    /// More header fields; values are templates of public columns.
    #[serde(default)]
    pub headers: BTreeMap<String, Spanned<String>>,
    /// Files that go with it.
    #[serde(default)]
    pub attachment: Vec<Spanned<AttachmentTable>>,
    /// Which row gets which language.
    pub language: Option<LanguageTable>,
    /// What is said differently in a language.
    #[serde(default)]
    pub locale: BTreeMap<Spanned<String>, LocaleTable>,
}

/// `[[message.attachment]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentTable {
    /// A file for everybody.
    pub path: Option<Spanned<PathBuf>>,
    /// The column with the path of the row's file.
    pub column: Option<Spanned<String>>,
    /// The folder in which rows' files lie.
    pub folder: Option<Spanned<PathBuf>>,
    /// What the recipient sees it called: a template of public columns.
    pub name: Option<Spanned<String>>,
    /// Its media type, where the name's ending doesn't tell.
    #[serde(rename = "type")]
    pub kind: Option<Spanned<String>>,
    /// Whether rows without a value get none.
    #[serde(default)]
    pub optional: bool,
    /// What HTML calls it.
    pub inline: Option<Spanned<String>>,
    /// Only for rows in this language.
    pub language: Option<Spanned<String>>,
}

/// `[message.language]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageTable {
    /// The column with a row's language.
    pub column: Spanned<String>,
    /// The language of `[message]` itself, and of rows whose own is unknown.
    pub default: Spanned<String>,
}

/// `[message.locale.TAG]`: what is missing here is as `[message]` has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocaleTable {
    /// The sender's display name.
    pub from_name: Option<Spanned<String>>,
    /// The subject.
    pub subject: Option<Spanned<String>>,
    /// The HTML template's file.
    pub html: Option<Spanned<PathBuf>>,
    /// The text template's file.
    pub text: Option<Spanned<PathBuf>>,
}

/// A size as people write it: `10 MB`, `512 KiB`, `65536`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxSize(pub usize);

impl Default for MaxSize {
    fn default() -> MaxSize {
        MaxSize(10_000_000)
    }
}

impl MaxSize {
    fn parse(text: &str) -> Option<MaxSize> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let unit = match text[digits..].trim() {
            "" | "B" => 1,
            "kB" | "KB" => 1000,
            "MB" => 1_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return None,
        };
        let number: usize = text[..digits].parse().ok()?;
        number.checked_mul(unit).filter(|octets| (1024..=MOST).contains(octets)).map(MaxSize)
    }
}

impl<'de> Deserialize<'de> for MaxSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MaxSize, D::Error> {
        let text = String::deserialize(deserializer)?;
        MaxSize::parse(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "\"{text}\" is no size from 1 KiB to 150 MB: write it like \"10 MB\" or \"512 KiB\""
            ))
        })
    }
}

/// No provider takes more, and a message is held in memory whole.
const MOST: usize = 150_000_000;

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases = [
            ("10 MB", Some(10_000_000)),
            ("512KiB", Some(524_288)),
            ("65536", Some(65_536)),
            ("1 MiB", Some(1_048_576)),
            ("1", None),
            ("10 GB", None),
            ("-1 MB", None),
            ("MB", None),
            ("99999999999999999999 MB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(MaxSize::parse(text).map(|size| size.0), expected, "{text}");
        }
    }
}
