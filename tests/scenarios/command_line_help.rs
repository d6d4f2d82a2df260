//! What helps at the command line: help, its colours, the manual page, and the Tab key of a real shell.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::harness::command::{binary, binary_under, run_to_end, run_to_end_as};

#[test]
fn help_has_examples_for_each_task_and_every_exit_code() {
    let all = help(&["--help"]);
    for code in ["0", "1", "2", "3", "126", "127"] {
        assert!(all.contains(&format!("\n  {code:<3}  ")), "{code}: {all}");
    }
    for task in ["run", "check", "demo", "health", "top", "completions", "man"] {
        assert!(all.contains(&format!("\n  {task} ")), "{task}: {all}");
        let own = help(&["help", task]);
        assert!(own.contains(&format!("Examples:\n  seawall {task}")), "{own}");
        assert_eq!(own, help(&[task, "--help"]));
    }
    assert!(!all.contains("keeper"), "{all}");
    // What means nothing to a task is not offered.
    assert!(!help(&["help", "demo"]).contains("--backend"));
}

#[test]
fn help_is_coloured_on_a_terminal_and_nowhere_else() {
    const ESCAPE: char = '\x1b';
    assert!(!help(&["--help"]).contains(ESCAPE));
    let shown = |name: &str, value: &str| {
        let mut command = binary_under("python3", &["-c", TERMINAL, ""]);
        command.env("TERM", "xterm").env_remove("NO_COLOR").env(name, value);
        run_to_end_as(command.arg("--help"), None).out
    };
    let coloured = shown("LC_ALL", "C.UTF-8");
    assert!(coloured.contains("\x1b[32mseawall -- flask run"), "{coloured}");
    assert!(coloured.contains("Exit codes:\x1b"), "{coloured}");
    let plain = shown("NO_COLOR", "1");
    assert!(plain.contains("seawall -- flask run") && !plain.contains(ESCAPE), "{plain}");
}

#[test]
fn the_manual_page_is_set_without_a_complaint() {
    let page = run_to_end(None, |command| command.arg("man"));
    assert_eq!(page.code, Some(0), "{page:?}");
    let mut groff = Command::new("groff");
    groff.args(["-man", "-ww", "-Tascii", "-P-c"]).stdin(Stdio::piped());
    let mut groff = groff.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    groff.stdin.take().unwrap().write_all(page.out.as_bytes()).unwrap();
    let output = groff.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    // Bold is struck twice.
    let mut text = String::new();
    for char in String::from_utf8_lossy(&output.stdout).chars() {
        match char {
            '\x08' => drop(text.pop()),
            char => text.push(char),
        }
    }
    for title in [
        "NAME",
        "SYNOPSIS",
        "TASKS",
        "OPTIONS",
        "EXAMPLES",
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
        "SIGNALS",
    ] {
        assert!(text.contains(&format!("\n{title}\n")), "{title}: {text}");
    }
    for told in ["--config", "--once", "End after the comparison", "127", "SIGHUP"] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[test]
fn a_shell_completes_tasks_options_files_and_the_command_behind_the_dashes() {
    let script = run_to_end(None, |command| command.args(["completions", "bash"]));
    assert_eq!(script.code, Some(0), "{script:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("completions"), script.out).unwrap();
    std::fs::write(file("a-file.toml"), "").unwrap();
    std::fs::write(file("rc"), "source ./completions\nPS1='READY> '\na_command_of_ours() { :; }\n")
        .unwrap();
    for (typed, expected) in [
        ("seawall che\\t", "seawall check"),
        ("seawall completions po\\t", "seawall completions powershell"),
        ("seawall check --ba\\t", "seawall check --backend"),
        ("seawall --config ./a-f\\t", "seawall --config ./a-file.toml"),
        ("seawall -- a_command_o\\t", "seawall -- a_command_of_ours"),
        ("seawall run -- cat ./a-f\\t", "seawall run -- cat ./a-file.toml"),
        // Not for people.
        ("seawall kee\\t", "seawall kee"),
    ] {
        // To the begin of the line, and what stands there is told instead of done.
        let keys = format!("{typed}\\x01echo told: \\nexit\\n");
        let shell = ["bash", "--noprofile", "--rcfile", "rc", "-i"];
        let mut terminal = Command::new("python3");
        terminal.args(["-c", TERMINAL, &keys]).args(shell).current_dir(folder.path());
        let output = terminal.env("TERM", "dumb").output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = shown.lines().rfind(|line| line.trim_start().starts_with("told: "));
        let told = told.unwrap_or_else(|| panic!("{typed}: {shown}"));
        assert_eq!(told.trim(), format!("told: {expected}"), "{typed}: {shown}");
    }
}

#[test]
fn who_reads_no_further_than_the_first_line_hears_no_complaint() {
    for task in [&["man"][..], &["completions", "bash"]] {
        let mut child =
            binary().args(task).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn a_file_that_is_named_goes_before_the_one_in_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, port: u16| {
        let path = folder.path().join(name).display().to_string();
        std::fs::write(&path, format!("backend = \"http://127.0.0.1:{port}\"")).unwrap();
        path
    };
    let (named, other) = (file("named.toml", 5001), file("other.toml", 5002));
    for (arguments, port) in [
        (&["check"][..], ":5002"),
        (&["check", "--config", &named], ":5001"),
        (&["--config", &named, "check"], ":5001"),
    ] {
        let said =
            run_to_end(None, |command| command.args(arguments).env("SEAWALL_CONFIG", &other));
        assert!(said.out.contains(port), "{arguments:?}: {said:?}");
    }
}

fn help(arguments: &[&str]) -> String {
    let said = run_to_end(None, |command| command.args(arguments));
    assert_eq!(said.code, Some(0), "{said:?}");
    said.out
}

/// Runs a command on a terminal, on which these keys are pressed once it is ready, and tells what is
/// shown there.
const TERMINAL: &str = "
import os, pty, sys

keys = sys.argv[1].encode().decode('unicode_escape').encode()
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown = b''
try:
    while new := os.read(terminal, 65536):
        shown += new
        if keys and b'READY> ' in shown:
            os.write(terminal, keys)
            keys = b''
except OSError:
    pass
os.write(1, shown)
";
