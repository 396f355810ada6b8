//! Days: read as ISO 8601 writes them, shown as a language does.

use super::language::Calendar;
use chrono::{Datelike, NaiveDate};
use std::fmt::Write;

/// `2023-01-27`, or what else chrono takes for that.
pub(super) fn read_day(written: &str) -> Option<NaiveDate> {
    let number = |part: &[u8]| {
        part.iter().try_fold(0, |number, octet| octet.is_ascii_digit().then(|| number * 10 + u16::from(octet - b'0')))
    };
    let read = match written.as_bytes() {
        [year @ .., b'-', m, month, b'-', d, day] if year.len() == 4 => {
            let (year, month, day) = (number(year), number(&[*m, *month]), number(&[*d, *day]));
            year.zip(month).zip(day).map(|((year, month), day)| (year.into(), month.into(), day.into()))
        }
        _ => None,
    };
    match read {
        Some((year, month, day)) => NaiveDate::from_ymd_opt(year, month, day),
        None => NaiveDate::parse_from_str(written, "%Y-%m-%d").ok(),
    }
}

pub(super) fn date_format(format: &str, calendar: Calendar) -> Result<&str, String> {
    match format {
        "long" => Ok(calendar.long),
        "short" => Ok(calendar.short),
        "iso" => Ok("%Y-%m-%d"),
        custom if custom.contains('%') => Ok(custom),
        _ => Err("date: its format is \"long\", \"short\", \"iso\" or one with %".into()),
    }
}

pub(super) fn dated(day: NaiveDate, format: &str, calendar: Calendar) -> Result<String, String> {
    if let Some(shown) = usual(day, format, calendar) {
        return Ok(shown);
    }
    let mut shown = String::new();
    let written = match calendar.locale {
        Some(locale) => write!(shown, "{}", day.format_localized(format, locale)),
        None => write!(shown, "{}", day.format(format)),
    };
    written.map(|()| shown).map_err(|_| "date: its format can't be used".into())
}

/// The formats that nearly all letters use, without chrono's interpreter.
fn usual(day: NaiveDate, format: &str, calendar: Calendar) -> Option<String> {
    let (year, month, number) = (day.year(), day.month(), day.day());
    if calendar.locale.is_some() || !(0..=9999).contains(&year) {
        return None;
    }
    match format {
        "%B %-d, %Y" => {
            let name = MONTHS.get(usize::try_from(day.month0()).ok()?)?;
            Some(format!("{name} {number}, {year:04}"))
        }
        "%m/%d/%Y" => Some(format!("{month:02}/{number:02}/{year:04}")),
        "%Y-%m-%d" => Some(format!("{year:04}-{month:02}-{number:02}")),
        _ => None,
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
