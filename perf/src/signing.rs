//! What signatures cost by themselves: r, and how much more two CPUs can do than one.
//!
//! Timed in processes of their own, so that each can be tied to a CPU: `perf --what signatures`.

use crate::mode::Mode;
use engine::sign::{Backend, KeyPair};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Long enough for thousands of RSA signatures, short enough to stand beside every run.
const SPAN: Duration = Duration::from_secs(1);
/// Octets under a signature: the canonical header fields of a notice.
const SIGNED: usize = 700;

/// What was timed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// CPU µs for the signatures of one message.
    pub cpu: f64,
    /// Messages signed in a second of the clock.
    pub rate: f64,
}

/// Signs for a second in this thread and prints what it cost.
///
/// # Errors
/// The keys can't be read.
pub fn print(mode: Mode, desk: &Path) -> Result<(), Box<dyn Error>> {
    let pairs = mode.pairs(desk)?;
    // The first signatures of a process make tables; they are not what a message costs.
    (0..50).for_each(|_| sign(&pairs, 0));
    let (since, before) = (Instant::now(), cpu());
    let mut count = 0_u32;
    while since.elapsed() < SPAN {
        sign(&pairs, count);
        count += 1;
    }
    let count = f64::from(count);
    println!("{} {}", (cpu() - before) / count, count / since.elapsed().as_secs_f64());
    Ok(())
}

fn sign(pairs: &[KeyPair], number: u32) {
    let mut octets = [b'h'; SIGNED];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    for pair in pairs {
        std::hint::black_box(pair.sign(std::hint::black_box(&octets)));
    }
}

/// CPU time of this thread, in µs.
pub fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Times `mode` on each of these CPUs at once.
///
/// # Errors
/// A process fails.
pub fn measure(mode: Mode, desk: &Path, cpus: &[usize]) -> Result<Vec<Cost>, Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let start = |cpu: &usize| {
        let mut command = Command::new("taskset");
        command.args(["-c", &cpu.to_string()]).arg(&own);
        command.args(["--what", "signatures", "--mode", mode.word(), "--desk"]).arg(desk);
        command.stdout(Stdio::piped()).spawn()
    };
    let children = cpus.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    children.into_iter().map(|child| parse(&String::from_utf8(child.wait_with_output()?.stdout)?)).collect()
}

fn parse(line: &str) -> Result<Cost, Box<dyn Error>> {
    let (cpu, rate) = line.trim().split_once(' ').ok_or(format!("signatures: {line}"))?;
    Ok(Cost { cpu: cpu.parse()?, rate: rate.parse()? })
}

/// How many times the rate of one CPU two CPUs give: below 2 where they share a core's parts.
///
/// # Errors
/// A process fails.
pub fn ceiling(desk: &Path) -> Result<f64, Box<dyn Error>> {
    let rate = |costs: Vec<Cost>| costs.iter().map(|cost| cost.rate).sum::<f64>();
    let alone = rate(measure(Mode::Rsa, desk, &[0])?).max(rate(measure(Mode::Rsa, desk, &[1])?));
    Ok(rate(measure(Mode::Rsa, desk, &[0, 1])?) / alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_prints_is_read() {
        assert_eq!(parse("431.25 2310\n").expect("parsed"), Cost { cpu: 431.25, rate: 2310.0 });
        assert!(parse("").is_err());
    }
}
