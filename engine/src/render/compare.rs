//! Which of two values is more: amounts by what they are worth, with every digit, and text as text.

use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

/// How `left` stands to `right`: numbers where both read as decimals, else text by characters (so that dates in ISO 8601
/// compare right), else two truths. `None`: they can't be compared.
pub(super) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (Decimal::of(left), Decimal::of(right), left, right) {
        (Some(left), Some(right), ..) => Some(left.compare(&right)),
        (_, _, Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (_, _, Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// A decimal of any length, as its digits: without a whole part's leading zeros and a fraction's trailing ones. Zero has no
/// sign.
struct Decimal<'a> {
    negative: bool,
    whole: Cow<'a, str>,
    fraction: Cow<'a, str>,
}

impl<'a> Decimal<'a> {
    fn of(value: &'a Value) -> Option<Decimal<'a>> {
        match value {
            Value::String(text) => Decimal::parse(text.trim()),
            Value::Number(number) => {
                let text = number.to_string();
                let decimal = match text.split_once(['e', 'E']) {
                    None => Decimal::parse(&text)?,
                    // How a float far from one is written: `1e-7`.
                    Some((digits, exponent)) => Decimal::parse(digits)?.shifted(exponent.parse().ok()?)?,
                };
                Some(decimal.owned())
            }
            _ => None,
        }
    }

    fn parse(text: &'a str) -> Option<Decimal<'a>> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let number = |part: &str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit());
        if !number(whole) || !number(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let negative = text.starts_with('-') && !(whole.is_empty() && fraction.is_empty());
        Some(Decimal { negative, whole: whole.into(), fraction: fraction.into() })
    }

    /// The same times ten to the power of `exponent`, which is no more than a double's.
    fn shifted(&self, exponent: i32) -> Option<Decimal<'static>> {
        let shift = usize::try_from(exponent.unsigned_abs()).ok().filter(|shift| *shift <= 400)?;
        let (before, after) = if exponent < 0 { (shift, 0) } else { (0, shift) };
        let all = format!("{:0<before$}{}{}{:0<after$}", "", self.whole, self.fraction, "");
        let point = if exponent < 0 { self.whole.len() } else { self.whole.len() + after };
        let (whole, fraction) = all.split_at(point);
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        Some(Decimal { negative: self.negative, whole: whole.to_owned().into(), fraction: fraction.to_owned().into() })
    }

    fn owned(self) -> Decimal<'static> {
        let own = |part: Cow<'_, str>| Cow::Owned(part.into_owned());
        Decimal { negative: self.negative, whole: own(self.whole), fraction: own(self.fraction) }
    }

    fn compare(&self, other: &Decimal<'_>) -> Ordering {
        let worth = |left: &Decimal<'_>, right: &Decimal<'_>| {
            let length = left.whole.len().cmp(&right.whole.len());
            length.then_with(|| left.whole.cmp(&right.whole)).then_with(|| left.fraction.cmp(&right.fraction))
        };
        match (self.negative, other.negative) {
            (false, false) => worth(self, other),
            (true, true) => worth(other, self),
            (mine, others) => others.cmp(&mine),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts_are_worth_what_they_are() {
        let cases = [
            (json!("100.00"), json!("99.00"), Some(Ordering::Greater)),
            (json!("58.1"), json!("58.10"), Some(Ordering::Equal)),
            (json!("-0.00"), json!(0), Some(Ordering::Equal)),
            (json!("-2"), json!("-10"), Some(Ordering::Greater)),
            (json!("-1"), json!(" +1 "), Some(Ordering::Less)),
            (json!("007"), json!(7), Some(Ordering::Equal)),
            (json!("9007199254740993.01"), json!("9007199254740993.02"), Some(Ordering::Less)),
            (json!(1e21), json!("1000000000000000000000"), Some(Ordering::Equal)),
            (json!(1.5e-7), json!("0.00000015"), Some(Ordering::Equal)),
            (json!(0.05), json!("0.5"), Some(Ordering::Less)),
            (json!("2024-02-29"), json!("2024-10-01"), Some(Ordering::Less)),
            (json!("HMO"), json!("100"), Some(Ordering::Greater)),
            (json!(false), json!(true), Some(Ordering::Less)),
            (json!("1,005.08"), json!(0), None),
            (json!("1."), json!(0), None),
            (json!(true), json!("true"), None),
            (json!([1]), json!([1]), None),
            (json!(null), json!(0), None),
        ];
        for (left, right, expected) in cases {
            assert_eq!(compare(&left, &right), expected, "{left} {right}");
            assert_eq!(compare(&right, &left), expected.map(Ordering::reverse), "{right} {left}");
        }
    }

    proptest::proptest! {
        /// Scaled integers are the judge.
        #[test]
        fn as_integers_would(left: i64, right: i64, scale in 0..18_usize) {
            let written = |number: i64| {
                let digits = format!("{:0>width$}", number.unsigned_abs(), width = scale + 1);
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                json!(format!("{}{whole}.{fraction}0", if number < 0 { "-" } else { "" }))
            };
            proptest::prop_assert_eq!(compare(&written(left), &written(right)), Some(left.cmp(&right)));
        }
    }
}
