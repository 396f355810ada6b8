//! Letters with everything: layouts, languages, files, other scripts. And what stops a run that asks for them wrongly.

use crate::support::{Desk, root};
use std::process::Command;

/// The demo's ten rows, taken apart by Python's own reader of mail.
#[test]
fn the_statement_demo() {
    let desk = Desk::new();
    let campaign = root().join("config/statement/statement.toml").display().to_string();
    let rows: Vec<String> = (1..=10).map(|row: u32| row.to_string()).collect();
    for row in &rows {
        let ran = desk.sealpost(&["preview", &campaign, "--row", row, "--unsigned", "-o", &format!("{row}.eml")]);
        assert_eq!(ran.code, 0, "row {row}: {ran:?}");
    }
    let judge = root().join("tests/support/letters.py");
    let output = Command::new("python3").arg(judge).arg(desk.path("")).args(&rows).output().expect("python3 is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A desk with `small.toml`, of three rows, whose `text = "small.hbs"` is replaced by `message`; `more` is appended.
fn desk(message: &str, more: &str) -> Desk {
    let desk = Desk::new();
    desk.machine(9, "");
    let campaign = desk.small(3, more);
    let text = std::fs::read_to_string(desk.path(&campaign)).expect("there");
    desk.write(&campaign, text.replace("text = \"small.hbs\"", message).as_bytes());
    desk.write("logo.png", b"png");
    desk.write("large.bin", &vec![0; 3000]);
    for folder in ["files", "partials", "odd"] {
        std::fs::create_dir(desk.path(folder)).expect("made");
    }
    desk.write("odd/header.hbs", b"x");
    desk
}

/// `check` refuses with 2 and says all of `words`.
fn refused(message: &str, more: &str, words: &[&str]) {
    let ran = desk(message, more).sealpost(&["check", "small.toml"]);
    assert_eq!(ran.code, 2, "{message} {more}: {ran:?}");
    for word in words.iter().chain(&["error: "]) {
        assert!(ran.stderr.contains(word), "{message} {more}: no \"{word}\" in {}", ran.stderr);
    }
}

#[test]
fn what_a_message_can_t_have() {
    let cases: [(&str, &[&str]); 13] = [
        ("return_path = 1", &["small.toml:13", "duplicate key"]),
        ("max_size = \"10 PB\"", &["small.toml:13", "\"10 PB\" is no size", "10 MB"]),
        ("partials = \"gone\"", &["small.toml:13", "partials ", "gone"]),
        ("partials = \"odd\"", &["odd/header.hbs: a partial is for HTML or for text", "hint: call it NAME.html.hbs"]),
        ("feedback_id = \"eob:acme\"", &["small.toml:13", "the last of 5 to 15 characters", "hint:"]),
        ("feedback_id = \"a:b:c:d:acme-health\"", &["small.toml:13", "up to four fields"]),
        ("feedback_id = \"acme health\"", &["small.toml:13", "no spaces"]),
        ("feedback_id = \"acme-health:acme-health\"", &["small.toml:13", "the same in two fields"]),
        (
            "to_name = \"{{first_name}}\"",
            &["small.toml:13", "column \"first_name\" is PHI", "public = [\"first_name\"]"],
        ),
        ("to_name = \"{{first_nam}}\"", &["small.toml:13", "there is no column \"first_nam\""]),
        ("auto_submitted = \"no\"", &["small.toml:13", "expected a boolean"]),
        ("[message.headers]\nFeedback-ID = \"x\"", &["small.toml:14", "hint: set [message] feedback_id"]),
        ("[message.headers]\nauto-submitted = \"x\"", &["small.toml:14", "hint: set [message] auto_submitted"]),
    ];
    for (message, words) in cases {
        refused(message, "", words);
    }
    let desk = desk("", "");
    let text = std::fs::read_to_string(desk.path("small.toml")).expect("there");
    desk.write("small.toml", text.replace("html = \"small.hbs\"", "").as_bytes());
    let ran = desk.sealpost(&["check", "small.toml"]);
    assert!(ran.stderr.contains("small.toml:11: [message] has neither html nor text"), "{ran:?}");
}

#[test]
fn attachments_that_can_t_be() {
    let cases: [(&str, &[&str]); 16] = [
        ("name = \"a.pdf\"", &["small.toml:14", "either path or column", "hint:"]),
        ("path = \"logo.png\"\ncolumn = \"id\"", &["small.toml:14", "either path or column"]),
        ("path = \"gone.pdf\"", &["small.toml:15: attachment", "gone.pdf", "No such file"]),
        ("path = \"logo.png\"\noptional = true", &["small.toml:14", "optional goes with column"]),
        ("path = \"logo.png\"\nfolder = \"files\"", &["small.toml:14", "folder goes with column"]),
        ("path = \"large.bin\"", &["small.toml:15", "its 3000 octets are over max_size"]),
        ("path = \"logo.png\"\nname = \"noending\"", &["small.toml:14", "says nothing about the type", "hint: type ="]),
        ("path = \"logo.png\"\ntype = \"multipart/mixed\"", &["small.toml:16", "type is a media type"]),
        ("path = \"logo.png\"\nname = \"a/b.png\"", &["small.toml:14", "holds a slash"]),
        ("path = \"logo.png\"\ninline = \"a b\"", &["small.toml:16", "inline is a name of letters"]),
        (
            "path = \"logo.png\"\ninline = \"logo\"",
            &["small.toml:15", "no template shows", "hint: write <img src=\"cid:logo\">"],
        ),
        ("path = \"logo.png\"\nlanguage = \"es\"", &["small.toml:16", "does not have this language", "hint:"]),
        ("column = \"id\"\nname = \"a.pdf\"", &["small.toml:14", "column needs folder", "hint: folder ="]),
        ("column = \"id\"\nfolder = \"gone\"\nname = \"a.pdf\"", &["small.toml:16: folder ", "gone"]),
        ("column = \"id\"\nfolder = \"files\"", &["small.toml:14", "column needs name", "hint: name ="]),
        (
            "column = \"idd\"\nfolder = \"files\"\nname = \"a.pdf\"",
            &["small.toml:15: there is no column \"idd\"", "hint: did you mean \"id\"?"],
        ),
    ];
    for (table, words) in cases {
        refused("max_size = \"2 KiB\"", &format!("[[message.attachment]]\n{table}\n"), words);
    }
}

#[test]
fn languages_that_can_t_be() {
    let language = "[message.language]\ncolumn = \"first_name\"\ndefault = \"en\"\n";
    let cases = [
        ("", "[message.locale.es]\nsubject = \"x\"\n", &["[message.locale] needs [message.language]", "hint:"][..]),
        (language, "[message.locale.es_MX]\nsubject = \"x\"\n", &["a language is a tag like \"es\""]),
        (language, "[message.locale.es]\n[message.locale.ES]\n", &["this language stands here twice"]),
        (language, "[message.locale.es]\nhtml = \"gone.hbs\"\n", &["template", "gone.hbs"]),
        (language, "[message.locale.es]\nsubject = \"{{id}}\"\n", &["column \"id\" is PHI"]),
        (language, "[message.locale.es]\nsubjekt = \"\"\n", &["unknown field `subjekt`", "did you mean `subject`?"]),
        ("[message.language]\ncolumn = \"lang\"\ndefault = \"en\"\n", "", &["there is no column \"lang\""]),
    ];
    for (language, locale, words) in cases {
        refused("", &format!("{language}{locale}"), &[words, &["small.toml:1"]].concat());
    }
    let half = format!("{language}[message.locale.es]\nhtml = \"small.hbs\"\n");
    refused(
        "text = \"small.hbs\"",
        &half,
        &["small.toml:17", "its own html and would have the text of [message]", "hint:"],
    );
}

/// A row whose file is missing is `invalid`, by itself, and no path is shown.
#[test]
fn a_statement_that_is_not_there() {
    let attachment = "[[message.attachment]]\ncolumn = \"first_name\"\nfolder = \"files\"\nname = \"a.pdf\"\n";
    let desk = desk("", attachment);
    desk.write("files/Ann2", b"%PDF");
    let checked = desk.sealpost(&["check", "small.toml"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    for words in [
        "3 rows looked at, 1 would be sent",
        "2 invalid: attachment_missing",
        "row 1: invalid: column \"first_name\": there is no such file",
    ] {
        assert!(checked.stdout.contains(words), "no \"{words}\" in {}", checked.stdout);
    }
    let shown = desk.sealpost(&["preview", "small.toml", "--row", "2", "--unsigned"]);
    assert!(shown.stdout.contains("filename=\"a.pdf\"\r\n\r\nJVBERg=="), "{shown:?}");
}
