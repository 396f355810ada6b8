//! What segments write is what handlebars writes, and what they find odd is what it refuses.

use super::Odd;
use crate::render::edition::is_clean;
use crate::render::language::Calendar;
use crate::render::library::Library;
use crate::render::renderer::tests::template;
use crate::render::{Column, Data, Dialect, Partial};
use loader::Shape;
use mail_builder::mime::MimePart;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};
use std::cell::Cell;

const PARTIALS: [(&str, &str); 5] = [
    ("plain", "({{name}}{{#if @index}}{{@index}}{{/if}})"),
    ("titled", "<{{title}}|{{name}}|{{#each lines}}{{title}}{{code}}{{../name}}{{/each}}>"),
    ("nested", "{{> titled title=name}}{{> plain}}{{k}}"),
    ("line", "{{code}}{{#if @last}}.{{/if}}{{@root.name}}"),
    ("up", "{{code}}{{../code}}{{../../name}}{{@../index}}"),
];

fn columns() -> Vec<Column> {
    let line = ["code", "date", "billed"].map(|name| (name.to_owned(), Shape::Scalar)).into();
    let lines = Shape::List(Box::new(Shape::Struct(line)));
    let scalars = ["name", "plan", "owe", "day", "n", "yes", "no", "gone", "k"].map(|name| (name, Shape::Scalar));
    let others = [("lines", lines), ("tags", Shape::List(Box::new(Shape::Scalar))), ("any", Shape::Unknown)];
    let all = scalars.into_iter().chain(others);
    all.map(|(name, shape)| Column { name: name.to_owned(), shape }).collect()
}

/// A library with `text` under `/t`, where it is a good template.
fn library(text: &str, dialect: Dialect, columns: &[Column], calendar: Calendar) -> Option<Library> {
    let partials: Vec<_> = PARTIALS
        .iter()
        .map(|(name, text)| Partial { name: (*name).to_owned(), dialect, template: template(text) })
        .collect();
    let mut library = Library::new(dialect, partials.iter(), calendar, String::new()).expect("they compile");
    library.add("/t", &template(text)).ok()?;
    library.check("/t", columns).ok()?;
    Some(library)
}

/// Whether `row` makes a text; that we agree with handlebars about that and about the text, and with mail-builder about how it
/// is encoded.
fn agrees(library: &Library, row: &Map<String, Value>) -> Result<bool, String> {
    let program = library.program("/t").ok_or("it has no segments")?;
    match (program.text(row), library.interpret("/t", &Data::all(row))) {
        (Ok(ours), Ok(theirs)) if ours == theirs => match (program.quoted(row), encoded(&ours)) {
            (Ok(ours), (Some(theirs), _)) if ours == theirs => Ok(true),
            (Err(Odd), (None, _)) => Ok(true),
            (Err(Odd), (Some(_), is_clean)) if !is_clean || !program.needs_encoding => Ok(true),
            (quoted, _) => Err(format!("{quoted:?} is not what mail-builder makes of {ours:?}")),
        },
        (Err(Odd), Err(_)) => Ok(false),
        (ours, theirs) => Err(format!("{ours:?} is not {theirs:?} with {row:?}")),
    }
}

/// A text as mail-builder writes it into a message, where it takes quoted-printable; and whether it can stand in a letter.
fn encoded(text: &str) -> (Option<Vec<u8>>, bool) {
    let mut part = Vec::new();
    MimePart::new("text/plain", text).write_part(&mut part);
    let head = b"Content-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n";
    (part.strip_prefix(head).map(<[u8]>::to_vec), is_clean(text))
}

