//! What a notice about money and dates needs. No value enters an error: it may be PHI.

use super::compare::compare;
use super::language::Calendar;
use chrono::NaiveDate;
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, PathAndJson, RenderContext, RenderError,
    RenderErrorReason, Renderable, ScopedJson,
};
use serde_json::Value;
use std::cmp::Ordering;
use std::fmt::Write;

/// How the reason of a missing parameter ends.
pub(super) const NO_VALUE: &str = "has no value";

type Holds = fn(Ordering) -> bool;
type Compute = fn(&Helper<'_>) -> Result<Value, RenderError>;

/// Name and body of each helper of ours; [`signature`](super::signature) lists all that templates may use.
const OURS: [(&str, Compute); 7] = [
    ("money", money),
    ("mask", mask),
    ("plural", plural),
    ("default", default),
    ("pad", pad),
    ("lookup", lookup),
    (WRITE, written),
];

/// Handlebars' own take amounts for text: 100.00 is less than 99.00.
const COMPARISONS: [(&str, Holds); 6] = [
    ("eq", Ordering::is_eq),
    ("ne", Ordering::is_ne),
    ("gt", Ordering::is_gt),
    ("gte", Ordering::is_ge),
    ("lt", Ordering::is_lt),
    ("lte", Ordering::is_le),
];

/// The helper that depends on the language.
const DATE: &str = "date";

/// The helper that every `{{expression}}` is compiled to; no template can name it.
pub(super) const WRITE: &str = "/write";

pub(super) fn register(registry: &mut Handlebars<'static>, calendar: Calendar) {
    // It would write values to a log.
    registry.unregister_helper("log");
    for (name, compute) in OURS {
        registry.register_helper(name, Box::new(Plain(compute)));
    }
    for (name, holds) in COMPARISONS {
        registry.register_helper(name, Box::new(Comparison(holds)));
    }
    registry.register_helper(DATE, Box::new(Dated(calendar)));
}

/// Checks what stands written out in a call of the helper `name`, where it does: parameters by number, settings by key.
pub(super) fn literals<'a>(
    name: &str,
    param: &dyn Fn(usize) -> Option<&'a Value>,
    setting: &dyn Fn(&str) -> Option<&'a Value>,
) -> Result<(), String> {
    match name {
        DATE => param(1).map_or(Ok(()), |format| {
            let format = date_format(&text(format), Calendar::ENGLISH)?.to_owned();
            dated(NaiveDate::default(), &format, Calendar::ENGLISH).map(drop)
        }),
        "mask" => kept(setting("keep")).map(drop),
        "pad" => param(1).map_or(Ok(()), |count| width(count).map(drop)).and(is_right(param(2)).map(drop)),
        _ => Ok(()),
    }
}

/// A helper that computes a value from its parameters and writes nothing itself, so that it works as a subexpression too. A
/// null is no value: it is missing.
struct Plain(Compute);

