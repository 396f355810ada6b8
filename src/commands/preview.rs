//! `sealpost preview`.

use crate::args::{Args, Part, Preview};
use crate::failure::{Failure, SETTLED};
use crate::stored;
use engine::clock::{Clock, SystemClock};
use engine::plan::{Campaign, Machine};
use engine::queue::Press;
use engine::run::{Blueprint, Error, Lock, Options, Outlook, Setup, run_of_input, run_of_name, token_key};
use engine::secret::{MasterKey, TokenKey, write_owner_only};
use engine::sign::Signer;
use engine::store::{Settings, Store};
use std::io::Write;
use std::sync::Arc;

/// Prints what one row would get.
pub fn run(args: &Args, options: &Preview) -> Result<u8, Failure> {
    let campaign = Campaign::read(&options.campaign)?;
    let (blueprint, token, signer) = if options.unsigned {
        let domain = campaign.message.from.address.domain();
        let signer = Signer::new(domain, Vec::new(), campaign.transport.lifetime);
        (Blueprint::new(campaign)?, TokenKey::new(&[0; 32]), Arc::new(signer))
    } else {
        let machine = super::machine(args)?;
        let setup = Setup::of(&machine, campaign.clone(), Options::default())?;
        let mut blueprint = Blueprint::new(campaign)?;
        let token = named(&machine, options, &mut blueprint)?;
        (blueprint, token, setup.signer)
    };
    let renderer = blueprint.renderer(token)?;
    let now = SystemClock.now();
    let refused = |what: &str| {
        let what = format!("row {} makes no message: {what}", options.row);
        Failure::usage(what, Some("`sealpost check` says how many rows are like it".into()))
    };
    let mut row = blueprint.find(options.row, now)?.map_err(|outcome| refused(&outcome.text))?;
    let octets = match options.part {
        Part::Eml => {
            let press = Press::new(renderer, signer);
            press.make(&mut row, now).map_err(|fault| refused(&fault.to_string()))?.octets().to_vec()
        }
        Part::Html => renderer.html(&row).map_err(|fault| refused(&fault.to_string()))?.into_bytes(),
        Part::Text => renderer.text(&row).map_err(|fault| refused(&fault.to_string()))?.into_bytes(),
    };
    match &options.output {
        Some(path) => write_owner_only(path, &octets).map_err(|error| Failure::writing(path, &error))?,
        None => std::io::stdout().write_all(&octets).map_err(|error| Failure::internal(error.to_string()))?,
    }
    Ok(SETTLED)
}

/// Gives the blueprint the run that is meant, and the state directory's token key, so that the Message-ID is the one that would
/// be sent. The key is made now if nothing was sent yet.
fn named(machine: &Machine, options: &Preview, blueprint: &mut Blueprint) -> Result<TokenKey, Failure> {
    let master = MasterKey::fetch(&machine.master)?;
    match Lock::take(&machine.state_dir) {
        Ok(_lock) => {
            let store = Store::open(&machine.state_dir, &Settings::default());
            named_in(&store.map_err(Error::from)?, &master, options, blueprint)
        }
        Err(Error::Busy(_)) => {
            let observed = stored::observe(&machine.state_dir)?;
            let (store, _, _scratch) = observed.ok_or_else(|| Failure::internal("the state directory went away"))?;
            named_in(&store, &master, options, blueprint)
        }
        Err(error) => Err(error.into()),
    }
}

fn named_in(
    store: &Store,
    master: &MasterKey,
    options: &Preview,
    blueprint: &mut Blueprint,
) -> Result<TokenKey, Failure> {
    let token = token_key(store, master)?;
    let standing = match &options.run {
        Some(run) => run_of_name(store, blueprint, run, &token, options.row)?,
        None => run_of_input(store, blueprint)?,
    };
    let said = match standing {
        Outlook::New => "which `sealpost send` would open",
        Outlook::Open => "which `sealpost send` goes on with",
        Outlook::Finished => "which is over; --run names another",
    };
    eprintln!("row {} as in run {}, {said}", options.row, blueprint.run());
    Ok(token)
}
