//! `[[source]] warmup` and `[warmup]`: which addresses are new, and the schedules by which they are warmed up.

use super::Error;
use super::file::{MachineFile, SourceTable};
use super::machine::Fail;
use crate::clock::{Day, Timestamp, Zone};
use crate::mail::instead_of;
use crate::warmup::{Schedule, Unfit, Warmup, Warmups};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;

/// `[[source]] warmup`, as it was written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmupTable {
    /// The first day.
    pub since: Spanned<String>,
    /// The schedule's name.
    #[serde(default = "usual")]
    pub schedule: Spanned<String>,
}

/// `[warmup]`, as it was written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WarmupsTable {
    /// A file of schedules; `None` is the one that comes with the program.
    pub schedules: Option<Spanned<PathBuf>>,
    /// Where days begin.
    pub zone: Spanned<String>,
}

impl Default for WarmupsTable {
    fn default() -> Self {
        WarmupsTable { schedules: None, zone: Spanned::new(0..0, "UTC".to_owned()) }
    }
}

fn usual() -> Spanned<String> {
    Spanned::new(0..0, "default".to_owned())
}

/// A file of schedules, as it was written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SchedulesFile {
    schedule: BTreeMap<String, ScheduleTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleTable {
    caps: Spanned<Vec<Spanned<u32>>>,
}

type Schedules = BTreeMap<String, Arc<Schedule>>;

/// The schedules that come with the program.
const OURS: &str = include_str!("../../../config/warmup.toml");

/// Warm-ups of the sources, as of `now`.
pub(super) fn warmups(folder: &Path, file: &MachineFile, now: Timestamp, fail: Fail<'_>) -> Result<Warmups, Error> {
    let text = &file.warmup.zone;
    let zone = Zone::parse(text.get_ref()).ok_or_else(|| {
        let what = format!("\"{}\" in [warmup] zone is no distance from UTC", text.get_ref());
        fail(text.span().start, what).hint("write \"UTC\", or one like \"-05:00\"")
    })?;
    // Also where no source warms up: a mistake in it must not wait for the day on which one does.
    let schedules = schedules(folder, file.warmup.schedules.as_ref(), fail)?;
    let mut of = BTreeMap::new();
    for source in &file.source {
        let Some(table) = &source.warmup else { continue };
        let fail = |what: String| fail(table.span().start, format!("source \"{}\" {what}", source.name.get_ref()));
        let address = only_address(source, &fail)?;
        let warmup = warmup(table.get_ref(), &schedules, zone.day(now), &fail)?;
        if of.insert(address, warmup).is_some() {
            return Err(fail(format!("warms up {address}, and so does another source"))
                .hint("receivers judge the address: give each source its own"));
        }
    }
    Ok(Warmups { of, zone })
}

/// The address that it warms up.
fn only_address(source: &SourceTable, fail: &dyn Fn(String) -> Error) -> Result<IpAddr, Error> {
    match (source.ipv4, source.ipv6) {
        (Some(four), None) => Ok(four.into()),
        (None, Some(six)) => Ok(six.into()),
        (None, None) => Err(fail("warms up, and has no address of its own".into())
            .hint("name the address in ipv4 or ipv6: it is what receivers come to know")),
        (Some(_), Some(_)) => Err(fail("warms up two addresses at once".into())
            .hint("receivers judge IPv4 and IPv6 apart: make two sources of it, one with ipv4 and one with ipv6")),
    }
}

fn warmup(
    table: &WarmupTable,
    schedules: &Schedules,
    today: Day,
    fail: &dyn Fn(String) -> Error,
) -> Result<Warmup, Error> {
    let (since, name) = (table.since.get_ref(), table.schedule.get_ref());
    let day = Day::parse(since).ok_or_else(|| {
        fail(format!("warms up since \"{since}\", which is no day")).hint("write it like \"2026-11-20\"")
    })?;
    if day > today {
        return Err(fail(format!("warms up since {day}, which is not yet: today is {today}"))
            .hint("add the source on the day on which it begins to send"));
    }
    match schedules.get(name) {
        Some(schedule) => Ok(Warmup { since: day, schedule: schedule.clone() }),
        None => {
            let names: Vec<_> = schedules.keys().map(String::as_str).collect();
            Err(fail(format!("warms up by \"{name}\", which is no schedule")).hint(instead_of(name, &names)))
        }
    }
}

fn schedules(folder: &Path, path: Option<&Spanned<PathBuf>>, fail: Fail<'_>) -> Result<Schedules, Error> {
    let Some(path) = path else {
        return parse(Path::new("the built-in warmup.toml"), OURS);
    };
    let place = folder.join(path.get_ref());
    let text = std::fs::read_to_string(&place).map_err(|cause| {
        fail(path.span().start, format!("[warmup] schedules: {}: can't be read: {cause}", place.display()))
            .hint("leave it out to go by the schedules that come with the program")
    })?;
    parse(&place, &text)
}

