//! Two sites that refuse what is too much, one beyond five connections, one beyond twenty messages a second: how much of the
//! limit is reached, and how much is refused, at first, in steady state, and when a second process begins.

use crate::desk::Desk;
use crate::sending::f64_of;
use crate::sink::Sink;
use serde_json::Value;
use std::error::Error;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A site, what it is told to be, and how many messages a second it can take.
struct Site {
    name: &'static str,
    options: &'static [&'static str],
    limit: u32,
}

const SITES: [Site; 2] = [
    Site { name: "five connections", options: &["--most-connections", "5", "--latency", "100ms"], limit: 50 },
    Site { name: "twenty a second", options: &["--rate", "20/s"], limit: 20 },
];

/// A rate of the rules, in messages a second.
const CONFIGURED: u64 = 20;

/// From here on it is steady, in seconds since the first message of a run.
const STEADY: u64 = 60;
/// Bars.
const REACHED: f64 = 0.95;
const REFUSED: f64 = 0.02;
const REMEMBERED: f64 = 0.1;

/// One run at one site.
struct Run {
    /// Refusals in its first minute.
    at_first: u64,
    /// Of what was tried in steady state.
    share: f64,
    /// Messages a second in steady state.
    per_second: f64,
}

/// Sends to each site for so many seconds, twice, and gives the table.
///
/// # Errors
/// A row is not delivered, or paid with an attempt for what was refused to all.
pub fn measure(sealpost: &Path, folder: &Path, seconds: u64) -> Result<String, Box<dyn Error>> {
    if seconds < 2 * STEADY {
        return Err(
            format!("pace is steady after {STEADY} s, and {seconds} were asked for: ROWS are seconds here").into()
        );
    }
    let mut text = String::from("| site | run | refused in its first minute | refused later, of what was tried |");
    text += " messages/s later | of the limit |\n|---|---|--:|--:|--:|--:|\n";
    let mut verdicts = String::new();
    for (number, site) in SITES.iter().enumerate() {
        let runs = at(site, sealpost, &folder.join(format!("pace{number}")), seconds)?;
        for (number, run) in (1..).zip(&runs) {
            let (name, refused, reached) = (site.name, run.share * 100.0, run.per_second / f64::from(site.limit));
            let Run { at_first, per_second, .. } = run;
            writeln!(text, "| {name} | {number} | {at_first} | {refused:.2} % | {per_second:.1} | {reached:.3} |")?;
        }
        verdicts += &verdict(site, &runs)?;
    }
    verdicts += &configured(sealpost, &folder.join("configured"), seconds)?;
    Ok(format!("{text}\n{verdicts}"))
}

/// Eight sites of one provider, for which the rules say so many a second, and three campaigns at once for so many seconds: the
/// most that any sliding minute saw.
fn configured(sealpost: &Path, folder: &Path, seconds: u64) -> Result<String, Box<dyn Error>> {
    let desk = Desk::new(sealpost, folder)?;
    let sink = Sink::start(Command::new(sealpost), folder, "site", &["--course"])?;
    std::fs::write(
        folder.join("shaping.toml"),
        format!("[[provider]]\nname = \"big\"\nmx = [\"big.example\"]\nconnections = 10\nrate = \"{CONFIGURED}/s\"\n"),
    )?;
    let route =
        |site| format!("\"d{site}.example\" = {{ host = \"mx{site}.big.example\", address = \"{}\" }}\n", sink.address);
    let routes: String = (0..8).map(route).collect();
    desk.machine(&format!(
        "[shaping]\nfile = \"shaping.toml\"\n[dns.static]\n{routes}[tls]\nroots = [\"site.pem\"]\n"
    ))?;
    let mut engine = desk.command(&["serve"]).stdout(Stdio::null()).spawn()?;
    let sent = three_at_once(&desk, seconds * CONFIGURED / 3);
    rustix::process::kill_process(rustix::process::Pid::from_child(&engine), rustix::process::Signal::TERM)?;
    engine.wait()?;
    sent?;
    let totals: Value = serde_json::from_str(&sink.last_line()?)?;
    let most = |span: &str| totals["course"][span]["offered"].as_u64().ok_or(format!("no {span} in the course"));
    let (second, minute) = (most("most_a_second")?, most("most_a_minute")?);
    let bar = 61 * CONFIGURED;
    Ok(format!(
        "- {CONFIGURED} a second by the rules, three campaigns, eight sites: {minute} in the busiest of all sliding minutes (bar {bar}: \
         a minute and a burst), {second} in the busiest second: **{}**\n",
        if minute <= bar { "pass" } else { "fail" }
    ))
}