fn rows() -> Vec<Map<String, Value>> {
    let full = json!({
        "name": "Ann <b>O'Neil</b> & \"Co\" `=`", "plan": "Blüe ✓", "owe": "1005.08", "day": "2023-01-27", "n": 7,
        "yes": true, "no": false, "k": "key", "tags": ["a", 1, 2.5, true], "any": {"x": "X", "y": {"z": [1, 2]}},
        "lines": [{"code": "1", "date": "2023-01-02T10:00:00Z", "billed": "5"}, {"code": 2, "date": "0001-12-31", "billed": "-12345.6"}],
    });
    let Value::Object(full) = full else { unreachable!("an object") };
    let odd = [
        Value::Null,
        json!(""),
        json!("0"),
        json!(" x \r\n\u{a0}\u{0}"),
        json!(0),
        json!(-1),
        json!(1),
        json!(0.0),
        json!(1e21),
        json!(18_446_744_073_709_551_615_u64),
        json!(false),
        json!([]),
        json!({}),
        json!([null]),
        json!(["x"]),
        json!([[1], [2]]),
        json!({"x": null, "0": "zero", "code": "c"}),
        json!([{"code": null}, {"code": {}}, null, {"code": "7", "billed": 1, "date": "2024-02-29"}]),
    ];
    let mut rows = vec![Map::new(), full.clone()];
    for (name, _) in &full {
        rows.push(full.iter().filter(|(other, _)| *other != name).map(|(k, v)| (k.clone(), v.clone())).collect());
        rows.extend(odd.iter().map(|value| {
            let mut row = full.clone();
            row.insert(name.clone(), value.clone());
            row
        }));
    }
    rows
}

#[test]
fn a_corpus_of_templates() {
    let good = [
        "",
        "text\n",
        "{{name}}|{{{name}}}|{{&name}}|{{this.name}}|{{./name}}|{{~name~}} x {{! c }}{{!-- {{c}} --}}\\{{name}}",
        "{{n}}{{yes}}{{no}}{{@root.owe}}{{@root/owe}}{{any.x}}{{any/y.z.1}}{{tags.0}}{{#if tags.9}}{{/if}}",
        "{{#if n}}a{{else}}b{{/if}}{{#if n includeZero=true}}a{{/if}}{{#if n includeZero=yes}}a{{/if}}{{#unless n}}c{{/unless}}",
        "{{#if gone}}a{{else if any.y.z}}b{{else if no}}c{{else}}d{{/if}}\n{{#if name}}\n  own line\n{{/if}}\nend",
        "{{#each lines}}{{@index}}{{@first}}{{@last}}{{code}}{{../name}}{{@root.plan}}{{#if @first}}{{../n}}{{/if}}\n{{/each}}",
        "{{#each lines}}{{code}}{{else}}none{{/each}}{{#each any}}{{@key}}={{@index}}{{else}}no{{/each}}",
        "{{#each tags}}{{this}},{{/each}}{{#each tags}}{{#unless @last}}{{this}}{{/unless}}{{/each}}",
        "{{#each tags}}{{this}}{{#each ../lines}}{{code}}{{@../index}}{{../this}}{{../../name}}{{/each}}{{/each}}",
        "{{#with any}}{{x}}{{../name}}{{#with y}}{{z.0}}{{../x}}{{/with}}{{else}}without {{name}}{{/with}}",
        "{{#with this}}{{name}}{{#with lines.1}}{{code}}{{@root.name}}{{../owe}}{{/with}}{{/with}}",
        "{{#each lines}}{{#with this}}{{code}}{{@index}}{{/with}}{{#with ../this}}{{name}}{{@last}}{{/with}}{{/each}}",
        "{{money owe}} {{money n currency=\"€\"}} {{money owe currency=k}} {{#each lines}}{{money billed}}{{/each}}",
        "{{date day}}|{{date day \"short\"}}|{{date day \"iso\"}}|{{date day \"%A %-d %b\"}}|{{#each lines}}{{date date \"short\"}}{{/each}}",
        "{{mask name}}{{mask owe keep=2}}{{pad name 30}}{{pad (money owe) 12 \"right\"}}{{pad plan 3}}",
        "{{len tags}}{{len name}}{{len any}}{{plural tags \"one\" \"many\"}}{{plural n \"one\" name}}{{default gone name \"x\"}}",
        "{{lookup tags 1}}{{lookup any \"x\"}}{{#each (lookup (lookup any \"y\") \"z\")}}{{this}}{{/each}}",
        "{{#if (and n name (or no yes) (not no))}}a{{/if}}{{#and n name}}b{{else}}c{{/and}}{{#or no n}}d{{/or}}{{#not n}}e{{/not}}",
        "{{#if (gt owe 0)}}a{{/if}}{{#eq name \"x\"}}b{{else}}c{{/eq}}{{#unless (lte n 1)}}d{{/unless}}{{eq n 7}}{{ne k \"key\"}}",
        "{{#if (gte owe n)}}{{#lt owe 2000}}less{{/lt}}{{/if}}{{and no yes}}{{not no}}{{or n name}}",
        "{{> plain}}{{#each lines}}{{> line}}{{> up}}{{/each}}{{#each lines}}{{> line this}}{{> up @root/lines.0}}{{/each}}",
        "{{> titled title=\"x & y\"}}{{> titled title=n}}{{> titled this title=k}}{{> titled ./this title=no}}",
        "{{> nested}}{{> nested k=name}}{{#with any}}{{> plain ../this}}{{> titled ../this title=x}}{{/with}}",
        "{{#if no}}{{> line any.y}}{{/if}}{{#each any}}{{> plain ../this}}{{/each}}",
        "é\n{{plan}} {{name}}\n\n {{name}} \nfirst\nsecond line\n\tthird{{n}}",
        "{{#each lines}}\nline {{code}} of a list, which is long: {{../plan}}{{../plan}}{{../plan}}{{../plan}} \n=3D.\n{{/each}}✓",
        "{{name}}\n{{#if yes}}\n.one\nFrom two\n{{/if}}\n\n12345678901234567890123456789012345678901234567890123456789012345678901234567890\nx",
        "ääääääääääääääääääääääääääääääääääää{{name}}",
        "<a href=\"{{k}}?x={{{k}}}\">\n    {{#if yes}}\n    {{name}}\n    {{else}}\n    {{/if}}\n  </a>",
    ];
    for dialect in [Dialect::Html, Dialect::Text] {
        for calendar in [Calendar::ENGLISH, Calendar::of("es")] {
            let mut rendered = 0;
            for text in good {
                let library = library(text, dialect, &columns(), calendar).expect(text);
                let agreed = rows().iter().map(|row| agrees(&library, row)).collect::<Result<Vec<_>, _>>();
                let made = agreed.unwrap_or_else(|why| panic!("{text}: {why}"));
                assert!(made[1], "{text}: even the row that has everything makes no text");
                rendered += made.into_iter().filter(|made| *made).count();
            }
            assert!(rendered > 3000, "{rendered}");
        }
    }
}

