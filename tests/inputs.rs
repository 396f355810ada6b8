//! The inputs that operators have: several files, packed ones, streams, and one that only looks like another.

use crate::support::{Desk, Mx, Ran, receivers};
use std::io::Write;
use std::process::Stdio;

fn rows(from: usize, to: usize) -> String {
    (from..to).map(|row| format!("{row},r{row}@mail.example,Ann{row}\n")).collect()
}

const HEAD: &str = "id,email,first_name\n";

/// A desk, an MX, and a campaign whose input is `path`.
fn desk(path: &str, input: &str) -> (Desk, Mx, String) {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &[]);
    desk.machine(mx.port, "");
    let campaign = desk.small(1, "");
    let text = std::fs::read_to_string(desk.path(&campaign)).expect("there");
    desk.write(&campaign, text.replace("path = \"small.csv\"\n", &format!("path = {path}\n{input}\n")).as_bytes());
    (desk, mx, campaign)
}

fn packed(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).expect("packed");
    packer.finish().expect("packed")
}

/// Runs `sealpost send` with `text` as its standard input.
fn piped(desk: &Desk, campaign: &str, args: &[&str], text: &str) -> Ran {
    let mut command = desk.command(&[&["send", campaign, "--json"], args].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    let text = text.to_owned();
    // It may end before it has read all.
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).ok());
    let ran = Ran::from(child.wait_with_output().expect("it ends"));
    writer.join().expect("no panic");
    ran
}

#[test]
fn files_of_several_kinds_by_pattern_are_one_run() {
    let (desk, _mx, campaign) = desk("[\"east-*.csv*\", \"west.tsv\"]", "");
    desk.write("east-1.csv", format!("{HEAD}{}", rows(0, 100)).as_bytes());
    desk.write("east-2.csv.gz", &packed(&format!("{HEAD}{}", rows(100, 200))));
    desk.write("west.tsv", format!("{HEAD}{}bad\n", rows(200, 300)).replace(',', "\t").as_bytes());
    let (code, counts) = desk.send(&campaign);
    assert_eq!((code, counts["rows"].as_u64(), counts["delivered"].as_u64()), (0, Some(301), Some(300)), "{counts}");
    let listed = desk.sealpost(&["report", &campaign, "--list"]);
    assert!(
        listed.stdout.contains("row 301") && listed.stdout.contains("west.tsv, line 102: has 1 fields"),
        "{listed:?}"
    );
    let again = desk.sealpost(&["send", &campaign]);
    assert!(again.stderr.contains("nothing to do"), "{again:?}");
    let report = desk.sealpost(&["report", &campaign, "--json"]).json();
    assert!(report["input"].as_str().is_some_and(|input| input.ends_with("east-1.csv and 2 more")), "{report}");
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (desk, _mx, campaign) = desk("[\"*.part\"]", "format = \"csv\"");
    let ran = desk.sealpost(&["send", &campaign]);
    assert!(ran.code == 2 && ran.stderr.contains("*.part") && ran.stderr.contains("hint: "), "{ran:?}");
    desk.write("1.part", format!("{HEAD}{}", rows(0, 3)).as_bytes());
    desk.write("2.part", b"id,mail,first_name\n9,r9@mail.example,Ann\n");
    let ran = desk.sealpost(&["send", &campaign]);
    assert!(ran.code == 2 && ran.stderr.contains("2.part") && ran.stderr.contains("mail"), "{ran:?}");
}

#[test]
fn a_name_in_latin1_is_refused_until_it_is_declared() {
    let (desk, _mx, campaign) = desk("\"latin.csv\"", "");
    let mut text = HEAD.as_bytes().to_vec();
    text.extend_from_slice(b"1,r1@mail.example,Jos\xe9\n");
    desk.write("latin.csv", &text);
    let ran = desk.sealpost(&["check", &campaign]);
    assert!(ran.code == 2 && ran.stderr.contains("encoding = \"latin1\""), "{ran:?}");
    let declared = std::fs::read_to_string(desk.path(&campaign)).expect("there");
    desk.write(&campaign, declared.replace("[input]\n", "[input]\nencoding = \"latin1\"\n").as_bytes());
    let shown = desk.sealpost(&["preview", &campaign, "--row", "1", "--part", "text"]);
    assert!(shown.stdout.contains("Hello José."), "{shown:?}");
}

