//! `sealpost send`.

use super::drive;
use crate::args::{Args, Send};
use crate::descriptors;
use crate::failure::{Failure, SETTLED};
use engine::clock::{Clock, SystemClock};
use engine::plan::Campaign;
use engine::run::{Blueprint, Options, Setup, Started, start};
use engine::secret::TokenKey;

/// Sends a campaign, resumes it, or says that it was finished.
pub fn run(args: &Args, options: &Send) -> Result<u8, Failure> {
    let mut machine = super::machine(args)?;
    let campaign = Campaign::read(&options.campaign)?;
    if options.dry_run {
        let blueprint = Blueprint::new(campaign)?;
        let name = blueprint.campaign().name.clone();
        let sample = blueprint.sample(TokenKey::new(&[0; 32]), options.limit, SystemClock.now())?;
        super::check::print_sample(args, &name, &sample);
        return Ok(SETTLED);
    }
    machine.limits.connections = descriptors::make_room_for(machine.limits.connections, 1);
    let setup = Setup::of(&machine, campaign, Options { limit: options.limit })?;
    match start(setup)? {
        Started::Running(running) => {
            let ended = drive::to_the_end(running)?;
            drive::print(args, &ended.summary);
            let code = drive::exit_code(&ended.summary, options.tolerate);
            ended.linger();
            Ok(code)
        }
        Started::Finished(summary) => {
            eprintln!("{} was sent with this very input before (run {}); nothing to do", summary.campaign, summary.run);
            drive::print(args, &summary);
            Ok(drive::exit_code(&summary, options.tolerate))
        }
    }
}
