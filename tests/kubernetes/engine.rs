//! podman, asked by its command line.

use std::process::{Command, Stdio};

/// The test is to return. Where CI says so, that is an error.
pub(crate) fn skip(why: &str) {
    let required = std::env::var_os("TEST_ENGINE").is_some_and(|word| word == "required");
    assert!(!required, "{why}");
    eprintln!("skipped: {why}");
}

/// Can pods be run here? Where not, this says so, and the test is to return.
pub(crate) fn is_there() -> bool {
    if !rustix::process::geteuid().is_root() {
        skip("pods are run by root");
        return false;
    }
    for image in ["seawall", "seawall-app", "redis:7-alpine"] {
        let exists = command().args(["image", "exists", image]).output();
        if !exists.is_ok_and(|exists| exists.status.success()) {
            skip("there is no podman with the images of tests/kubernetes/setup");
            return false;
        }
    }
    true
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes/podman"));
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end, in order, and gives what it has said on standard output.
#[track_caller]
pub(crate) fn podman<const N: usize>(arguments: [&str; N]) -> String {
    let output = command().args(arguments).output().unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{said}{complained}", output.status);
    said.trim_end().to_owned()
}
