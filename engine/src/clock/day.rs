//! Calendar days, and where they begin.

use super::Timestamp;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A calendar day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub u32);

/// Where days begin: so many seconds east of UTC. It does not move with the season: each day has 24 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone(i32);

const DAY: i64 = 24 * 3600;
/// No place on Earth is further from UTC.
const FURTHEST: i32 = 14 * 3600;

impl Day {
    /// The day of `at`, in UTC.
    pub fn of(at: Timestamp) -> Day {
        Zone::default().day(at)
    }

    /// When it begins, in UTC.
    pub fn begin(self) -> Timestamp {
        Zone::default().begins(self)
    }

    /// When it is over, in UTC.
    pub fn end(self) -> Timestamp {
        Zone::default().begins(Day(self.0.saturating_add(1)))
    }

    /// Reads `2026-11-20`.
    pub fn parse(text: &str) -> Option<Day> {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        let days = date.signed_duration_since(NaiveDate::default()).num_days();
        // chrono also reads "2026-1-2".
        u32::try_from(days).ok().map(Day).filter(|day| day.to_string() == text)
    }

    /// How many days after `other` this is; `None` if it is before.
    pub fn after(self, other: Day) -> Option<u32> {
        self.0.checked_sub(other.0)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NaiveDate::default().checked_add_days(chrono::Days::new(self.0.into())) {
            Some(date) => write!(f, "{}", date.format("%Y-%m-%d")),
            None => write!(f, "day {}", self.0),
        }
    }
}

impl Zone {
    /// Reads `UTC`, or a distance from it like `-05:00`.
    pub fn parse(text: &str) -> Option<Zone> {
        if text == "UTC" {
            return Some(Zone(0));
        }
        let (sign, rest) = match text.as_bytes().first()? {
            b'+' => (1, &text[1..]),
            b'-' => (-1, &text[1..]),
            _ => return None,
        };
        let (hours, minutes) = rest.split_once(':')?;
        let number = |text: &str| {
            let plain = text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_digit());
            text.parse::<i32>().ok().filter(|_| plain)
        };
        let (hours, minutes) = (number(hours)?, number(minutes).filter(|minutes| *minutes < 60)?);
        let seconds = hours * 3600 + minutes * 60;
        (seconds <= FURTHEST).then_some(Zone(sign * seconds))
    }

    /// The day of `time`.
    pub fn day(self, time: Timestamp) -> Day {
        let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX / 2) + i64::from(self.0);
        Day(u32::try_from(seconds.div_euclid(DAY)).unwrap_or(if seconds < 0 { 0 } else { u32::MAX }))
    }

    /// When `day` begins.
    pub fn begins(self, day: Day) -> Timestamp {
        let seconds = i64::from(day.0) * DAY - i64::from(self.0);
        Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("UTC");
        }
        let (sign, minutes) = (if self.0 < 0 { '-' } else { '+' }, self.0.abs() / 60);
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20.
    const FIRST: u32 = 20_777;

    #[test]
    fn days_are_read_and_written() {
        assert_eq!(Day::parse("2026-11-20"), Some(Day(FIRST)));
        assert_eq!(Day(FIRST).to_string(), "2026-11-20");
        assert_eq!(Day::parse("1970-01-01"), Some(Day(0)));
        for text in ["1970-01-01", "2016-02-29", "2026-11-22"] {
            let day = Day::parse(text).expect("a day");
            assert_eq!(day.to_string(), text);
            assert_eq!((Day::of(day.begin()), Day::of(Timestamp(day.end().0 - 1))), (day, day));
            assert_ne!(Day::of(day.end()), day);
        }
        for wrong in ["", "2026-11-31", "2026-1-2", "20261120", "1969-12-31", "2026-11-20T00:00:00", "soon"] {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_day_begins_where_its_zone_says() {
        let (utc, east, west) = (Zone::parse("UTC"), Zone::parse("+05:30"), Zone::parse("-05:00"));
        let (utc, east, west) = (utc.expect("a zone"), east.expect("a zone"), west.expect("a zone"));
        assert_eq!([utc, east, west].map(|zone| zone.to_string()), ["UTC", "+05:30", "-05:00"]);
        let late = Timestamp(Day(FIRST).begin().0 + 23 * 3_600_000);
        assert_eq!([utc, east, west].map(|zone| zone.day(late)), [Day(FIRST), Day(FIRST + 1), Day(FIRST)]);
        for zone in [utc, east, west] {
            let begin = zone.begins(Day(FIRST));
            assert_eq!((zone.day(begin), zone.day(Timestamp(begin.0 - 1))), (Day(FIRST), Day(FIRST - 1)));
        }
        for wrong in ["", "utc", "+5:30", "05:30", "+05:60", "+15:00", "-99:00", "+-1:00", "America/New_York"] {
            assert_eq!(Zone::parse(wrong), None, "{wrong}");
        }
    }
}
