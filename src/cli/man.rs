//! The manual page: one for all tasks.

use std::io;

use clap::{ArgAction, Command};
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};

use super::{
    exit::Exit,
    help::{EXAMPLES, Example, OF_CHECK, OF_COMPLETIONS, OF_MAN, OF_RUN},
};

/// Writes the page, as `man` reads it.
pub(super) fn write(mut command: Command, to: &mut dyn io::Write) -> io::Result<()> {
    command.build();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    command = command.about(env!("CARGO_PKG_DESCRIPTION")).long_about(about + ".");
    // The date is left empty: the version tells as much.
    let man = Man::new(command.clone()).date("\"\"").manual("User Commands").title("SEAWALL");
    man.render_title(to)?;
    man.render_name_section(to)?;
    man.render_synopsis_section(to)?;
    man.render_description_section(to)?;
    tasks(&command).to_writer(to)?;
    man.render_options_section(to)?;
    rest().to_writer(to)
}

fn tasks(command: &Command) -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["TASKS"]);
    for task in command.get_subcommands().filter(|task| !task.is_hide_set()) {
        let about = task.get_about().map(ToString::to_string).unwrap_or_default();
        entry(&mut page, vec![bold(task.get_name())], &about);
        let own = task.get_arguments().filter(|own| {
            let is_of_all = command.get_arguments().any(|one| one.get_help() == own.get_help());
            let is_of_clap = matches!(own.get_action(), ArgAction::Help | ArgAction::HelpLong);
            !is_of_all && !is_of_clap && !own.is_hide_set() && own.get_help().is_some()
        });
        for own in own {
            let name = own.get_long().map_or_else(
                || italic(own.get_id().as_str().to_uppercase()),
                |long| bold(format!("--{long}")),
            );
            let help = own.get_help().map(ToString::to_string).unwrap_or_default();
            page.control("RS", []);
            entry(&mut page, vec![name], &help);
            page.control("RE", []);
        }
    }
    page
}

fn rest() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["EXAMPLES"]);
    let all = [EXAMPLES, OF_RUN, OF_CHECK, OF_COMPLETIONS, OF_MAN].concat();
    for (at, (command, what)) in all.iter().enumerate() {
        // Some are shown in help more than once.
        let is_new = |(other, _): &Example| other != command;
        if all[..at].iter().all(is_new) {
            entry(&mut page, vec![bold(*command)], what);
        }
    }
    page.control("SH", ["EXIT STATUS"]);
    for exit in Exit::OURS {
        entry(&mut page, vec![bold(exit.code().to_string())], exit.meaning());
    }
    page.control("PP", []);
    page.text([roman("With "), bold("--once"), roman(format!(", {}.", Exit::Child(0).meaning()))]);
    for (title, entries) in [("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES), ("SIGNALS", SIGNALS)] {
        page.control("SH", [title]);
        for (name, what) in entries {
            entry(&mut page, vec![bold(*name)], what);
        }
    }
    page
}

fn entry(page: &mut Roff, name: Vec<Inline>, text: &str) {
    page.control("TP", []);
    page.text(name);
    page.text([roman(text)]);
}

const ENVIRONMENT: &[(&str, &str)] = &[
    ("SEAWALL_CONFIG", "The configuration file, where --config names none."),
    (
        "SEAWALL_TABLE__KEY",
        "The value of a key, over the file: SEAWALL_BACKEND__MAX_CONCURRENCY=1 is max_concurrency = 1 in \
         [[backend]].",
    ),
    ("NO_COLOR", "Where it is set, nothing is coloured."),
];

const FILES: &[(&str, &str)] = &[(
    "proxy.toml",
    "The configuration, where none is named and one is in the current folder. The one that comes with seawall \
     holds every key, with its default and the reason for it.",
)];

const SIGNALS: &[(&str, &str)] = &[
    (
        "SIGTERM, SIGINT",
        "Drain: the port is closed, and what runs goes on to its end, up to drain.timeout. A second one ends at \
         once.",
    ),
    (
        "SIGHUP",
        "The file of the access log is opened anew. Where the terminal has closed, the same as SIGTERM.",
    ),
];
