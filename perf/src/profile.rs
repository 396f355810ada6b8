//! Runs of their own under strace and perf, which cost too much to be part of a counted one.

use crate::bench::{Bench, last_line};
use crate::flame;
use crate::mode::Mode;
use crate::sending;
use crate::sink::Counted;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};

/// What they showed.
pub struct Profile {
    /// System calls a message, or why nobody counted.
    pub calls: String,
    /// Shares of the CPU by stage, the largest first, and the flame graph; or why there are none.
    pub shares: Result<(Shares, String), String>,
}

/// Shares of the CPU by stage, the largest first.
pub type Shares = Vec<(&'static str, f64)>;

/// Profiles sending in this mode.
pub fn take(bench: &Bench, mode: Mode) -> Profile {
    let calls = system_calls(bench, mode).unwrap_or_else(|why| format!("not counted: {why}"));
    Profile { calls, shares: shares(bench, mode).map_err(|why| why.to_string()) }
}

/// Rows enough for either, and few enough for what every one of them costs there.
const CALLS_OF: u64 = 5_000;
const SAMPLES_OF: u64 = 20_000;

/// Sends so many rows behind `tool`, whose arguments may name files in the folder given.
fn under(
    bench: &Bench,
    mode: Mode,
    rows: u64,
    tool: impl FnOnce(&Path) -> Vec<String>,
) -> Result<std::path::PathBuf, Box<dyn Error>> {
    let folder = bench.fresh("profile")?;
    let cpu = bench.cpus().0;
    let sink = Counted::start(bench, &folder)?;
    let group = bench.guard.group("sender")?;
    let tool = tool(&folder);
    let wrap = |sealpost: &Path| {
        let mut command = group.command(cpu, Path::new(&tool[0]));
        command.args(&tool[1..]).arg(sealpost);
        command
    };
    let (child, _) = sending::spawn(bench, &folder, mode, &sink.address(), Some(rows), wrap)?;
    let output = child.wait_with_output()?;
    if sink.sink.accepted()? < rows {
        let said = std::fs::read(folder.join("stderr"))?;
        return Err(format!("{}: {}", tool[0], last_line(&[said, output.stdout].concat())).into());
    }
    Ok(folder)
}

fn system_calls(bench: &Bench, mode: Mode) -> Result<String, Box<dyn Error>> {
    let rows = bench.rows.min(CALLS_OF);
    let folder = under(bench, mode, rows, |folder| {
        let to = folder.join("strace");
        ["strace", "-f", "-c", "-o", &to.display().to_string()].map(str::to_owned).into()
    })?;
    Ok(calls(&std::fs::read_to_string(folder.join("strace"))?, sending::f64_of(rows)))
}

/// `strace -c`'s table as a sentence.
fn calls(table: &str, rows: f64) -> String {
    let mut counts: Vec<(f64, &str)> = table.lines().filter_map(line).collect();
    counts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let all: f64 = counts.iter().map(|(count, _)| count).sum();
    let most = counts.iter().take(8).map(|(count, name)| format!("{name} {:.2}", count / rows));
    format!("{:.1} ({}, …), starting and ending included.", all / rows, most.collect::<Vec<_>>().join(", "))
}

/// Calls and name: of "% time, seconds, usecs/call, calls, errors if any, syscall".
fn line(line: &str) -> Option<(f64, &str)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let name = *fields.last()?;
    if fields.len() < 5 || name == "total" {
        return None;
    }
    Some((fields[3].parse().ok()?, name))
}

fn shares(bench: &Bench, mode: Mode) -> Result<(Shares, String), Box<dyn Error>> {
    let folder = under(bench, mode, bench.rows.min(SAMPLES_OF), |folder| {
        let to = folder.join("perf.data");
        // Frames by DWARF: neither we nor AWS-LC keep frame pointers. An odd rate keeps out of step with timers.
        ["perf", "record", "-q", "-F", "997", "--call-graph", "dwarf,16384", "-o", &to.display().to_string(), "--"]
            .map(str::to_owned)
            .into()
    })?;
    let mut script = Command::new("perf");
    script.args(["script", "--no-inline", "-F", "ip,sym", "-i"]).arg(folder.join("perf.data"));
    let output = script.stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let shares = by_stage(&text);
    if shares.is_empty() {
        return Err("perf script gave no stacks".into());
    }
    Ok((shares, flame::draw(&format!("CPU of sealpost send, {}", mode.word()), &text)))
}

