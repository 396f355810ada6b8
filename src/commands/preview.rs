//! `sealpost preview`.

use crate::args::{Args, Part, Preview};
use crate::failure::{Failure, SETTLED};
use crate::stored;
use engine::clock::{Clock, SystemClock};
use engine::plan::{Campaign, Machine};
use engine::queue::Press;
use engine::run::{Blueprint, Error, Lock, Options, Setup, token_key};
use engine::secret::{MasterKey, TokenKey, write_owner_only};
use engine::sign::Signer;
use engine::store::{Settings, Store};
use std::io::Write;
use std::sync::Arc;

/// Prints what one row would get.
pub fn run(args: &Args, options: &Preview) -> Result<u8, Failure> {
    let campaign = Campaign::read(&options.campaign)?;
    let (token, signer) = if options.unsigned {
        let domain = campaign.message.from.address.domain();
        let signer = Signer::new(domain, Vec::new(), campaign.transport.lifetime);
        (TokenKey::new(&[0; 32]), Arc::new(signer))
    } else {
        let machine = super::machine(args)?;
        let setup = Setup::of(&machine, campaign.clone(), Options::default())?;
        (token(&machine)?, setup.signer)
    };
    let blueprint = Blueprint::new(campaign)?;
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

/// The state directory's token key, so that the Message-ID is the one that would be sent. Made now if nothing was sent yet.
fn token(machine: &Machine) -> Result<TokenKey, Failure> {
    let master = MasterKey::fetch(&machine.master)?;
    let key = match Lock::take(&machine.state_dir) {
        Ok(_lock) => token_key(&Store::open(&machine.state_dir, &Settings::default()).map_err(Error::from)?, &master)?,
        Err(Error::Busy(_)) => {
            let observed = stored::observe(&machine.state_dir)?;
            let (store, _, _scratch) = observed.ok_or_else(|| Failure::internal("the state directory went away"))?;
            token_key(&store, &master)?
        }
        Err(error) => return Err(error.into()),
    };
    Ok(key)
}
