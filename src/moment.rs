//! A moment as people write it: `06:00`, `2h`, or RFC 3339.

use chrono::{DateTime, Days, FixedOffset, Local, MappedLocalTime, NaiveDateTime, NaiveTime, TimeZone};
use engine::clock::Timestamp;

/// The next such moment from now, in the machine's time zone.
///
/// # Errors
/// It is no moment, or it is past.
pub fn next(text: &str) -> Result<Timestamp, String> {
    let at = |local: NaiveDateTime| Local.from_local_datetime(&local).map(|at| at.fixed_offset());
    let moment = next_from(text, Local::now().fixed_offset(), at)?;
    u64::try_from(moment.timestamp_millis()).map(Timestamp).map_err(|_| FORMS.into())
}

const FORMS: &str = "a time of day like 06:00, a span like 2h, or RFC 3339 like 2026-11-23T06:00:00+01:00";

/// `at` says which moments the clocks on the wall show as a local time: none, one, or two.
fn next_from(
    text: &str,
    now: DateTime<FixedOffset>,
    at: impl Fn(NaiveDateTime) -> MappedLocalTime<DateTime<FixedOffset>>,
) -> Result<DateTime<FixedOffset>, String> {
    if let Some(time) = ["%H:%M", "%H:%M:%S"].iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok()) {
        return time_of_day(time, now, at).ok_or_else(|| format!("there is no {text} soon"));
    }
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return if moment > now { Ok(moment) } else { Err("that is past".into()) };
    }
    let span = humantime::parse_duration(text).ok().filter(|span| !span.is_zero());
    let moment = span.and_then(|span| now.checked_add_signed(chrono::Duration::from_std(span).ok()?));
    moment.ok_or_else(|| FORMS.into())
}

/// The first moment after `now` at which clocks show `time`. On the day they skip it, an hour later; on the day they show it
/// twice, the first that is still to come.
fn time_of_day(
    time: NaiveTime,
    now: DateTime<FixedOffset>,
    at: impl Fn(NaiveDateTime) -> MappedLocalTime<DateTime<FixedOffset>>,
) -> Option<DateTime<FixedOffset>> {
    let today = now.date_naive();
    let days = (0..3).filter_map(|days| today.checked_add_days(Days::new(days)));
    let moments = days.flat_map(|day| {
        let local = day.and_time(time);
        match at(local) {
            MappedLocalTime::Single(moment) => vec![moment],
            MappedLocalTime::Ambiguous(first, second) => vec![first, second],
            MappedLocalTime::None => at(local + chrono::Duration::hours(1)).earliest().into_iter().collect(),
        }
    });
    moments.into_iter().find(|moment| *moment > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339(text).unwrap()
    }

    /// Berlin in 2026: summer time from 29 March 02:00 to 25 October 03:00.
    fn berlin(local: NaiveDateTime) -> MappedLocalTime<DateTime<FixedOffset>> {
        let (winter, summer) = (FixedOffset::east_opt(3600).unwrap(), FixedOffset::east_opt(7200).unwrap());
        let change = |text: &str| text.parse::<NaiveDateTime>().unwrap();
        let spring = change("2026-03-29T02:00:00")..change("2026-03-29T03:00:00");
        let autumn = change("2026-10-25T02:00:00")..change("2026-10-25T03:00:00");
        match local {
            local if spring.contains(&local) => MappedLocalTime::None,
            local if autumn.contains(&local) => MappedLocalTime::Ambiguous(
                summer.from_local_datetime(&local).unwrap(),
                winter.from_local_datetime(&local).unwrap(),
            ),
            local if local >= spring.end && local < autumn.start => summer.from_local_datetime(&local),
            local => winter.from_local_datetime(&local),
        }
    }

    #[test]
    fn the_next_such_moment() {
        for (text, now, expected) in [
            ("06:00", "2026-11-22T05:59:59+01:00", "2026-11-22T06:00:00+01:00"),
            ("06:00", "2026-11-22T06:00:00+01:00", "2026-11-23T06:00:00+01:00"),
            ("06:00", "2026-11-22T23:59:59+01:00", "2026-11-23T06:00:00+01:00"),
            ("6:30", "2026-12-31T23:00:00+01:00", "2027-01-01T06:30:00+01:00"),
            ("00:00", "2026-11-22T00:00:00+01:00", "2026-11-23T00:00:00+01:00"),
            ("00:00", "2026-11-22T23:59:59+01:00", "2026-11-23T00:00:00+01:00"),
            ("23:59:30", "2026-11-22T23:59:29+01:00", "2026-11-22T23:59:30+01:00"),
            // Clocks go from 02:00 to 03:00: there is no 02:30 that night, and 03:00 comes an hour sooner.
            ("02:30", "2026-03-28T22:00:00+01:00", "2026-03-29T03:30:00+02:00"),
            ("06:00", "2026-03-28T22:00:00+01:00", "2026-03-29T06:00:00+02:00"),
            // Clocks go from 03:00 to 02:00: 02:30 comes twice.
            ("02:30", "2026-10-24T22:00:00+02:00", "2026-10-25T02:30:00+02:00"),
            ("02:30", "2026-10-25T02:45:00+02:00", "2026-10-25T02:30:00+01:00"),
            ("02:30", "2026-10-25T02:45:00+01:00", "2026-10-26T02:30:00+01:00"),
            ("2h", "2026-11-22T23:00:00+01:00", "2026-11-23T01:00:00+01:00"),
            ("1h 30m", "2026-10-25T01:45:00+02:00", "2026-10-25T02:15:00+01:00"),
            ("2026-11-23T06:00:00Z", "2026-11-22T23:00:00+01:00", "2026-11-23T06:00:00+00:00"),
        ] {
            assert_eq!(next_from(text, moment(now), berlin), Ok(moment(expected)), "{text} at {now}");
        }
    }

    #[test]
    fn what_is_none() {
        let now = moment("2026-11-22T12:00:00+01:00");
        for text in ["", "24:00", "soon", "0s", "6", "06:60", "2026-11-23", "-2h", "99999999999 years"] {
            assert!(next_from(text, now, berlin).is_err(), "{text}");
        }
        let past = next_from("2026-11-22T12:00:00+01:00", now, berlin);
        assert_eq!(past, Err("that is past".into()));
        assert!(next("1h").unwrap() > next("59min").unwrap());
    }
}
