//! Times as text.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::temporal_conversions::as_datetime;
use arrow_array::types::{
    ArrowTemporalType, Date32Type, Date64Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_schema::{DataType, TimeUnit};

/// The text of a date, a time of day, a timestamp or a duration. Nothing where it lies outside the calendar.
pub(crate) fn text(array: &dyn Array, index: usize) -> Option<String> {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match array.data_type() {
        DataType::Date32 => date::<Date32Type>(array, index),
        DataType::Date64 => date::<Date64Type>(array, index),
        DataType::Timestamp(Second, zone) => timestamp::<TimestampSecondType>(array, index, zone.is_some()),
        DataType::Timestamp(Millisecond, zone) => timestamp::<TimestampMillisecondType>(array, index, zone.is_some()),
        DataType::Timestamp(Microsecond, zone) => timestamp::<TimestampMicrosecondType>(array, index, zone.is_some()),
        DataType::Timestamp(Nanosecond, zone) => timestamp::<TimestampNanosecondType>(array, index, zone.is_some()),
        DataType::Time32(Second) => Some(time(native::<Time32SecondType>(array, index), 1)),
        DataType::Time32(_) => Some(time(native::<Time32MillisecondType>(array, index), 1_000)),
        DataType::Time64(Microsecond) => Some(time(native::<Time64MicrosecondType>(array, index), 1_000_000)),
        DataType::Time64(_) => Some(time(native::<Time64NanosecondType>(array, index), 1_000_000_000)),
        DataType::Duration(Second) => Some(duration(native::<DurationSecondType>(array, index), 1)),
        DataType::Duration(Millisecond) => Some(duration(native::<DurationMillisecondType>(array, index), 1_000)),
        DataType::Duration(Microsecond) => Some(duration(native::<DurationMicrosecondType>(array, index), 1_000_000)),
        DataType::Duration(Nanosecond) => Some(duration(native::<DurationNanosecondType>(array, index), 1_000_000_000)),
        _ => None,
    }
}

fn native<T: ArrowTemporalType>(array: &dyn Array, index: usize) -> i64
where
    i64: From<T::Native>,
{
    array.as_primitive::<T>().value(index).into()
}

fn date<T: ArrowTemporalType>(array: &dyn Array, index: usize) -> Option<String>
where
    i64: From<T::Native>,
{
    Some(as_datetime::<T>(native::<T>(array, index))?.date().to_string())
}

fn timestamp<T: ArrowTemporalType>(array: &dyn Array, index: usize, zoned: bool) -> Option<String>
where
    i64: From<T::Native>,
{
    let zone = if zoned { "Z" } else { "" };
    // As `%Y-%m-%dT%H:%M:%S%.f` would have it, without chrono's interpreter of formats.
    Some(format!("{:?}{zone}", as_datetime::<T>(native::<T>(array, index))?))
}

/// `HH:MM:SS`, with a fraction if there is one. Twenty-four hours are kept as some databases write them.
fn time(ticks: i64, per_second: u32) -> String {
    let (sign, seconds, fraction) = parts(ticks, per_second);
    format!("{sign}{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// ISO 8601 in hours, minutes and seconds: how long a day is, a duration does not say.
fn duration(ticks: i64, per_second: u32) -> String {
    let (sign, seconds, fraction) = parts(ticks, per_second);
    let mut text = format!("{sign}PT");
    for (count, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if seconds % 60 > 0 || !fraction.is_empty() || text.ends_with('T') {
        text.push_str(&format!("{}{fraction}S", seconds % 60));
    }
    text
}

/// A minus sign or nothing, whole seconds, and the fraction in three, six or nine digits, or nothing.
fn parts(ticks: i64, per_second: u32) -> (&'static str, u64, String) {
    let size = ticks.unsigned_abs();
    let (seconds, rest) = (size / u64::from(per_second), size % u64::from(per_second));
    let nanos = rest * u64::from(1_000_000_000 / per_second);
    let fraction = match nanos {
        0 => String::new(),
        _ if nanos.is_multiple_of(1_000_000) => format!(".{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => format!(".{:06}", nanos / 1_000),
        _ => format!(".{nanos:09}"),
    };
    (if ticks < 0 { "-" } else { "" }, seconds, fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Date32Array, TimestampMicrosecondArray};

    #[test]
    fn times_of_day() {
        let cases = [
            (0, 1, "00:00:00"),
            (86_399, 1, "23:59:59"),
            (86_400, 1, "24:00:00"),
            (45_296_500, 1_000, "12:34:56.500"),
            (1, 1_000_000, "00:00:00.000001"),
            (1, 1_000_000_000, "00:00:00.000000001"),
            (-1, 1, "-00:00:01"),
        ];
        for (ticks, per_second, text) in cases {
            assert_eq!(time(ticks, per_second), text);
        }
    }

    /// chrono's own formats are the judge.
    #[test]
    fn dates_and_timestamps() {
        let days = (-800_000..3_000_000).step_by(997).chain([-719_529, -719_528, 2_932_896, 2_932_897, 95_026_236]);
        let dates = Date32Array::from_iter_values(days);
        for index in 0..dates.len() {
            let date = as_datetime::<Date32Type>(dates.value(index).into()).expect("in the calendar").date();
            assert_eq!(text(&dates, index), Some(date.format("%Y-%m-%d").to_string()));
        }
        let ticks =
            [0, -1, 1, 999, -62_135_596_800_000_000, 1_674_813_600_500_000, 253_402_300_800_000_001, i64::MAX / 2];
        let stamps = TimestampMicrosecondArray::from_iter_values(ticks).with_timezone_utc();
        for index in 0..stamps.len() {
            let stamp = as_datetime::<TimestampMicrosecondType>(stamps.value(index));
            assert_eq!(text(&stamps, index), stamp.map(|stamp| stamp.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string()));
        }
    }

    #[test]
    fn durations() {
        let cases = [
            (0, 1, "PT0S"),
            (90_000, 1, "PT25H"),
            (3_661, 1, "PT1H1M1S"),
            (-1_500, 1_000, "-PT1.500S"),
            (60_000_001, 1_000_000, "PT1M0.000001S"),
            (i64::MIN, 1_000_000_000, "-PT2562047H47M16.854775808S"),
        ];
        for (ticks, per_second, text) in cases {
            assert_eq!(duration(ticks, per_second), text);
        }
    }
}