/// Three campaigns of so many rows, by the engine at work.
fn three_at_once(desk: &Desk, rows: u64) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    while desk.asked(&["status", "--json"]).is_ok_and(|status| status["engine"] != "running") {
        if begun.elapsed() > Duration::from_secs(20) {
            return Err("no engine began".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let campaign =
        |name: &str| desk.campaign(name, (0..rows).map(|row| format!("{name}{row}@d{}.example", row % 8)), "");
    let campaigns = ["a", "b", "c"].into_iter().map(campaign).collect::<Result<Vec<_>, _>>()?;
    std::thread::scope(|scope| {
        let send = |campaign: &String| desk.asked(&["send", campaign, "--json"]).map_err(|error| error.to_string());
        let senders: Vec<_> = campaigns.iter().map(|campaign| scope.spawn(move || send(campaign))).collect();
        for sender in senders {
            let counts = sender.join().map_err(|_| "a thread panicked")??;
            if counts["delivered"].as_u64() != Some(rows) {
                return Err(format!("not everything was delivered: {counts}").into());
            }
        }
        Ok(())
    })
}

fn verdict(site: &Site, [first, second]: &[Run; 2]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let mut say = |holds: bool, what: String| {
        writeln!(text, "- {}: {what}: **{}**", site.name, if holds { "pass" } else { "fail" })
    };
    let (share, bar) = (first.share * 100.0, REFUSED * 100.0);
    say(first.share < REFUSED, format!("{share:.2} % refused in steady state (bar {bar:.0} %)"))?;
    let reached = first.per_second / f64::from(site.limit);
    say(reached >= REACHED, format!("{:.1} % of the limit reached (bar {:.0} %)", reached * 100.0, REACHED * 100.0))?;
    let remembered = f64_of(second.at_first) < REMEMBERED * f64_of(first.at_first);
    let (again, at_first) = (second.at_first, first.at_first);
    say(
        remembered,
        format!("{again} refused in the second run's first minute, {at_first} in the first's (bar a tenth)"),
    )?;
    Ok(text)
}

/// Two runs of two processes at one site.
fn at(site: &Site, sealpost: &Path, folder: &Path, seconds: u64) -> Result<[Run; 2], Box<dyn Error>> {
    let desk = Desk::new(sealpost, folder)?;
    let sink = Sink::start(Command::new(sealpost), folder, "site", &[site.options, &["--course"]].concat())?;
    desk.machine(&format!(
        "[dns.static]\n\"*\" = {{ host = \"mx.site.example\", address = \"{}\" }}\n[tls]\nroots = [\"site.pem\"]\n",
        sink.address
    ))?;
    let rows = seconds * u64::from(site.limit);
    let mut times = Vec::new();
    for run in ["first", "second"] {
        let campaign = desk.campaign(run, (0..rows).map(|row| format!("{run}{row}@mail.example")), "")?;
        let began = since_1970()?;
        let counts = desk.asked(&["send", &campaign, "--json"])?;
        times.push((began, since_1970()?));
        println!("{}, {run} run: {counts}", site.name);
        let report = desk.asked(&["report", &campaign, "--json"])?;
        if report["delivered_by_attempts"]["1"].as_u64() != Some(rows) {
            return Err(format!("{}: rows paid for what was refused to all: {report}", site.name).into());
        }
    }
    let totals: Value = serde_json::from_str(&sink.last_line()?)?;
    let course = &totals["course"];
    Ok([of(course, times[0])?, of(course, times[1])?])
}

fn since_1970() -> Result<u64, Box<dyn Error>> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

/// What a site saw of a run between two times.
fn of(course: &Value, (from, to): (u64, u64)) -> Result<Run, Box<dyn Error>> {
    let (began, seconds) = (course["began"].as_u64(), course["seconds"].as_array());
    let (began, seconds) = began.zip(seconds).ok_or("the sink kept no course")?;
    let at = |time: u64| usize::try_from(time.saturating_sub(began) / 1000);
    let (first, last) = (at(from)?, at(to)?.min(seconds.len()));
    let sum = |what: &str, span: Range<usize>| -> u64 {
        seconds[span].iter().filter_map(|second| second[what].as_u64()).sum()
    };
    let refused = |span: Range<usize>| sum("refused_connections", span.clone()) + sum("refused_rate", span);
    let minute = first + usize::try_from(STEADY)?;
    // In the last seconds there is not enough left to send.
    let steady = minute..last.checked_sub(3).filter(|end| *end > minute).ok_or("it was over before it was steady")?;
    let tried = sum("offered", steady.clone()) + sum("refused_connections", steady.clone());
    Ok(Run {
        at_first: refused(first..minute),
        share: f64_of(refused(steady.clone())) / f64_of(tried.max(1)),
        per_second: f64_of(sum("accepted", steady.clone())) / f64_of(steady.len() as u64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_judged_by_its_own_seconds() {
        let second = |at: u64| {
            let (mine, first) = (at >= 10, at < 70);
            let refused = if !mine {
                90
            } else if first {
                2
            } else {
                1
            };
            serde_json::json!({"offered": 20, "accepted": 19, "refused_rate": refused, "refused_connections": 5})
        };
        let course = serde_json::json!({"began": 1_000_000, "seconds": (0..100).map(second).collect::<Vec<_>>()});
        let run = of(&course, (1_010_500, 1_099_000)).expect("a run");
        assert_eq!((run.at_first, run.per_second), (60 * 7, 19.0));
        assert!((run.share - 6.0 / 25.0).abs() < 1e-9, "{}", run.share);
        assert!(of(&course, (1_010_500, 1_072_000)).is_err(), "too short");
    }
}
