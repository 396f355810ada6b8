//! Which language a row gets, and how that language writes dates.

use super::ColumnName;
use chrono::Locale;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// A row's language by its column.
pub(super) struct Choice {
    column: ColumnName,
    /// Number of the wording by tag in lower case.
    wordings: HashMap<String, usize>,
}

impl Choice {
    pub(super) fn new<'a>(column: &ColumnName, tags: impl Iterator<Item = &'a str>) -> Choice {
        Choice { column: column.clone(), wordings: tags.enumerate().map(|(at, tag)| (normal(tag), at)).collect() }
    }

    /// The wording for `row`: the tag itself, then without its last subtag and so on (RFC 4647 section 3.4, "lookup"), else the
    /// first.
    pub(super) fn of(&self, row: &Map<String, Value>) -> usize {
        let Some(tag) = self.column.of(row) else { return 0 };
        let tag = normal(&tag);
        let mut range = tag.as_str();
        loop {
            if let Some(wording) = self.wordings.get(range) {
                return *wording;
            }
            match range.rsplit_once('-') {
                Some((shorter, _)) => range = shorter,
                None => return 0,
            }
        }
    }
}

/// `ES_mx` and `es-MX` are one.
fn normal(tag: &str) -> String {
    tag.trim().to_ascii_lowercase().replace('_', "-")
}

/// Whether `tag` looks like one: letters first, then subtags of letters and digits (RFC 5646).
pub(crate) fn is_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let first = subtags
        .next()
        .is_some_and(|first| (2..=8).contains(&first.len()) && first.bytes().all(|octet| octet.is_ascii_alphabetic()));
    first
        && subtags.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_alphanumeric()))
}

/// How a language writes dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    /// Whose names months and weekdays have; English ones where none.
    pub(super) locale: Option<Locale>,
    /// `{{date d}}`.
    pub(super) long: &'static str,
    /// `{{date d "short"}}`: figures in America's order, which only its English readers take for what it is.
    pub(super) short: &'static str,
}

impl Calendar {
    /// America's.
    pub(super) const ENGLISH: Calendar = Calendar { locale: None, long: "%B %-d, %Y", short: "%m/%d/%Y" };

    /// That of `tag`. A language that glibc's locales don't have gets English names.
    pub(super) fn of(tag: &str) -> Calendar {
        let tag = normal(tag);
        let (language, region) = tag.split_once('-').unwrap_or((&tag, ""));
        if language == "en" {
            return Calendar::ENGLISH;
        }
        let long = match language {
            "es" | "pt" => "%-d de %B de %Y",
            "de" | "da" | "nb" | "fi" | "cs" => "%-d. %B %Y",
            "zh" | "ja" => "%Y年%-m月%-d日",
            "ko" => "%Y년 %-m월 %-d일",
            "vi" => "ngày %-d tháng %-m năm %Y",
            _ => "%-d %B %Y",
        };
        let short = if matches!(language, "zh" | "ja" | "ko" | "vi") { "%Y-%m-%d" } else { "%-d %b %Y" };
        Calendar { locale: locale(language, region), long, short }
    }
}

/// glibc names a locale by language and country; a tag without one means the country that most readers of such notices, or
/// the language itself, come from.
fn locale(language: &str, region: &str) -> Option<Locale> {
    let country = match language {
        _ if region.len() == 2 => region.to_ascii_uppercase(),
        "am" => "ET".into(),
        "ar" => "EG".into(),
        "bn" => "BD".into(),
        "cs" => "CZ".into(),
        "da" => "DK".into(),
        "el" => "GR".into(),
        "fa" => "IR".into(),
        "gu" | "hi" | "pa" | "ta" | "te" => "IN".into(),
        "he" => "IL".into(),
        "hy" => "AM".into(),
        "ja" => "JP".into(),
        "km" => "KH".into(),
        "ko" => "KR".into(),
        "lo" => "LA".into(),
        "my" => "MM".into(),
        "nb" => "NO".into(),
        "ne" => "NP".into(),
        "sv" => "SE".into(),
        "tl" => "PH".into(),
        "uk" => "UA".into(),
        "ur" => "PK".into(),
        "vi" => "VN".into(),
        "zh" if region == "hant" => "TW".into(),
        "zh" => "CN".into(),
        own => own.to_ascii_uppercase(),
    };
    let named = |country: &str| Locale::try_from(format!("{language}_{country}").as_str()).ok();
    named(&country).or_else(|| if region.is_empty() { None } else { locale(language, "") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_gets_the_nearest_language() {
        let column = ColumnName { path: "t.toml".into(), line: 1, name: "lang".into() };
        let choice = Choice::new(&column, ["en", "es", "zh-Hant", "12"].into_iter());
        let cases = [
            (json!({"lang": "es"}), 1),
            (json!({"lang": " ES "}), 1),
            (json!({"lang": "es-MX"}), 1),
            (json!({"lang": "es_419"}), 1),
            (json!({"lang": "zh-hant-TW"}), 2),
            (json!({"lang": "zh-Hans"}), 0),
            (json!({"lang": "est"}), 0),
            (json!({"lang": ""}), 0),
            (json!({"lang": null}), 0),
            (json!({"lang": 12}), 3),
            (json!({}), 0),
        ];
        for (row, expected) in cases {
            assert_eq!(choice.of(row.as_object().expect("an object")), expected, "{row}");
        }
    }

    #[test]
    fn calendars_and_tags() {
        assert_eq!(Calendar::of("es").locale, Some(Locale::es_ES));
        assert_eq!(Calendar::of("es-MX").locale, Some(Locale::es_MX));
        assert_eq!(Calendar::of("es-419").locale, Some(Locale::es_ES));
        assert_eq!(Calendar::of("zh-Hant").locale, Some(Locale::zh_TW));
        assert_eq!(Calendar::of("hmn").locale, None);
        assert_eq!(Calendar::of("en-US"), Calendar::ENGLISH);
        for (tag, is) in [("es", true), ("zh-Hant", true), ("es_MX", false), ("", false), ("e", false), ("es-", false)]
        {
            assert_eq!(is_tag(tag), is, "{tag}");
        }
    }
}