#[test]
fn what_is_left_to_handlebars() {
    let others = [
        "{{#each this}}{{@key}}{{/each}}",
        "{{lookup this \"name\"}}",
        "a\n  {{> plain}}\n",
        "{{#> plain}}x{{/plain}}",
        "{{#*inline \"own\"}}{{name}}{{/inline}}{{> own}}",
        "{{#> titled title=\"x\"}}{{/titled}}",
        "{{> titled title=(lookup this \"name\")}}",
    ];
    for text in others {
        let library = library(text, Dialect::Html, &columns(), Calendar::ENGLISH).expect(text);
        assert!(library.program("/t").is_none(), "{text}");
        let rendered = rows().iter().filter(|row| library.render("/t", &Data::all(row)).is_ok()).count();
        assert!(rendered > 20, "{text}: {rendered}");
    }
}

/// A fault is told in handlebars' words, whoever met it.
#[test]
fn faults_name_their_place() {
    let row = json!({"lines": [{"code": 1}, {}]});
    let cases = [
        ("a\n{{name}}", "template t, line 2: name has no value"),
        ("a\n{{> plain}}", "partial plain, line 1: name has no value"),
        ("{{#each lines}}\n{{code}}{{/each}}", "template t, line 2: code has no value"),
        (
            "{{money (lookup lines 0)}}",
            "template t, line 1: money: its parameter is no amount with at most two decimals",
        ),
    ];
    for (text, detail) in cases {
        let library = library(text, Dialect::Text, &columns(), Calendar::ENGLISH).expect(text);
        assert!(library.program("/t").is_some(), "{text}");
        let fault = library.render("/t", &Data::all(row.as_object().expect("one"))).expect_err(text);
        assert_eq!(fault.detail, detail);
    }
}

