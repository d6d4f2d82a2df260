//! The Docker engine, asked by its command line.

use std::process::{Command, Stdio};

/// Does one answer? Where not, this says so, and the test is to return.
pub(crate) fn is_there() -> bool {
    let mut version = Command::new("docker");
    version.args(["version", "--format", "{{.Server.Version}}"]);
    if version.output().is_ok_and(|answer| answer.status.success()) {
        return true;
    }
    skip("no Docker engine answers");
    false
}

/// The test is to return. Where CI says so, that is an error.
pub(crate) fn skip(why: &str) {
    let required = std::env::var_os("TEST_ENGINE").is_some_and(|word| word == "required");
    assert!(!required, "{why}");
    eprintln!("skipped: {why}");
}

pub(crate) fn docker<const N: usize>(arguments: [&str; N]) -> String {
    said(Command::new("docker").args(arguments))
}

/// The command that understands compose files: Docker's own, or Debian's.
pub(crate) fn compose() -> Command {
    let mut plugin = Command::new("docker");
    plugin.args(["compose", "version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if plugin.status().is_ok_and(|status| status.success()) {
        let mut command = Command::new("docker");
        command.arg("compose");
        return command;
    }
    Command::new("docker-compose")
}

/// Runs it to its end, in order, and gives what it has said on standard output.
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command is there");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
}
