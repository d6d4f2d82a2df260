//! Scripts by which shells complete our command line. clap writes them, but for what stands behind `--`: that
//! is a command line of its own, and is completed as such.

use clap::{Arg, Command};
use clap_complete::{Shell, generate};

/// The script for this shell.
pub(super) fn script(shell: Shell, command: &Command) -> String {
    let mut written = Vec::new();
    generate(shell, &mut shown(command), NAME, &mut written);
    let script = String::from_utf8_lossy(&written).into_owned();
    match shell {
        Shell::Bash => script + BASH,
        Shell::Fish => script + FISH,
        Shell::Zsh => script.replacen(ZSH_BEGIN, &format!("{ZSH_BEGIN}{ZSH}"), 1),
        _ => script,
    }
}

/// Without what is not for people, which the generators do not leave out, and without the command behind
/// `--`, which they take for the first word.
fn shown(command: &Command) -> Command {
    Command::new(command.get_name().to_owned())
        .about(command.get_about().cloned().unwrap_or_default())
        .args(command.get_arguments().filter(|one| !one.is_last_set()).map(alone))
        .subcommands(command.get_subcommands().filter(|task| !task.is_hide_set()).map(shown))
}

/// Without what ties it to others, which may not be there.
fn alone(arg: &Arg) -> Arg {
    let mut alone = Arg::new(arg.get_id())
        .action(arg.get_action().clone())
        .help(arg.get_help().cloned().unwrap_or_default())
        .value_hint(arg.get_value_hint())
        .value_parser(arg.get_value_parser().clone());
    if let Some(short) = arg.get_short() {
        alone = alone.short(short);
    }
    if let Some(long) = arg.get_long() {
        alone = alone.long(long.to_owned());
    }
    alone
}

const NAME: &str = "seawall";

/// By the package bash-completion where it is there, which knows most commands.
const BASH: &str = r#"
_seawall_or_command() {
    local at
    for ((at = 1; at < COMP_CWORD; at++)); do
        if [[ ${COMP_WORDS[at]} == -- ]]; then
            if declare -F _comp_command_offset > /dev/null; then
                _comp_command_offset $((at + 1))
            elif declare -F _command_offset > /dev/null; then
                _command_offset $((at + 1))
            elif ((COMP_CWORD == at + 1)); then
                COMPREPLY=($(compgen -c -- "$2"))
            fi
            return 0
        fi
    done
    _seawall "$@"
}
complete -F _seawall_or_command -o bashdefault -o default seawall
"#;

const ZSH_BEGIN: &str = "\n_seawall() {\n";

const ZSH: &str = r"    local dashes=${words[(i)--]}
    if (( dashes < CURRENT )); then
        shift dashes words
        (( CURRENT -= dashes ))
        _normal
        return
    fi
";

const FISH: &str = r"
function __fish_seawall_command
    set -l words (commandline -opc)
    set -l at (contains -i -- -- $words)
    complete -C (string join ' ' -- (string escape -- $words[(math $at + 1)..]) (commandline -ct))
end
complete -c seawall -n 'contains -- -- (commandline -opc)' -xa '(__fish_seawall_command)'
complete -c seawall -n '__fish_seawall_using_subcommand completions' -xa 'bash elvish fish powershell zsh'
";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn what_stands_behind_the_dashes_is_seen_to_in_every_shell_that_we_know_of() {
        let script = |shell| script(shell, &Cli::command());
        assert!(script(Shell::Zsh).contains(ZSH));
        for shell in Shell::value_variants() {
            assert!(!script(*shell).contains("keeper"), "{shell}");
            assert!(FISH.contains(&shell.to_string()), "{shell}");
        }
    }
}
