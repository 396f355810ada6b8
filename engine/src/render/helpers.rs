//! What a notice about money and dates needs. No value enters an error: it may be PHI.

use super::compare::compare;
use super::dates::{date_format, dated, read_day};
use super::language::Calendar;
use chrono::NaiveDate;
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, PathAndJson, RenderContext, RenderError,
    RenderErrorReason, Renderable, ScopedJson,
};
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

/// How the reason of a missing parameter ends.
pub(super) const NO_VALUE: &str = "has no value";

type Holds = fn(Ordering) -> bool;
type Compute = fn(&dyn Arguments) -> Result<Answer, RenderError>;

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
        registry.register_helper(name, Box::new(Plain(Function::Plain(compute))));
    }
    for (name, holds) in COMPARISONS {
        registry.register_helper(name, Box::new(Condition(holds)));
    }
    registry.register_helper(DATE, Box::new(Plain(Function::Date(calendar))));
}

pub(super) fn is_comparison(name: &str) -> bool {
    COMPARISONS.iter().any(|(comparison, _)| *comparison == name)
}

/// A helper of ours: it computes a value from its parameters and writes nothing itself, so that it works as a subexpression
/// too. A null is no value: it is missing.
#[derive(Clone, Copy)]
pub(super) enum Function {
    Plain(Compute),
    /// Whether two values stand to each other in a certain way: `(gt owe 0)`, `{{#gt owe 0}}…{{/gt}}`.
    Comparison(Holds),
    /// [`date`] in a language.
    Date(Calendar),
}

/// What a helper is called with.
pub(super) trait Arguments {
    fn name(&self) -> &str;
    /// Parameter number `at`: null where its value is missing, `None` where there are fewer.
    fn value(&self, at: usize) -> Option<&Value>;
    /// What parameter number `at` is called in the template.
    fn path(&self, at: usize) -> Option<&str>;
    fn setting(&self, key: &str) -> Option<&Value>;
}

/// What a helper gives.
pub(super) enum Answer {
    Made(Value),
    /// One of its parameters.
    Param(usize),
}

impl Function {
    pub(super) fn of(name: &str, calendar: Calendar) -> Option<Function> {
        let plain = OURS.iter().find(|(ours, _)| *ours == name).map(|(_, compute)| Function::Plain(*compute));
        let comparison = COMPARISONS.iter().find(|(comparison, _)| *comparison == name);
        let comparison = comparison.map(|(_, holds)| Function::Comparison(*holds));
        plain.or(comparison).or_else(|| (name == DATE).then_some(Function::Date(calendar)))
    }

    pub(super) fn call(self, arguments: &dyn Arguments) -> Result<Answer, RenderError> {
        match self {
            Function::Plain(compute) => compute(arguments),
            Function::Comparison(holds) => Ok(Answer::Made(stands(holds, arguments)?.into())),
            Function::Date(calendar) => Ok(Answer::Made(date(arguments, calendar)?.into())),
        }
    }
}

impl Arguments for Helper<'_> {
    fn name(&self) -> &str {
        Helper::name(self)
    }

    fn value(&self, at: usize) -> Option<&Value> {
        self.param(at).map(PathAndJson::value)
    }

    fn path(&self, at: usize) -> Option<&str> {
        self.param(at)?.relative_path().map(String::as_str)
    }

    fn setting(&self, key: &str) -> Option<&Value> {
        self.hash_get(key).map(PathAndJson::value)
    }
}

/// A helper that stands for its value.
struct Plain(Function);

impl HelperDef for Plain {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let value = match self.0.call(helper)? {
            Answer::Made(value) => value,
            Answer::Param(at) => Arguments::value(helper, at).cloned().unwrap_or_default(),
        };
        Ok(if value.is_null() { ScopedJson::Missing } else { ScopedJson::Derived(value) })
    }
}

/// A helper that can be a block's condition as well.
struct Condition(Holds);

impl HelperDef for Condition {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        Ok(ScopedJson::Derived(stands(self.0, helper)?.into()))
    }

    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let branch = if stands(self.0, helper)? { helper.template() } else { helper.inverse() };
        branch.map_or(Ok(()), |template| template.render(registry, context, render, out))
    }
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

fn fail(what: String) -> RenderError {
    RenderErrorReason::Other(what).into()
}

/// A parameter that must have a value.
fn param(arguments: &dyn Arguments, at: usize) -> Result<&Value, RenderError> {
    let name = arguments.name();
    let value = arguments.value(at).ok_or_else(|| fail(format!("{name} needs {} parameters", at + 1)))?;
    if value.is_null() {
        let path = arguments.path(at).unwrap_or("its parameter");
        return Err(fail(format!("{name}: {path} {NO_VALUE}")));
    }
    Ok(value)
}

fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

fn stands(holds: Holds, arguments: &dyn Arguments) -> Result<bool, RenderError> {
    let order = compare(param(arguments, 0)?, param(arguments, 1)?);
    let incomparable = || {
        fail(format!(
            "{}: its values are of two kinds (number, text, truth) or have fields: they can't be compared",
            arguments.name()
        ))
    };
    order.map(holds).ok_or_else(incomparable)
}

