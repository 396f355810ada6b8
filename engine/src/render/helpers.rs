//! What a notice about money and dates needs. No value enters an error: it may be PHI.

use super::language::Calendar;
use chrono::NaiveDate;
use handlebars::{
    Context, Handlebars, Helper, HelperDef, PathAndJson, RenderContext, RenderError, RenderErrorReason, ScopedJson,
};
use serde_json::Value;
use std::fmt::Write;

/// How the reason of a missing parameter ends.
pub(super) const NO_VALUE: &str = "has no value";

/// Our helpers and those of handlebars that templates may use.
const BUILT_IN: [&str; 16] =
    ["if", "unless", "each", "with", "lookup", "raw", "len", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not"];

type Compute = fn(&Helper<'_>) -> Result<Value, RenderError>;

/// Name and body of each helper; templates may use these and [`BUILT_IN`], nothing else.
const OURS: [(&str, Compute); 5] =
    [("money", money), ("mask", mask), ("plural", plural), ("default", default), ("pad", pad)];

/// The helper that depends on the language.
const DATE: &str = "date";

pub(super) fn register(registry: &mut Handlebars<'static>, calendar: Calendar) {
    // It would write values to a log.
    registry.unregister_helper("log");
    for (name, compute) in OURS {
        registry.register_helper(name, Box::new(Plain(compute)));
    }
    registry.register_helper(DATE, Box::new(Dated(calendar)));
}

pub(super) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OURS.iter().map(|(name, _)| *name).chain([DATE]).chain(BUILT_IN)
}

/// A helper that computes a value from its parameters and writes nothing itself, so that it works as a subexpression too.
struct Plain(Compute);

impl HelperDef for Plain {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        Ok(ScopedJson::Derived((self.0)(helper)?))
    }
}

/// [`date`] in a language.
struct Dated(Calendar);

impl HelperDef for Dated {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        Ok(ScopedJson::Derived(date(helper, self.0)?))
    }
}

fn fail(what: String) -> RenderError {
    RenderErrorReason::Other(what).into()
}

fn param<'a>(helper: &'a Helper<'_>, index: usize) -> Result<&'a PathAndJson<'a>, RenderError> {
    let name = helper.name();
    let param = helper.param(index).ok_or_else(|| fail(format!("{name} needs {} parameters", index + 1)))?;
    if param.is_value_missing() || param.value().is_null() {
        let path = param.relative_path().map_or("its parameter", String::as_str);
        return Err(fail(format!("{name}: {path} {NO_VALUE}")));
    }
    Ok(param)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `{{money owe}}`: `1005.08` → `$1,005.08`. `currency="€"` changes the sign. Digits are never lost: a third decimal that