impl HelperDef for Plain {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let value = (self.0)(helper)?;
        Ok(if value.is_null() { ScopedJson::Missing } else { ScopedJson::Derived(value) })
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

/// Whether two values stand to each other in a certain way: `(gt owe 0)`, `{{#gt owe 0}}…{{/gt}}`.
struct Comparison(Holds);

impl Comparison {
    fn holds(&self, helper: &Helper<'_>) -> Result<bool, RenderError> {
        let order = compare(param(helper, 0)?.value(), param(helper, 1)?.value());
        let incomparable = || {
            fail(format!(
                "{}: its values are of two kinds (number, text, truth) or have fields: they can't be compared",
                helper.name()
            ))
        };
        order.map(self.0).ok_or_else(incomparable)
    }
}

impl HelperDef for Comparison {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        Ok(ScopedJson::Derived(self.holds(helper)?.into()))
    }

    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let branch = if self.holds(helper)? { helper.template() } else { helper.inverse() };
        branch.map_or(Ok(()), |template| template.render(registry, context, render, out))
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

/// `{{x}}`, `{{money x}}`: what is written must be there, and text, a number or a truth.
fn written(helper: &Helper<'_>) -> Result<Value, RenderError> {
    let Some(param) = helper.param(0) else { return Ok(Value::Null) };
    match param.value() {
        Value::Null => Err(RenderErrorReason::MissingVariable(param.relative_path().cloned()).into()),
        Value::Array(_) | Value::Object(_) => {
            let path = param.relative_path().map_or("its value", String::as_str);
            Err(fail(format!("{path} is a list or has fields, and can't be written as it is")))
        }
        value => Ok(value.clone()),
    }
}

/// `{{lookup names "first"}}`, `{{lookup list 0}}`.
fn lookup(helper: &Helper<'_>) -> Result<Value, RenderError> {
    let (inside, at) = (param(helper, 0)?.value(), param(helper, 1)?.value());
    let found = match inside {
        Value::Array(items) => at.as_u64().and_then(|at| items.get(usize::try_from(at).ok()?)),
        Value::Object(fields) => at.as_str().and_then(|name| fields.get(name)),
        _ => None,
    };
    Ok(found.cloned().unwrap_or_default())
}

/// `{{money owe}}`: `1005.08` → `$1,005.08`. `currency="€"` changes the sign. Digits are never lost: a third decimal that
/// isn't zero is refused.
fn money(helper: &Helper<'_>) -> Result<Value, RenderError> {
    let amount = text(param(helper, 0)?.value());
    let sign = helper.hash_get("currency").map_or_else(|| "$".to_owned(), |value| text(value.value()));
    let amount = amount.trim();
    let (minus, digits) = match amount.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", amount.strip_prefix('+').unwrap_or(amount)),
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
    let format = date_format(&format, calendar).map_err(fail)?;
    let written = written.trim();
    // A timestamp's date ends before its T or space.
    let (day, rest) = written.split_at_checked(10).unwrap_or((written, ""));
    let day =
        NaiveDate::parse_from_str(day, "%Y-%m-%d").ok().filter(|_| rest.is_empty() || rest.starts_with(['T', ' ']));
    let day = day.ok_or_else(|| fail("date: its parameter is no date like 2023-01-27".into()))?;
    Ok(dated(day, format, calendar).map_err(fail)?.into())
}

fn date_format(format: &str, calendar: Calendar) -> Result<&str, String> {
    match format {
        "long" => Ok(calendar.long),
        "short" => Ok(calendar.short),
        "iso" => Ok("%Y-%m-%d"),
        custom if custom.contains('%') => Ok(custom),
        _ => Err("date: its format is \"long\", \"short\", \"iso\" or one with %".into()),
    }
}

fn dated(day: NaiveDate, format: &str, calendar: Calendar) -> Result<String, String> {
    let mut shown = String::new();
    let written = match calendar.locale {
        Some(locale) => write!(shown, "{}", day.format_localized(format, locale)),
        None => write!(shown, "{}", day.format(format)),
    };
    written.map(|()| shown).map_err(|_| "date: its format can't be used".into())
}

/// `{{mask id}}` → `•••• 265F`: the last four characters, or `keep=N` of them; never more than half of the value.
fn mask(helper: &Helper<'_>) -> Result<Value, RenderError> {
    let value = text(param(helper, 0)?.value());
    let count = value.chars().count();
    let keep = kept(helper.hash_get("keep").map(PathAndJson::value)).map_err(fail)?.min(count / 2);
    let tail: String = value.chars().skip(count - keep).collect();
    Ok(format!("•••• {tail}").trim_end().into())
}

fn kept(keep: Option<&Value>) -> Result<usize, String> {
    let keep = keep.map_or(Some(4), |keep| usize::try_from(keep.as_u64()?).ok());
    keep.ok_or_else(|| "mask: keep is a number like 2".into())
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
    let width = width(param(helper, 1)?.value()).map_err(fail)?;
    let right = is_right(helper.param(2).map(PathAndJson::value)).map_err(fail)?;
    let count = value.chars().count();
    if count > width {
        let cut: String = value.chars().take(width - 1).collect();
        return Ok(format!("{}…", cut.trim_end()).into());
    }
    let fill = " ".repeat(width - count);
    Ok(if right { fill + &value } else { value + &fill }.into())
}

fn width(width: &Value) -> Result<usize, String> {
    let width = width.as_u64().and_then(|width| usize::try_from(width).ok());
    width.filter(|width| (1..=200).contains(width)).ok_or_else(|| "pad: its width is 1 to 200".into())
}

fn is_right(side: Option<&Value>) -> Result<bool, String> {
    match side.map(Value::as_str) {
        None | Some(Some("left")) => Ok(false),
        Some(Some("right")) => Ok(true),
        _ => Err("pad: its side is \"left\" or \"right\"".into()),
    }
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
            "plus": "+5.00", "nulls": [null, "B"],
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
            ("{{#if (gt big a)}}more{{/if}}{{#eq z \"0.0\"}}nil{{else}}some{{/eq}}", "morenil"),
            ("{{#if (lt d \"2023-10-01\")}}before{{/if}}{{#if (ne id \"x\")}}other{{/if}}", "beforeother"),
            ("{{money plus}}", "$5.00"),
            ("{{default (lookup nulls 0) (lookup nulls 1)}}", "B"),
        ];
        for (template, expected) in cases {
            assert_eq!(render(template, &data).expect(template), expected, "{template}");
        }
    }

    #[test]
    fn refused_without_the_value() {
        let data = json!({"x": "SECRET", "c": "1.005", "o": "1,005.08", "d": "2023-01-279", "nulls": [null]});
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
            "{{pad x 9 \"middle\"}}",
            "{{mask x keep=\"2\"}}",
            "{{date d}}",
            "{{lookup nulls 0}}",
            "{{#if (gt o 0)}}x{{/if}}",
            "{{#if (eq x 0)}}x{{/if}}",
            "{{#gt gone 0}}x{{/gt}}",
        ] {
            let error = render(template, &data).expect_err(template).to_string();
            assert!(!error.contains("SECRET") && !error.contains("005"), "{error}");
        }
    }
}
