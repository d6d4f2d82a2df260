//! The command line, and the exit codes.

mod completions;
mod exit;
mod help;
mod man;
mod operate;

use std::{
    ffi::OsString,
    fmt::Write as _,
    io::{self, Write as _},
    num::NonZeroU16,
    path::PathBuf,
    process::ExitCode,
};

use clap::{
    CommandFactory as _, Parser, Subcommand, ValueHint,
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::Shell;

pub use self::exit::Exit;
use crate::{
    config::{Mistakes, Overrides, Source},
    demo,
    observe::diagnostics::{self, NoLevel},
    operator::{
        drain::Drain,
        health::{Health, Unwell},
        top::{Dark, Top},
    },
    reload::Reloads,
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
#[command(
    version,
    styles = help::STYLES,
    after_help = help::examples_and_codes(),
    override_usage = USAGE,
    subcommand_help_heading = "Tasks",
    subcommand_value_name = "TASK",
)]
pub struct Cli {
    #[command(flatten)]
    serving: Serving,
    #[command(subcommand)]
    task: Option<Task>,
}

/// What may stand before the task as well as behind it.
#[derive(Debug, Default, clap::Args)]
struct Serving {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    wrap: Wrap,
}

#[derive(Debug, Default, clap::Args)]
struct Options {
    #[arg(
        long,
        short,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        help = "The configuration file [default: ./proxy.toml, if there is one] [env: SEAWALL_CONFIG]"
    )]
    config: Option<PathBuf>,
    /// Where clients connect; over the file.
    #[arg(long, short, value_name = "HOST:PORT", value_hint = ValueHint::Other)]
    listen: Option<String>,
    /// The server to shield; over the file.
    #[arg(long, short, value_name = "URL", value_hint = ValueHint::Url)]
    backend: Option<String>,
}

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Around a command")]
struct Wrap {
    /// The command to run as the backend. It finds its port in PORT, in place of {port} in its
    /// arguments, or in a flag where it is a server that is known.
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    words: Vec<OsString>,
    /// End when the command ends, with its exit code, instead of starting it again.
    #[arg(long, requires = "words")]
    once: bool,
    /// The command listens on this port of its own; its arguments are left as they are.
    #[arg(long, requires = "words", value_name = "PORT")]
    port_of: Option<NonZeroU16>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serve (the default).
    #[command(after_help = help::examples(help::OF_RUN))]
    Run(Serving),
    /// Print the configuration in force and where each value comes from, or every mistake in it.
    #[command(after_help = help::examples(help::OF_CHECK))]
    Check {
        #[command(flatten)]
        serving: Serving,
        /// Print mistakes alone.
        #[arg(long, short)]
        quiet: bool,
    },
    /// Be rude to a fragile server, without and with seawall before it, and compare.
    #[command(after_help = help::examples(help::OF_DEMO))]
    Demo {
        /// End after the comparison instead of serving on.
        #[arg(long)]
        once: bool,
    },
    /// Ask a seawall that runs whether all is well: one line, and exit code 0 or 1.
    #[command(after_help = help::examples(help::OF_HEALTH))]
    Health(Health),
    /// Tell a seawall that runs to drain and end, as SIGTERM does.
    #[command(after_help = help::examples(help::OF_DRAIN))]
    Drain(Drain),
    /// Watch a seawall that runs.
    #[command(after_help = help::examples(help::OF_TOP))]
    Top(Top),
    /// Print a script by which a shell completes this command line.
    #[command(after_help = help::examples(help::OF_COMPLETIONS))]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page.
    #[command(after_help = help::examples(help::OF_MAN))]
    Man,
    /// Run a command and end all of it when seawall is gone.
    #[command(hide = true)]
    Keeper(Keeper),
}

/// clap would put the command before the task, and call both COMMAND.
const USAGE: &str = "seawall [TASK] [OPTIONS] [-- COMMAND...]";

