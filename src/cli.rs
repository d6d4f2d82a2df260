//! The command line, and the exit codes.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    num::NonZeroU16,
    path::PathBuf,
    process::ExitCode,
};

use clap::{
    Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    config::{self, Loaded, Mistakes, Overrides},
    demo,
    observe::diagnostics,
    runtime,
    server::{Ending, NotStarted, Server, Signals},
    supervise::{self, Command, Keeper, NoWay, Plan},
};

/// The file that is read where none is named.
const FILE: &str = "proxy.toml";
/// Variables with this prefix lie over the file.
const PREFIX: &str = "SEAWALL_";

/// Shields fragile HTTP backends: clients may leave, stall, retry and flood; the backend sees only
/// whole requests, at a pace it can bear, and every answer that it starts is read to its end.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, propagate_version = true, override_usage = USAGE, subcommand_help_heading = "Tasks")]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    wrap: Wrap,
    #[command(subcommand)]
    task: Option<Task>,
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

#[derive(Debug, Default, clap::Args)]
struct Wrap {
    /// End when the command ends, with its exit code, instead of starting it again.
    #[arg(long, requires = "words")]
    once: bool,
    /// The command listens on this port of its own; its arguments are left as they are.
    #[arg(long, requires = "words", value_name = "PORT")]
    port_of: Option<NonZeroU16>,
    /// The command to run as the backend. It finds its port in PORT, in place of {port} in its
    /// arguments, or in a flag where it is a server that is known.
    #[arg(last = true, value_name = "COMMAND")]
    words: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serve (the default).
    Run(Wrap),
    /// Print the configuration in force and where each value comes from, or every mistake in it.
    Check(Wrap),
    /// Be rude to a fragile server, without and with seawall before it, and compare.
    Demo {
        /// End after the comparison instead of serving on.
        #[arg(long)]
        once: bool,
    },
    /// Run a command and end all of it when seawall is gone.
    #[command(hide = true)]
    Keeper(Keeper),
}

/// clap would put the command before the task, and call both COMMAND.
const USAGE: &str = "seawall [TASK] [OPTIONS] [-- COMMAND...]";

const EXAMPLES: &str = "\
Examples:
  seawall --listen 127.0.0.1:8080 --backend http://127.0.0.1:5000
  seawall -- flask run
  seawall --config proxy.toml
  SEAWALL_BACKEND__MAX_CONCURRENCY=1 seawall
  seawall check
  seawall demo --once

Exit codes: 0 ended in order, 1 failed, 2 mistakes in configuration or command line,
3 ended, but something was cut; 127 the command behind -- was not found, 126 it cannot be run;
with --once its own, or 128 and the number of the signal that ended it.";

/// Every exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Nothing was left to do.
    InOrder,
    /// A port that is taken, a folder that cannot be written.
    Failed,
    /// The configuration or the command line is wrong. clap uses the same.
    Mistakes,
    /// The drain's bound, or a second signal, cut something.
    Cut,
    /// The child cannot be run; as shells have it.
    NotExecutable,
    /// There is no such command; as shells have it.
    NotFound,
    /// The child's, which was to be run once.
    Child(u8),
}

