//! `sealpost tls report`: TLS reports (RFC 8460), sent now or only shown.

use crate::args::{Args, TlsReport};
use crate::failure::{Failure, SETTLED, UNDELIVERED};
use crate::output::outln;
use crate::stored::Reading;
use engine::clock::{Clock, SystemClock};
use engine::plan::Machine;
use engine::run::reports::{Order, Sent, send_now};
use serde_json::{Value, json};

/// Sends the reports of days that are over, or of the one that was named. An engine at work sends its own.
pub fn run(args: &Args, options: &TlsReport) -> Result<u8, Failure> {
    let machine = crate::commands::machine(args)?;
    let order = Order { day: options.day, dry_run: options.dry_run };
    let sent = ordered(&machine, order)?;
    if args.json {
        let reports: Vec<_> = sent.iter().map(object).collect();
        outln!("{}", json!({ "dry_run": options.dry_run, "reports": reports }));
    } else {
        sent.iter().for_each(|sent| print(sent, options.dry_run));
        if sent.is_empty() {
            eprintln!("there is nothing to report, or nobody wants to hear of it");
        }
    }
    let refused = sent.iter().any(|sent| sent.refusal.is_some());
    Ok(if refused { UNDELIVERED } else { SETTLED })
}

fn ordered(machine: &Machine, order: Order) -> Result<Vec<Sent>, Failure> {
    let now = SystemClock.now();
    if !order.dry_run {
        return Ok(send_now(machine, None, order, now)?);
    }
    match Reading::of(&machine.state_dir)? {
        Some(reading) => Ok(send_now(machine, Some(&reading.store), order, now)?),
        None => Ok(Vec::new()),
    }
}

fn object(Sent { report, day, to, refusal }: &Sent) -> Value {
    let content: Value = serde_json::from_str(report.json()).unwrap_or_default();
    json!({
        "domain": report.domain, "day": day.to_string(), "to": to.to_string(), "refusal": refusal, "report": content,
    })
}

fn print(Sent { report, day, to, refusal }: &Sent, dry_run: bool) {
    let domain = &report.domain;
    match refusal {
        _ if dry_run => outln!("{day} {domain} to {to}\n{}", report.json()),
        None => outln!("{day} {domain} to {to}: taken"),
        Some(why) => outln!("{day} {domain} to {to}: not taken: {why}"),
    }
}