fn path() -> impl Strategy<Value = String> {
    let names = "a|b|c|k|title|name|lines|code|0|1|this|a\\.b|b/a|c\\.0|lines\\.0\\.code";
    let locals = "@index|@first|@last|@key|@\\.\\./index|@root\\.(a|b|c)|\\.\\./this|\\./a|this\\.b";
    prop_oneof![
        4 => names,
        1 => locals,
        2 => "(\\.\\./){1,2}(a|b|c|k|name)",
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![4 => path(), 1 => "\"(x|2023-01-27|<&>)?\"|0|1|-2\\.5|true|null"];
    leaf.prop_recursive(2, 6, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            ("and|or|eq|ne|gt|gte|lt|lte|lookup|default", two).prop_map(|(name, (a, b))| format!("({name} {a} {b})")),
            ("not|len|money|mask|date", inner.clone()).prop_map(|(name, a)| format!("({name} {a})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("(plural {a} {b} \"many\")")),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        2 => "[ -z\n]{0,8}",
        1 => "[a é=\t\n]{0,6}|(x|é ){76,79}\n?",
        3 => value().prop_map(|value| format!("{{{{{}}}}}", value.trim_matches(['(', ')']))),
        1 => path().prop_map(|path| format!("{{{{{{{path}}}}}}}")),
        1 => path().prop_map(|path| format!("{{{{~{path}~}}}}")),
        1 => ("plain|titled|nested|line", path()).prop_map(|(name, path)| format!("{{{{> {name} {path}}}}}")),
        1 => ("plain|titled|nested|line", value()).prop_map(|(name, value)| format!("{{{{> {name} title={value}}}}}")),
        1 => "\\{\\{> (plain|titled|nested|line)\\}\\}",
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let block = ("if|unless|each|with|and|not", value(), inner.clone(), proptest::option::of(inner.clone()));
        prop_oneof![
            2 => proptest::collection::vec(inner, 1..4).prop_map(|parts| parts.concat()),
            3 => block.prop_map(|(name, value, then, otherwise)| {
                let otherwise = otherwise.map(|text| format!("{{{{else}}}}{text}")).unwrap_or_default();
                format!("{{{{#{name} {value}}}}}{then}{otherwise}{{{{/{name}}}}}")
            }),
        ]
    })
}

fn data() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        2 => (-3..3_i64).prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        4 => "[a<&\"'=`é \n\r\u{85}]{0,4}|-?[0-9]{1,5}(\\.[0-9]{0,2})?|2023-01-27".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let name = "a|b|c|name|code|lines|0";
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

#[test]
fn any_template_with_any_row() {
    let columns: Vec<_> = ["a", "b", "c", "k", "title", "name", "lines", "code"]
        .map(|name| Column { name: name.to_owned(), shape: Shape::Unknown })
        .into();
    let names = "a|b|c|k|title|name|lines|code";
    let row = proptest::collection::btree_map(names, data(), 6..9)
        .prop_map(|fields| fields.into_iter().collect::<Map<String, Value>>());
    let strategy = (text(), proptest::collection::vec(row, 4), any::<bool>());
    let (rendered, refused, left) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let count = |cell: &Cell<usize>| cell.set(cell.get() + 1);
    let mut runner = TestRunner::new(Config { cases: 1500, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&strategy, |(text, rows, html)| {
        let dialect = if html { Dialect::Html } else { Dialect::Text };
        let Some(library) = library(&text, dialect, &columns, Calendar::ENGLISH) else { return Ok(()) };
        for row in &rows {
            match library.program("/t").map(|_| agrees(&library, row)) {
                Some(Ok(true)) => count(&rendered),
                Some(Ok(false)) => count(&refused),
                Some(Err(why)) => return Err(TestCaseError::fail(why)),
                None => count(&left),
            }
        }
        Ok(())
    });
    ran.unwrap_or_else(|fault| panic!("{fault}"));
    let counts = (rendered.get(), refused.get(), left.get());
    assert!(counts.0 > 200 && counts.1 > 200 && counts.2 < counts.0 + counts.1, "{counts:?}");
}