impl Exit {
    /// As the system is told.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::InOrder => 0,
            Self::Failed => 1,
            Self::Mistakes => 2,
            Self::Cut => 3,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Child(code) => code,
        }
    }
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
    #[error(
        "--backend and a command contradict each other, since the command is the backend; where it \
         insists on a port, give --port-of"
    )]
    TwoBackends,
    #[error(transparent)]
    NoWay(#[from] NoWay),
    #[error(transparent)]
    Child(#[from] supervise::NotStarted),
    #[error("demo: {0}")]
    Demo(#[from] demo::Failed),
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
}

impl Cli {
    /// What the user typed; where that is wrong, the program ends here, with code 2.
    #[must_use]
    pub fn of_command_line() -> Self {
        Self::try_parse().unwrap_or_else(|mut error| {
            // A word where none belongs is most often the command, typed without what goes before it.
            if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg)
                && error.kind() == ErrorKind::UnknownArgument
                && !word.starts_with('-')
                && error.get(ContextKind::Suggested).is_none()
            {
                let tip = "the command to run as the backend goes behind --: seawall -- flask run";
                let tips = ContextValue::StyledStrs(vec![tip.into()]);
                error.insert(ContextKind::Suggested, tips);
            }
            error.exit()
        })
    }

    /// Does what the command line says.
    pub fn run(self) -> ExitCode {
        let (options, wrap) = (self.options, self.wrap);
        let done = match self.task.unwrap_or(Task::Run(Wrap::default())) {
            Task::Run(inner) => inner.or(wrap).serve(&options),
            Task::Check(inner) => inner.or(wrap).load(&options).and_then(|(loaded, command)| {
                write!(io::stdout(), "{}", loaded.explain())?;
                if let Some(command) = command {
                    writeln!(io::stdout(), "# to be run as: {command}")?;
                }
                Ok(Exit::InOrder)
            }),
            Task::Demo { once } => demo::run(once).map(|()| Exit::InOrder).map_err(Failure::from),
            Task::Keeper(keeper) => keeper.run().map(|()| Exit::InOrder).map_err(Failure::from),
        };
        let exit = done.unwrap_or_else(|failure| {
            eprintln!("{}", failure.lines());
            failure.exit()
        });
        ExitCode::from(exit.code())
    }
}

impl Wrap {
    /// What stands behind the subcommand goes before what stands before it.
    fn or(self, outer: Self) -> Self {
        if self.words.is_empty() { outer } else { self }
    }

    /// The configuration, and the command told its port.
    fn load(&self, options: &Options) -> Result<(Loaded, Option<Command>), Failure> {
        if self.words.is_empty() {
            return Ok((options.load(None)?, None));
        }
        if options.backend.is_some() {
            return Err(Failure::TwoBackends);
        }
        let command = Command::new(self.words.clone(), self.port_of)?;
        Ok((options.load(Some(&command))?, Some(command)))
    }

    fn serve(&self, options: &Options) -> Result<Exit, Failure> {
        let (loaded, command) = self.load(options)?;
        let config = &loaded.config;
        diagnostics::start(&config.log)?;
        let (descriptors, _) = rlimit::Resource::NOFILE.get()?;
        // Each exchange takes two descriptors, and the usual soft limit is 1024. What the hard
        // limit does not give is felt later, when accepting pauses.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let mut server = Server::bind(config)?;
        let (grace, once) = (config.child.grace, self.once);
        let plan = command.map(|command| Plan { command, grace, once, descriptors });
        let ending = runtime::block_on(async {
            let signals = Signals::of_process()?;
            if let Some(plan) = plan {
                server.wrap(plan).await?;
            }
            Ok::<_, Failure>(server.run(signals).await)
        })??;
        Ok(match ending {
            Ending::InOrder => Exit::InOrder,
            Ending::Cut => Exit::Cut,
            Ending::OfChild(code) => Exit::Child(code),
        })
    }
}

impl Options {
    fn load(&self, command: Option<&Command>) -> Result<Loaded, Failure> {
        let there = || Some(PathBuf::from(FILE)).filter(|file| file.exists());
        let file = self.config.clone().or_else(there);
        let overrides = Overrides {
            listen: self.listen.clone(),
            backend: self.backend.clone(),
            child: command.map(Command::url),
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
            Self::Mistakes(_)
            | Self::LogLevel(_)
            | Self::TwoBackends
            | Self::NoWay(NoWay::Elsewhere(_)) => Exit::Mistakes,
            Self::Child(supervise::NotStarted::NotFound(_)) => Exit::NotFound,
            Self::Child(supervise::NotStarted::NotExecutable { .. }) => Exit::NotExecutable,
            Self::NotStarted(_)
            | Self::Child(_)
            | Self::NoWay(_)
            | Self::Demo(_)
            | Self::System(_) => Exit::Failed,
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
