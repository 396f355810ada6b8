//! The command line: parses, calls the engine, prints. Data goes to stdout, talk to stderr.

mod args;
mod commands;
mod descriptors;
mod failure;
mod moment;
mod news;
mod output;
mod probing;
mod progress;
mod seat;
mod signals;
mod stored;

use args::{Args, Command};
use clap::Parser;
use failure::Failure;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|panic| {
        // A panic's text can quote what it fell over, and that can be a cell of a row.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        eprintln!("internal error in thread {thread} at {place}");
    }));
    if let Err(failure) = start_logging(&args) {
        signals::end(failure.say());
    }
    let result = match &args.command {
        Command::Init(options) => commands::init::run(options),
        Command::Check(options) => commands::check::run(&args, options),
        Command::Preview(options) => commands::preview::run(&args, options),
        Command::Rehearse(options) => commands::rehearse::run(&args, options),
        Command::Send(options) => commands::send::run(&args, options),
        Command::Serve => commands::serve::run(&args),
        Command::Status => commands::status::run(&args),
        Command::Pause(options) => commands::steer::pause(&args, &options.target()),
        Command::Resume(options) => commands::steer::resume(&args, &options.target()),
        Command::Cancel(options) => commands::steer::cancel(&args, &options.named.target()),
        Command::Drain => commands::steer::drain(&args),
        Command::Doubt(options) => commands::doubt::run(&args, options),
        Command::Shaping(options) => commands::shaping::run(&args, options),
        Command::Tls(options) => commands::tls::run(&args, options),
        Command::Report(options) => commands::report::run(&args, options),
        Command::Sandbox(options) => commands::sandbox::run(options),
    };
    // A thread that is stuck may be left behind, with the store open.
    signals::end(result.unwrap_or_else(|failure| failure.say()))
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