/// `{{x}}`, `{{money x}}`: what is written must be there, and text, a number or a truth.
fn written(arguments: &dyn Arguments) -> Result<Answer, RenderError> {
    match arguments.value(0) {
        None => Ok(Answer::Made(Value::Null)),
        Some(Value::Null) => Err(RenderErrorReason::MissingVariable(arguments.path(0).map(str::to_owned)).into()),
        Some(Value::Array(_) | Value::Object(_)) => {
            let path = arguments.path(0).unwrap_or("its value");
            Err(fail(format!("{path} is a list or has fields, and can't be written as it is")))
        }
        Some(_) => Ok(Answer::Param(0)),
    }
}

/// `{{lookup names "first"}}`, `{{lookup list 0}}`.
fn lookup(arguments: &dyn Arguments) -> Result<Answer, RenderError> {
    let (inside, at) = (param(arguments, 0)?, param(arguments, 1)?);
    let found = match inside {
        Value::Array(items) => at.as_u64().and_then(|at| items.get(usize::try_from(at).ok()?)),
        Value::Object(fields) => at.as_str().and_then(|name| fields.get(name)),
        _ => None,
    };
    Ok(Answer::Made(found.cloned().unwrap_or_default()))
}

/// `{{money owe}}`: `1005.08` → `$1,005.08`. `currency="€"` changes the sign. Digits are never lost: a third decimal that
/// isn't zero is refused.
fn money(arguments: &dyn Arguments) -> Result<Answer, RenderError> {
    let amount = text(param(arguments, 0)?);
    let sign = arguments.setting("currency").map_or(Cow::Borrowed("$"), text);
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
    let mut shown = String::with_capacity(minus.len() + sign.len() + whole.len() + whole.len() / 3 + ".00".len());
    shown.push_str(minus);
    shown.push_str(&sign);
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown.push('.');
    shown.push_str(cents);
    shown.push_str(&"00"[cents.len()..]);
    Ok(Answer::Made(shown.into()))
}

/// `{{date d}}` → `January 27, 2023`, in Spanish `27 de enero de 2023`; `"short"` → `01/27/2023`, `27 ene 2023`; `"iso"` →
/// `2023-01-27`; anything with `%` is a strftime format. Takes dates and timestamps in ISO 8601.
fn date(arguments: &dyn Arguments, calendar: Calendar) -> Result<String, RenderError> {
    let written = text(param(arguments, 0)?);
    let format = arguments.value(1).map_or(Cow::Borrowed("long"), text);
    let format = date_format(&format, calendar).map_err(fail)?;
    let written = written.trim();
    // A timestamp's date ends before its T or space.
    let (day, rest) = written.split_at_checked(10).unwrap_or((written, ""));
    let day = read_day(day).filter(|_| rest.is_empty() || rest.starts_with(['T', ' ']));
    let day = day.ok_or_else(|| fail("date: its parameter is no date like 2023-01-27".into()))?;
    dated(day, format, calendar).map_err(fail)
}

/// `{{mask id}}` → `•••• 265F`: the last four characters, or `keep=N` of them; never more than half of the value.
fn mask(arguments: &dyn Arguments) -> Result<Answer, RenderError> {
    let value = text(param(arguments, 0)?);
    let count = value.chars().count();
    let keep = kept(arguments.setting("keep")).map_err(fail)?.min(count / 2);
    let tail: String = value.chars().skip(count - keep).collect();
    Ok(Answer::Made(format!("•••• {tail}").trim_end().into()))
}

fn kept(keep: Option<&Value>) -> Result<usize, String> {
    let keep = keep.map_or(Some(4), |keep| usize::try_from(keep.as_u64()?).ok());
    keep.ok_or_else(|| "mask: keep is a number like 2".into())
}

/// `{{plural lines "service" "services"}}`: the word for a number or for the length of a list.
fn plural(arguments: &dyn Arguments) -> Result<Answer, RenderError> {
    let one = match param(arguments, 0)? {
        Value::Array(items) => items.len() == 1,
        value => {
            let count: f64 =
                text(value).trim().parse().map_err(|_| fail("plural: its parameter is no number or list".into()))?;
            (count - 1.0).abs() < f64::EPSILON
        }
    };
    let word = if one { 1 } else { 2 };
    param(arguments, word).map(|_| Answer::Param(word))
}

/// `{{default nickname first_name "Member"}}`: the first that is there and not empty.
fn default(arguments: &dyn Arguments) -> Result<Answer, RenderError> {
    let params = (0..).map_while(|at| arguments.value(at));
    let filled = params.into_iter().position(|value| !value.is_null() && value.as_str() != Some(""));
    filled.map(Answer::Param).ok_or_else(|| fail(format!("default: every parameter {NO_VALUE}")))
}

/// `{{pad name 20}}` or `{{pad (money owe) 12 "right"}}`: to a width in characters, cut with `…` where it is longer.
fn pad(arguments: &dyn Arguments) -> Result<Answer, RenderError> {
    let value = text(param(arguments, 0)?);
    let width = width(param(arguments, 1)?).map_err(fail)?;
    let right = is_right(arguments.value(2)).map_err(fail)?;
    let count = value.chars().count();
    if count > width {
        let cut: String = value.chars().take(width - 1).collect();
        return Ok(Answer::Made(format!("{}…", cut.trim_end()).into()));
    }
    let fill = width - count;
    let mut padded = String::with_capacity(value.len() + fill);
    let (before, after) = if right { (fill, 0) } else { (0, fill) };
    padded.extend(std::iter::repeat_n(' ', before));
    padded.push_str(&value);
    padded.extend(std::iter::repeat_n(' ', after));
    Ok(Answer::Made(padded.into()))
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
