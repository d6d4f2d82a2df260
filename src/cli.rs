//! The command line, and the exit codes.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    config::{self, Loaded, Mistakes, Overrides},
    demo,
    observe::diagnostics,
    runtime,
    server::{Ending, NotStarted, Server, Signals},
};

/// The file that is read where none is named.
const FILE: &str = "proxy.toml";
/// Variables with this prefix lie over the file.
const PREFIX: &str = "SEAWALL_";

/// Shields fragile HTTP backends: clients may leave, stall, retry and flood; the backend sees only
/// whole requests, at a pace it can bear, and every answer that it starts is read to its end.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// The configuration file [default: ./proxy.toml, if there is one].
    #[arg(long, short, global = true, env = "SEAWALL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect; over the file.
    #[arg(long, short, global = true, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The server to shield; over the file.
    #[arg(long, short, global = true, value_name = "URL")]
    backend: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default).
    Run,
    /// Print the configuration in force and where each value comes from, or every mistake in it.
    Check,
    /// Be rude to a fragile server, without and with seawall before it, and compare.
    Demo {
        /// End after the comparison instead of serving on.
        #[arg(long)]
        once: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  seawall --listen 127.0.0.1:8080 --backend http://127.0.0.1:5000
  seawall --config proxy.toml
  SEAWALL_BACKEND__MAX_CONCURRENCY=1 seawall
  seawall check
  seawall demo --once

Exit codes: 0 ended in order, 1 failed, 2 mistakes in configuration or command line,
3 ended, but something was cut.";

/// Every exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Nothing was left to do.
    InOrder = 0,
    /// A port that is taken, a folder that cannot be written.
    Failed = 1,
    /// The configuration or the command line is wrong. clap uses the same.
    Mistakes = 2,
    /// The drain's bound, or a second signal, cut something.
    Cut = 3,
}

/// What ends the program before its time; one line for the user each.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    #[error("log.level: {0}; write a level such as \"info\" or \"seawall=debug\"")]
    LogLevel(#[from] tracing_subscriber::filter::ParseError),
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    #[error("demo: {0}")]
    Demo(#[from] demo::Failed),
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> ExitCode {
        let done = match self.command.unwrap_or(Command::Run) {
            Command::Run => self.options.load().and_then(|loaded| serve(&loaded)),
            Command::Check => self.options.load().map(|loaded| {
                print!("{}", loaded.explain());
                Exit::InOrder
            }),
            Command::Demo { once } => {
                demo::run(once).map(|()| Exit::InOrder).map_err(Failure::from)
            }
        };
        let exit = done.unwrap_or_else(|failure| {
            eprintln!("{}", failure.lines());
            failure.exit()
        });
        ExitCode::from(exit as u8)
    }
}

fn serve(loaded: &Loaded) -> Result<Exit, Failure> {
    let config = &loaded.config;
    diagnostics::start(&config.log)?;
    // Each exchange takes two descriptors, and the usual soft limit is 1024. What the hard limit
    // does not give is felt later, when accepting pauses.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let server = Server::bind(config)?;
    let ending = runtime::block_on(async {
        let signals = Signals::of_process()?;
        Ok::<_, std::io::Error>(server.run(signals).await)
    })??;
    Ok(match ending {
        Ending::InOrder => Exit::InOrder,
        Ending::Cut => Exit::Cut,
    })
}

impl Options {
    fn load(&self) -> Result<Loaded, Failure> {
        let there = || Some(PathBuf::from(FILE)).filter(|file| file.exists());
        let file = self.config.clone().or_else(there);
        let overrides = Overrides {
            listen: self.listen.clone(),
            backend: self.backend.clone(),
            environment: environment(),
        };
        Ok(config::load(file.as_deref(), &overrides)?)
    }
}

/// The variables that mean us.
fn environment() -> Vec<(String, String)> {
    let text = |value: std::ffi::OsString| value.into_string().ok();
    let mut found: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .filter(|(name, _)| name.starts_with(PREFIX) && name != "SEAWALL_CONFIG")
        .filter(|(name, _)| !is_service_link(name))
        .collect();
    found.sort();
    found
}

/// Kubernetes and Docker describe a service that is called "seawall" to its neighbours by
/// `SEAWALL_SERVICE_HOST`, `SEAWALL_PORT_8080_TCP` and the like. None of our keys look so.
fn is_service_link(name: &str) -> bool {
    !name.contains("__") && (name.contains("_SERVICE_") || name.contains("_PORT"))
}

impl Failure {
    fn exit(&self) -> Exit {
        match self {
            Self::Mistakes(_) | Self::LogLevel(_) => Exit::Mistakes,
            Self::NotStarted(_) | Self::Demo(_) | Self::System(_) => Exit::Failed,
        }
    }

    /// The message, each line of it marked as ours.
    fn lines(&self) -> String {
        let text = self.to_string();
        text.lines().map(|line| format!("seawall: {line}")).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn variables_of_service_discovery_are_not_ours() {
        assert!(is_service_link("SEAWALL_SERVICE_HOST"));
        assert!(is_service_link("SEAWALL_PORT_8080_TCP_ADDR"));
        assert!(!is_service_link("SEAWALL_BACKEND__MAX_CONCURRENCY"));
        assert!(!is_service_link("SEAWALL_LISTEN"));
    }
}