/// What ends the program before its time; one line for the user each.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    #[error(transparent)]
    LogLevel(#[from] NoLevel),
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
    #[error(transparent)]
    Unwell(#[from] Unwell),
    #[error("top: {0}")]
    Dark(#[from] Dark),
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
        let outer = self.serving;
        let done = match self.task.unwrap_or(Task::Run(Serving::default())) {
            Task::Run(inner) => inner.or(outer).serve(),
            Task::Check { serving, quiet } => {
                serving.or(outer).source().and_then(|(source, command)| {
                    let mut text = source.load()?.explain();
                    if quiet {
                        return Ok(Exit::InOrder);
                    }
                    if let Some(command) = command {
                        let _ = writeln!(text, "# to be run as: {command}");
                    }
                    print(text.as_bytes())
                })
            }
            Task::Demo { once } => demo::run(once).map(|()| Exit::InOrder).map_err(Failure::from),
            Task::Health(health) => operate::health(&health, &outer.options),
            Task::Drain(drain) => operate::drain(&drain, &outer.options),
            Task::Top(top) => operate::top(&top, &outer.options),
            Task::Completions { shell } => {
                print(completions::script(shell, &Self::command()).as_bytes())
            }
            Task::Man => {
                let mut page = Vec::new();
                man::write(Self::command(), &mut page)
                    .map_err(Failure::from)
                    .and_then(|()| print(&page))
            }
            Task::Keeper(keeper) => keeper.run().map(|()| Exit::InOrder).map_err(Failure::from),
        };
        let exit = done.unwrap_or_else(|failure| {
            eprintln!("{}", failure.lines());
            failure.exit()
        });
        ExitCode::from(exit.code())
    }
}

impl Serving {
    /// What stands behind the task goes before what stands before it.
    fn or(self, outer: Self) -> Self {
        let options = Options {
            config: self.options.config.or(outer.options.config),
            listen: self.options.listen.or(outer.options.listen),
            backend: self.options.backend.or(outer.options.backend),
        };
        let wrap = if self.wrap.words.is_empty() { outer.wrap } else { self.wrap };
        Self { options, wrap }
    }

    /// Where the configuration comes from, and the command told its port.
    fn source(&self) -> Result<(Source, Option<Command>), Failure> {
        let Self { options, wrap } = self;
        if wrap.words.is_empty() {
            return Ok((options.source(None), None));
        }
        if options.backend.is_some() {
            return Err(Failure::TwoBackends);
        }
        let command = Command::new(wrap.words.clone(), wrap.port_of)?;
        Ok((options.source(Some(&command)), Some(command)))
    }

    fn serve(&self) -> Result<Exit, Failure> {
        let (source, command) = self.source()?;
        let loaded = source.load()?;
        let config = &loaded.config;
        diagnostics::start(&config.log)?;
        let (descriptors, _) = rlimit::Resource::NOFILE.get()?;
        // Each exchange takes two descriptors, and the usual soft limit is 1024. What the hard
        // limit does not give is felt later, when accepting pauses.
        let _ = rlimit::increase_nofile_limit(u64::MAX);
        let mut server = Server::bind(config)?;
        let (grace, once) = (config.child.grace, self.wrap.once);
        let plan = command.map(|command| Plan { command, grace, once, descriptors });
        let ending = runtime::block_on(async {
            let signals = Signals::of_process()?;
            let reloads = Reloads::new(source, loaded, signals.hangups());
            if let Some(plan) = plan {
                server.wrap(plan).await?;
            }
            Ok::<_, Failure>(server.run(signals, reloads).await)
        })??;
        Ok(match ending {
            Ending::InOrder => Exit::InOrder,
            Ending::Cut => Exit::Cut,
            Ending::OfChild(code) => Exit::Child(code),
        })
    }
}

impl Options {
    fn source(&self, command: Option<&Command>) -> Source {
        let there = || Some(PathBuf::from(FILE)).filter(|file| file.exists());
        let named = || std::env::var_os("SEAWALL_CONFIG").filter(|file| !file.is_empty());
        let file = self.config.clone().or_else(|| named().map(PathBuf::from)).or_else(there);
        let overrides = Overrides {
            listen: self.listen.clone(),
            backend: self.backend.clone(),
            child: command.map(Command::url),
            environment: environment(|name| {
                name.starts_with(PREFIX) && name != "SEAWALL_CONFIG" && !is_service_link(name)
            }),
            otel: environment(|name| name.starts_with("OTEL_")),
        };
        Source { file, overrides }
    }
}

/// Whoever reads no further has what he wanted.
fn print(text: &[u8]) -> Result<Exit, Failure> {
    match io::stdout().write_all(text).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::InOrder),
    }
}

/// The variables that mean us.
fn environment(means_us: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let text = |value: std::ffi::OsString| value.into_string().ok();
    let mut found: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .filter(|(name, _)| means_us(name))
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
            | Self::Unwell(_)
            | Self::Dark(_)
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
