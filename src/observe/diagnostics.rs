//! What the process says of itself, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{Log, LogFormat};

/// Starts the diagnostics. Only the first call of a process counts.
///
/// # Errors
/// Where `log.level` is none.
pub(crate) fn start(log: &Log) -> Result<(), tracing_subscriber::filter::ParseError> {
    // What h2 says of frames, any client can make it say, as often as it likes.
    let filter: EnvFilter = format!("h2=off,{}", log.level).parse()?;
    let registry = tracing_subscriber::registry().with(filter);
    // A second call leaves the first one's subscriber in place.
    let _ = match is_pretty(log.format, std::io::stderr().is_terminal()) {
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
