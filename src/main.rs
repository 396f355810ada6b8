//! The command line: parses, calls the engine, prints. Data goes to stdout, talk to stderr.

mod args;
mod commands;
mod descriptors;
mod failure;
mod output;
mod progress;
mod signals;

use args::{Args, Command};
use clap::Parser;
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|panic| {
        // A panic's text can quote what it fell over, and that can be a cell of a row.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        eprintln!("internal error in thread {thread} at {place}");
    }));
    if let Err(failure) = start_logging(&args) {
        return failure.print();
    }
    let result = match &args.command {
        Command::Init(options) => commands::init::run(options),
        Command::Check(options) => commands::check::run(&args, options),
        Command::Preview(options) => commands::preview::run(&args, options),
        Command::Rehearse(options) => commands::rehearse::run(&args, options),
        Command::Send(options) => commands::send::run(&args, options),
        Command::Status => commands::status::run(&args),
        Command::Report(options) => commands::report::run(&args, options),
        Command::Sandbox(options) => commands::sandbox::run(options),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.print(),
    }
}

/// The resolver's own logs name the domains it asks for, which are recipients'; our own say what became of them.
const QUIET: &str = "hickory_net=off,hickory_proto=off,hickory_resolver=off";

fn start_logging(args: &Args) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(format!("{QUIET},{}", args.log))
        .map_err(|error| Failure::usage(format!("--log: {error}"), Some("for example: --log info".into())))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if args.log_json {
        subscriber.json().init();
    } else {
        subscriber.compact().with_ansi(false).init();
    }
    Ok(())
}
