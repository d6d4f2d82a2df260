//! What help says beyond options, and how it looks. clap leaves colours out where the output is no
//! terminal, or `NO_COLOR` is set.

use std::fmt::Write as _;

use clap::builder::{
    StyledStr, Styles,
    styling::{AnsiColor, Style},
};

use super::exit::Exit;

/// A command line that works as it stands, and what comes of it.
pub(super) type Example = (&'static str, &'static str);

pub(super) const STYLES: Styles = Styles::styled()
    .header(HEADER)
    .usage(HEADER)
    .literal(LITERAL)
    .placeholder(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default().bold())
    .valid(LITERAL)
    .invalid(AnsiColor::Yellow.on_default());

const HEADER: Style = AnsiColor::Yellow.on_default().bold();
const LITERAL: Style = AnsiColor::Green.on_default();

pub(super) const EXAMPLES: &[Example] = &[
    (
        "seawall --listen 127.0.0.1:8080 --backend http://127.0.0.1:5000",
        "before a server that runs",
    ),
    ("seawall -- flask run", "around one that it starts"),
    ("seawall --config proxy.toml", "as the file says"),
    ("SEAWALL_BACKEND__MAX_CONCURRENCY=1 seawall", "each key is a variable, too"),
    ("seawall check", "what is in force, and why"),
    ("seawall demo --once", "see what it is good for"),
    ("seawall top", "watch one that runs"),
];

pub(super) const OF_RUN: &[Example] = &[
    ("seawall run", "as ./proxy.toml says"),
    ("seawall run -- flask run", "around a server that it starts"),
    ("seawall run --port-of 3000 -- node server.js", "around one that insists on its port"),
    ("seawall run --once -- ./tests.sh", "ends with it, and with its exit code"),
];

pub(super) const OF_CHECK: &[Example] = &[
    ("seawall check", "of ./proxy.toml and the environment"),
    ("seawall check --config proxy.toml", "of a file"),
    ("seawall check --quiet", "for scripts: mistakes alone, and the exit code"),
    ("seawall check -- flask run", "and how the command will be run"),
];

pub(super) const OF_DEMO: &[Example] = &[
    ("seawall demo", "compare, and stay to be tried"),
    ("seawall demo --once", "compare, and end"),
];

pub(super) const OF_HEALTH: &[Example] = &[
    ("seawall health", "is the process there?"),
    ("seawall health --ready", "and can its backends be reached?"),
    ("seawall health --admin http://127.0.0.1:9099", "whatever the configuration says"),
];

pub(super) const OF_DRAIN: &[Example] = &[
    ("seawall drain", "the one that the configuration means"),
    ("seawall drain --admin http://127.0.0.1:9099", "whatever the configuration says"),
];

pub(super) const OF_TOP: &[Example] = &[
    ("seawall top", "q ends it"),
    ("seawall top --once", "one look, as text"),
    ("seawall top --admin http://10.0.0.7:9099 --token s3cret", "at another machine"),
];

pub(super) const OF_COMPLETIONS: &[Example] = &[
    ("seawall completions bash > /etc/bash_completion.d/seawall", ""),
    ("seawall completions zsh > \"${fpath[1]}/_seawall\"", ""),
    ("seawall completions fish > ~/.config/fish/completions/seawall.fish", ""),
];

pub(super) const OF_MAN: &[Example] = &[
    ("seawall man | man -l -", "read it"),
    ("seawall man > /usr/local/share/man/man1/seawall.1", "have it found by man seawall"),
];

/// The examples, one below the other.
pub(super) fn examples(examples: &[Example]) -> StyledStr {
    let mut text = heading("Examples:");
    let width = examples.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, what) in examples {
        let gap = if what.is_empty() { 0 } else { width - command.len() + 2 };
        let _ = write!(text, "\n  {LITERAL}{command}{LITERAL:#}{:gap$}{what}", "");
    }
    text.into()
}

/// The examples, and every exit code.
pub(super) fn examples_and_codes() -> StyledStr {
    let mut text = examples(EXAMPLES).ansi().to_string();
    let _ = write!(text, "\n\n{}", heading("Exit codes:"));
    for exit in Exit::OURS {
        let _ = write!(text, "\n  {LITERAL}{:<3}{LITERAL:#}  {}", exit.code(), exit.meaning());
    }
    let _ = write!(text, "\n  with --once, {}", Exit::Child(0).meaning());
    text.into()
}

fn heading(text: &str) -> String {
    format!("{HEADER}{text}{HEADER:#}")
}

#[cfg(test)]
mod tests {
    use clap::{Parser as _, error::ErrorKind};

    use super::*;
    use crate::cli::Cli;

    /// As a shell would, as far as needed.
    fn parse(line: &str) {
        let command = line.split([';', '|', '>', '#']).next().unwrap_or_default();
        let mut words = command.split_whitespace().peekable();
        while words.next_if(|word| word.contains('=') && !word.starts_with('-')).is_some() {}
        let words: Vec<&str> = words.collect();
        assert_eq!(words.first(), Some(&"seawall"), "{line}");
        match Cli::try_parse_from(&words) {
            Err(error) if error.kind() != ErrorKind::DisplayHelp => panic!("{line}: {error}"),
            _ => {}
        }
    }

    #[test]
    fn every_example_is_a_command_line() {
        for examples in [
            EXAMPLES,
            OF_RUN,
            OF_CHECK,
            OF_DEMO,
            OF_HEALTH,
            OF_DRAIN,
            OF_TOP,
            OF_COMPLETIONS,
            OF_MAN,
        ] {
            for (command, _) in examples {
                parse(command);
            }
        }
    }

    /// They only name us.
    fn of_others(line: &str) -> bool {
        let word = line.split(' ').next();
        word.is_some_and(|word| {
            ["cargo", "docker", "helm", "install", "kubectl", "systemctl"].contains(&word)
        })
    }

    #[test]
    fn every_command_line_in_the_readme_is_one() {
        let readme = include_str!("../../README.md");
        let mut found = 0;
        let (mut is_code, mut is_shell) = (false, false);
        for line in readme.lines() {
            if let Some(language) = line.strip_prefix("```") {
                is_code = !is_code;
                is_shell = is_code && language == "sh";
            } else if is_shell && line.contains("seawall ") && !of_others(line) {
                parse(line);
                found += 1;
            } else if let Some(command) = line.strip_prefix("ExecStart=/usr/local/bin/") {
                parse(command);
                found += 1;
            } else if !is_code {
                let spans = line.split('`').skip(1).step_by(2);
                for span in spans.filter(|span| span.starts_with("seawall ")) {
                    parse(span);
                    found += 1;
                }
            }
        }
        assert!(found >= 8, "{found}");
    }
}