/// Checks `text` as the content of the file of schedules at `path`.
fn parse(path: &Path, text: &str) -> Result<Schedules, Error> {
    let file: SchedulesFile = toml::from_str(text).map_err(|cause| Error::toml(path, text, &cause))?;
    let schedule = |(name, table): (String, ScheduleTable)| {
        let list = table.caps.get_ref();
        let caps = list.iter().map(|cap| *cap.get_ref()).collect();
        let schedule = Schedule::new(&name, caps).map_err(|unfit| {
            let at = match unfit {
                Unfit::Empty => table.caps.span().start,
                Unfit::Zero(at) | Unfit::Falls(at) => list[at].span().start,
            };
            Error::new(path, format!("schedule \"{name}\" {unfit}")).at(text, at)
        })?;
        Ok((name, Arc::new(schedule)))
    };
    file.schedule.into_iter().map(schedule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Machine;

    const HEAD: &str = "state_dir = \"state\"\n[keys]\nmaster = { env = \"KEY\" }\n";

    fn read(source: &str, more: &str) -> Result<Warmups, String> {
        let text = format!("{HEAD}{more}\n[[source]]\nname = \"b\"\nehlo = \"b.acme.example\"\n{source}\n");
        let machine = Machine::parse(Path::new("sealpost.toml"), &text);
        machine.map(|machine| machine.warmups).map_err(|error| error.to_string())
    }

    #[test]
    fn a_source_warms_up_by_its_schedule() {
        let warmups = read("ipv4 = \"192.0.2.7\"\nwarmup = { since = \"2024-02-29\" }", "").expect("good");
        let warmup = &warmups.of[&"192.0.2.7".parse::<IpAddr>().expect("an address")];
        assert_eq!((warmup.since.to_string(), warmup.schedule.name()), ("2024-02-29".into(), "default"));
        assert_eq!(warmup.schedule.cap(1), Some(50), "the issue's first day");
        assert_eq!(warmup.schedule.days(), 44, "and the 45th is full");
        assert!(read("", "").expect("good").of.is_empty());
    }

    #[test]
    fn mistakes_are_told() {
        let warm = "ipv4 = \"192.0.2.7\"\nwarmup = ";
        let cases = [
            ("", "[warmup]\nzone = \"Mars\"", ":5: \"Mars\" in [warmup] zone is no distance"),
            ("", "[warmup]\nschedules = \"nowhere.toml\"", ":5: [warmup] schedules: nowhere.toml: can't be read"),
            ("ipv4 = \"192.0.2.7\"\nwarmup = { since = \"soon\" }", "", "since \"soon\", which is no day"),
            ("ipv4 = \"192.0.2.7\"\nwarmup = { since = \"2999-01-01\" }", "", "which is not yet"),
            (&format!("{warm}{{ since = \"2024-01-01\", schedule = \"defautl\" }}"), "", "is no schedule"),
            (&format!("{warm}{{ since = \"2024-01-01\", caps = [1] }}"), "", "unknown field `caps`"),
            ("warmup = { since = \"2024-01-01\" }", "", "has no address of its own"),
            (
                "ipv4 = \"192.0.2.7\"\nipv6 = \"2001:db8::7\"\nwarmup = { since = \"2024-01-01\" }",
                "",
                "warms up two addresses at once",
            ),
        ];
        for (source, more, expected) in cases {
            let error = read(source, more).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        let twice = "ipv4 = \"192.0.2.7\"\nwarmup = { since = \"2024-01-01\" }\n[[source]]\nname = \"c\"\nehlo = \"c.acme.example\"\n\
ipv4 = \"192.0.2.7\"\nwarmup = { since = \"2024-01-01\" }";
        assert!(read(twice, "").expect_err("one address").contains("warms up 192.0.2.7, and so does another source"));
    }

    #[test]
    fn a_schedule_of_ones_own_is_read_strictly() {
        let schedules = |text: &str| parse(Path::new("w.toml"), text).map_err(|error| error.to_string());
        let good = schedules("[schedule.slow]\ncaps = [50, 100,\n200]").expect("good");
        assert_eq!(good["slow"].cap(3), Some(200));
        let cases = [
            ("[schedule.a]\ncaps = []", "w.toml:2: schedule \"a\" has no caps"),
            ("[schedule.a]\ncaps = [5,\n0]", "w.toml:3: schedule \"a\" has a day without a message"),
            ("[schedule.a]\ncaps = [5,\n6,\n5]", "w.toml:4: schedule \"a\" falls"),
            ("[schedule.a]\ncaps = [5]\nzone = 1", "w.toml:3: unknown field `zone`"),
        ];
        for (text, expected) in cases {
            let error = schedules(text).expect_err(expected);
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