/// isn't zero is refused.
fn money(helper: &Helper<'_>) -> Result<Value, RenderError> {
    let amount = text(param(helper, 0)?.value());
    let sign = helper.hash_get("currency").map_or_else(|| "$".to_owned(), |value| text(value.value()));
    let (minus, digits) = match amount.trim().strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", amount.trim()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let number = |part: &str| part.bytes().all(|octet| octet.is_ascii_digit());
    let (cents, rest) = fraction.split_at_checked(2).unwrap_or((fraction, ""));
    if whole.is_empty() || !number(whole) || !number(fraction) || rest.bytes().any(|octet| octet != b'0') {
        return Err(fail("money: its parameter is no amount with at most two decimals".into()));
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut grouped = String::with_capacity(whole.len() + whole.len() / 3);
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    Ok(format!("{minus}{sign}{grouped}.{cents:0<2}").into())
}

/// `{{date d}}` → `January 27, 2023`, in Spanish `27 de enero de 2023`; `"short"` → `01/27/2023`, `27 ene 2023`; `"iso"` →
/// `2023-01-27`; anything with `%` is a strftime format. Takes dates and timestamps in ISO 8601.
fn date(helper: &Helper<'_>, calendar: Calendar) -> Result<Value, RenderError> {
    let written = text(param(helper, 0)?.value());
    let format = helper.param(1).map_or_else(|| "long".to_owned(), |param| text(param.value()));
    let format = match format.as_str() {
        "long" => calendar.long,
        "short" => calendar.short,
        "iso" => "%Y-%m-%d",
        custom if custom.contains('%') => custom,
        _ => return Err(fail("date: its format is \"long\", \"short\", \"iso\" or one with %".into())),
    };
    let day = written.trim().get(..10).unwrap_or(&written);
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d")
        .map_err(|_| fail("date: its parameter is no date like 2023-01-27".into()))?;
    let mut shown = String::new();
    let written = match calendar.locale {
        Some(locale) => write!(shown, "{}", day.format_localized(format, locale)),
        None => write!(shown, "{}", day.format(format)),
    };
    written.map_err(|_| fail("date: its format can't be used".into()))?;
    Ok(shown.into())
}

/// `{{mask id}}` → `•••• 265F`: the last four characters, or `keep=N` of them; never more than half of the value.
fn mask(helper: &Helper<'_>) -> Result<Value, RenderError> {
    let value = text(param(helper, 0)?.value());
    let keep = helper.hash_get("keep").and_then(|keep| keep.value().as_u64()).unwrap_or(4);
    let count = value.chars().count();
    let keep = usize::try_from(keep).unwrap_or(count).min(count / 2);
    let tail: String = value.chars().skip(count - keep).collect();
    Ok(format!("•••• {tail}").trim_end().into())
}

/// `{{plural lines "service" "services"}}`: the word for a number or for the length of a list.
fn plural(helper: &Helper<'_>) -> Result<Value, RenderError> {
    let one = match param(helper, 0)?.value() {
        Value::Array(items) => items.len() == 1,
        value => {
            let count: f64 =
                text(value).trim().parse().map_err(|_| fail("plural: its parameter is no number or list".into()))?;
            (count - 1.0).abs() < f64::EPSILON
        }
    };
    Ok(param(helper, if one { 1 } else { 2 })?.value().clone())
}

/// `{{default nickname first_name "Member"}}`: the first that is there and not empty.
fn default(helper: &Helper<'_>) -> Result<Value, RenderError> {
    let filled = |value: &&Value| !value.is_null() && value.as_str() != Some("");
    let mut params = helper.params().iter().filter(|param| !param.is_value_missing()).map(PathAndJson::value);
    params.find(filled).cloned().ok_or_else(|| fail(format!("default: every parameter {NO_VALUE}")))
}

/// `{{pad name 20}}` or `{{pad (money owe) 12 "right"}}`: to a width in characters, cut with `…` where it is longer.
fn pad(helper: &Helper<'_>) -> Result<Value, RenderError> {
    let value = text(param(helper, 0)?.value());
    let width = param(helper, 1)?.value().as_u64().and_then(|width| usize::try_from(width).ok());
    let width =
        width.filter(|width| (1..=200).contains(width)).ok_or_else(|| fail("pad: its width is 1 to 200".into()))?;
    let count = value.chars().count();
    if count > width {
        let cut: String = value.chars().take(width - 1).collect();
        return Ok(format!("{}…", cut.trim_end()).into());
    }
    let fill = " ".repeat(width - count);
    let right = helper.param(2).is_some_and(|side| side.value() == "right");
    Ok(if right { fill + &value } else { value + &fill }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(template: &str, data: &Value) -> Result<String, RenderError> {
        let mut registry = Handlebars::new();
        registry.set_strict_mode(true);
        registry.register_escape_fn(handlebars::no_escape);
        register(&mut registry, Calendar::ENGLISH);
        registry.render_template(template, data)
    }

    #[test]
    fn dates_in_a_language() {
        let cases = [
            ("es", "27 de enero de 2023", "27 ene 2023", "viernes 27"),
            ("fr-CA", "27 janvier 2023", "27 jan 2023", "vendredi 27"),
            ("zh", "2023年1月27日", "2023-01-27", "星期五 27"),
            ("el", "27 Ιανουαρίου 2023", "27 Ιαν 2023", "Παρασκευή 27"),
            ("xx", "27 January 2023", "27 Jan 2023", "Friday 27"),
        ];
        for (tag, long, short, custom) in cases {
            let mut registry = Handlebars::new();
            register(&mut registry, Calendar::of(tag));
            let template = "{{date d}}|{{date d \"short\"}}|{{date d \"%A %-d\"}}|{{date d \"iso\"}}";
            let shown = registry.render_template(template, &json!({"d": "2023-01-27"})).expect(tag);
            assert_eq!(shown, format!("{long}|{short}|{custom}|2023-01-27"), "{tag}");
        }
    }

    #[test]
    fn shown() {
        let data = json!({
            "a": "1005.08", "n": -7, "d": "2023-01-27", "t": "2023-01-27T10:00:00Z", "id": "MFDF0CAC12", "s": "ab",
            "one": [1], "two": [1, 2], "empty": "", "z": "0.00", "big": "1234567.5", "mills": "1.500",
        });
        let cases = [
            ("{{money a}}", "$1,005.08"),
            ("{{money n}}", "-$7.00"),
            ("{{money big currency=\"€\"}}", "€1,234,567.50"),
            ("{{money mills}}", "$1.50"),
            ("{{date d}}", "January 27, 2023"),
            ("{{date t \"short\"}}", "01/27/2023"),
            ("{{date d \"iso\"}}", "2023-01-27"),
            ("{{date d \"%d.%m.%y\"}}", "27.01.23"),
            ("{{mask id}}", "•••• AC12"),
            ("{{mask s}}", "•••• b"),
            ("{{mask id keep=2}}", "•••• 12"),
            ("{{len two}} {{plural two \"day\" \"days\"}}", "2 days"),
            ("{{plural one \"day\" \"days\"}}", "day"),
            ("{{default missing empty \"Member\"}}", "Member"),
            ("[{{pad s 4}}][{{pad (money a) 10 \"right\"}}][{{pad id 5}}]", "[ab  ][ $1,005.08][MFDF…]"),
            ("{{#if (gt z 0)}}owes{{else}}nothing{{/if}}", "nothing"),
            ("{{#if (gt a 0)}}owes{{/if}}", "owes"),
            ("{{#if missing}}x{{/if}}ok", "ok"),
        ];
        for (template, expected) in cases {
            assert_eq!(render(template, &data).expect(template), expected, "{template}");
        }
    }

    #[test]
    fn refused_without_the_value() {
        let data = json!({"x": "SECRET", "c": "1.005"});
        for template in [
            "{{money x}}",
            "{{money c}}",
            "{{date x}}",
            "{{plural x \"a\" \"b\"}}",
            "{{money gone}}",
            "{{mask gone}}",
            "{{default gone}}",
            "{{date x \"odd\"}}",
            "{{pad x 0}}",
        ] {
            let error = render(template, &data).expect_err(template).to_string();
            assert!(!error.contains("SECRET"), "{error}");
        }
    }
}
