//! The tasks that ask a seawall that runs.

use super::{Exit, Failure, Options, print};
use crate::{
    config,
    operator::{Whom, drain::Drain, health::Health, top::Top},
};

pub(super) fn health(health: &Health, outer: &Options) -> Result<Exit, Failure> {
    let admin = admin(&health.whom, outer)?;
    let line = health.ask(admin.as_ref())?;
    print(format!("{line}\n").as_bytes())
}

pub(super) fn drain(drain: &Drain, outer: &Options) -> Result<Exit, Failure> {
    let admin = admin(&drain.whom, outer)?;
    let line = drain.order(admin.as_ref())?;
    print(format!("{line}\n").as_bytes())
}

pub(super) fn top(top: &Top, outer: &Options) -> Result<Exit, Failure> {
    let admin = admin(&top.whom, outer)?;
    match top.run(admin.as_ref())? {
        Some(text) => print(text.as_bytes()),
        None => Ok(Exit::InOrder),
    }
}

/// Where the one that is meant listens, unless that is said already.
fn admin(whom: &Whom, outer: &Options) -> Result<Option<config::Admin>, Failure> {
    if whom.is_known() {
        return Ok(None);
    }
    let config = whom.config.clone().or_else(|| outer.config.clone());
    // Where seawall runs its backend itself, only the command line of that one says where it is. Here it
    // means nothing.
    let backend = Some("http://127.0.0.1:1".to_owned());
    let options = Options { config, backend, ..Options::default() };
    Ok(Some(options.source(None).admin()?))
}
