//! What the process says of itself, on standard error.

use std::{io::IsTerminal, sync::OnceLock};

use tracing_subscriber::{
    Registry,
    filter::{ParseError, Targets},
    fmt,
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

use crate::config::{Log, LogFormat};

/// What is said and what is not, of the whole process.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// `log.level` is none.
#[derive(Debug, thiserror::Error)]
#[error("log.level: {0}; write a level such as \"info\" or \"seawall=debug\"")]
pub struct NoLevel(#[from] ParseError);

/// A `log.level` that can be put in force.
#[derive(Debug)]
pub(crate) struct Level(Targets);

impl Level {
    /// # Errors
    /// Where it is none.
    pub(crate) fn of(log: &Log) -> Result<Self, NoLevel> {
        // What h2 says of frames, any client can make it say, as often as it likes.
        Ok(Self(format!("h2=off,{}", log.level).parse()?))
    }

    /// From here on it holds, where the diagnostics were started.
    pub(crate) fn put_in_force(self) {
        if let Some(filter) = FILTER.get() {
            // An error says that nobody listens any more.
            let _ = filter.reload(self.0);
        }
    }
}

/// Starts the diagnostics. Only the first call of a process counts.
///
/// # Errors
/// Where `log.level` is none.
pub(crate) fn start(log: &Log) -> Result<(), NoLevel> {
    let (filter, handle) = reload::Layer::new(Level::of(log)?.0);
    let registry = tracing_subscriber::registry().with(filter);
    // A second call leaves the first one's subscriber in place.
    let started = match is_pretty(log.format, std::io::stderr().is_terminal()) {
        true => {
            registry.with(fmt::layer().with_writer(std::io::stderr).with_target(false)).try_init()
        }
        false => registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_span_list(false)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
    Ok(())
}

/// `auto` is pretty on a terminal, JSON elsewhere.
pub(crate) fn is_pretty(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    }
}