/// What a frame's name says of the stage: the first word that is in it. Entries of system calls are often tail calls and not on
/// the stack, so that the functions behind them are named.
const STAGES: [(&str, &str); 33] = [
    ("do_writev", "kernel: writev (sockets)"),
    ("__sys_sendto", "kernel: writev (sockets)"),
    ("ksys_write", "kernel: write (files, wake-ups)"),
    ("__sys_recvfrom", "kernel: recv"),
    ("ksys_read", "kernel: read"),
    ("do_futex", "kernel: futex"),
    ("do_epoll", "kernel: epoll"),
    ("ep_poll", "kernel: epoll"),
    ("fsync_range", "kernel: syncs"),
    ("do_sched_yield", "kernel: sched_yield"),
    ("do_mprotect", "kernel: memory of the process"),
    ("do_syscall", "kernel: other calls"),
    ("asm_exc_page_fault", "kernel: page faults"),
    ("asm_sysvec", "kernel: interrupts"),
    ("ret_from_fork", "kernel: other threads"),
    ("_rsaz_", "signatures"),
    ("RSA_sign", "signatures"),
    ("EVP_DigestSign", "signatures"),
    ("engine::sign::keys", "signatures"),
    ("engine::sign::", "canonical form and hashes"),
    ("mail_builder", "MIME"),
    ("engine::render::mime", "MIME"),
    ("handlebars", "templates"),
    ("engine::render", "templates"),
    ("rustls", "TLS"),
    ("rocksdb", "store"),
    ("engine::store", "store"),
    ("engine::gate", "loader and gate"),
    ("loader::", "loader and gate"),
    ("engine::run::feed", "loader and gate"),
    ("engine::smtp", "engine: SMTP"),
    ("engine::", "engine: queue and settling"),
    ("tokio", "tokio"),
];

/// Shares of the samples by stage, from `perf script`'s stacks: a frame a line, the innermost first, an empty line between.
fn by_stage(text: &str) -> Shares {
    let mut counts: BTreeMap<&'static str, u32> = BTreeMap::new();
    let mut samples = 0_u32;
    for stack in stacks(text) {
        samples += 1;
        *counts.entry(stack.lines().find_map(stage_of).unwrap_or("other")).or_default() += 1;
    }
    let mut shares: Vec<_> =
        counts.into_iter().map(|(stage, count)| (stage, f64::from(count) / f64::from(samples))).collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

/// The stacks of `perf script`'s text.
pub fn stacks(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").filter(|stack| !stack.trim().is_empty())
}

/// The stage that a frame's function belongs to.
pub fn stage_of(frame: &str) -> Option<&'static str> {
    STAGES.iter().find(|(word, _)| frame.contains(word)).map(|(_, stage)| *stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn straces_table_is_read() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            \x20 60.00    0.600000          10      6000        12 futex\n\
            \x20 40.00    0.400000          10      4000           sendto\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
            100.00    1.000000          10     10000        12 total\n";
        assert_eq!(calls(table, 2000.0), "5.0 (futex 3.00, sendto 2.00, …), starting and ending included.");
    }

    #[test]
    fn a_sample_counts_for_its_innermost_stage() {
        let stacks = "  1 malloc\n  2 engine::render::mime::message\n  3 engine::queue::owner\n\n  1 bn_mul\n  \
            2 aws_lc_0_RSA_sign\n  3 engine::sign::signer\n\n  1 aws_lc_0_RSA_sign\n\n  1 start_thread\n\n";
        assert_eq!(by_stage(stacks), [("signatures", 0.5), ("MIME", 0.25), ("other", 0.25)]);
    }
}