#[test]
fn standard_input_is_sent_stopped_and_resumed_by_the_same_stream() {
    let (desk, mx, campaign) = desk("\"-\"", "format = \"csv\"");
    // What differs stands behind the beginning that a stream is first known by (256 KiB), in what was read of it.
    let text = format!("{HEAD}{}", rows(0, 3000)).replace(",Ann", &format!(",{}Ann", "x".repeat(100)));
    let first = piped(&desk, &campaign, &["--limit", "2900"], &text);
    assert_eq!((first.code, first.json()["delivered"].as_u64()), (3, Some(2900)), "{first:?}");
    let other = text.replace("Ann2500\n", "Eve2500\n");
    let refused = piped(&desk, &campaign, &[], &other);
    assert!(
        refused.stderr.contains("and is another") && refused.stderr.contains("hint: pipe the same stream"),
        "{refused:?}"
    );
    let second = piped(&desk, &campaign, &[], &text);
    assert_eq!((second.code, second.json()["delivered"].as_u64()), (0, Some(3000)), "{second:?}");
    let third = piped(&desk, &campaign, &[], &text);
    assert!(third.stderr.contains("nothing to do"), "{third:?}");
    let another = piped(&desk, &campaign, &[], &other);
    assert!(another.code == 2 && another.stderr.contains("write it to a file"), "{another:?}");
    let ids: std::collections::HashSet<_> = receivers::ledger(&desk).into_iter().collect();
    assert_eq!((ids.len(), mx.totals()["accepted"].as_u64()), (3000, Some(3000)));
}

#[test]
fn an_input_that_differs_only_in_the_middle_is_another_run() {
    let (desk, mx, campaign) = desk("\"long.csv\"", "");
    // Longer than the ends that an input is first known by.
    let filler = "x".repeat(4000);
    let long = |name: &str| {
        let row = |row: usize| match row {
            150 => format!("{name},{name}@mail.example,{name}\n"),
            _ => format!("{row},r{row}@mail.example,{filler}\n"),
        };
        format!("{HEAD}{}", (0..300).map(row).collect::<String>())
    };
    desk.write("long.csv", long("Ann").as_bytes());
    let (code, first) = desk.send(&campaign);
    assert_eq!((code, first["delivered"].as_u64()), (0, Some(300)), "{first}");
    desk.write("long.csv", long("Eve").as_bytes());
    let (code, second) = desk.send(&campaign);
    // Who stands in both has it.
    assert_eq!((code, &second["delivered"], &second["duplicate"]), (0, &1.into(), &299.into()), "{second}");
    assert_ne!(first["run"], second["run"]);
    let (_, third) = desk.send(&campaign);
    assert_eq!(second["run"], third["run"], "and is found again");
    assert_eq!(mx.totals()["accepted"], 301);
}

#[test]
fn a_stream_taken_up_with_a_limit_goes_on() {
    let (desk, mx, campaign) = desk("\"-\"", "format = \"csv\"");
    let text = format!("{HEAD}{}", rows(0, 3000));
    assert_eq!(piped(&desk, &campaign, &["--limit", "2500"], &text).json()["delivered"], 2500);
    // Fewer than were read the first time: the mark lies behind them.
    let second = piped(&desk, &campaign, &["--limit", "100"], &text);
    assert_eq!(second.json()["delivered"], 2600, "{second:?}");
    assert_eq!(mx.totals()["accepted"], 2600);
}

#[test]
fn a_signal_ends_a_run_whose_pipe_says_nothing() {
    let (desk, _mx, campaign) = desk("\"-\"", "format = \"csv\"");
    let mut command = desk.command(&["send", &campaign, "--json"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("piped");
    // More than the opening is known by, so that it begins; then silence.
    let text = format!("{HEAD}{}", rows(0, 9000));
    stdin.write_all(text.as_bytes()).expect("it reads");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while receivers::ledger(&desk).len() < 1000 {
        assert!(std::time::Instant::now() < end, "nothing was sent");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    receivers::signal(child.id(), "TERM");
    let ran = Ran::from(child.wait_with_output().expect("it ends"));
    assert_eq!(ran.code, 3, "{ran:?}");
    drop(stdin);
}

#[test]
fn a_letter_that_needs_more_than_was_kept_is_refused_until_the_run_is_finished() {
    let desk = Desk::new();
    let mx = Mx::start(&desk, &["--defer", "100"]);
    desk.machine(mx.port, "[retry]\nfirst = \"1h\"\nlongest = \"1h\"\n");
    let campaign = desk.small(3, "");
    let head = "id,email,first_name,plan_name\n";
    desk.write("small.csv", format!("{head}1,a@mail.example,Ann,Gold\n2,b@mail.example,Bo,Gold\n").as_bytes());
    let mut run = desk.spawn(&["send", &campaign]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !desk.sealpost(&["status", "--json"]).stdout.contains("\"deferred\":2") {
        assert!(std::time::Instant::now() < end, "not deferred");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    receivers::signal(run.id(), "TERM");
    run.wait().expect("it ends");
    desk.write("small.hbs", b"Hello {{first_name}} of {{plan_name}}.\n");
    let ran = desk.sealpost(&["send", &campaign]);
    assert!(ran.code == 2 && ran.stderr.contains("needs column \"plan_name\", which 2 deferred rows"), "{ran:?}");
    assert!(ran.stderr.contains("hint: change the letter back"), "{ran:?}");
}
