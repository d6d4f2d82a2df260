//! The binary as a command: its environment, and runs that end by themselves.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::DEADLINE;

/// The command without arguments, and without what the caller's environment would change.
pub(crate) fn binary() -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_seawall")))
}

/// The same, started by another program that ends in `exec "$@"`.
pub(crate) fn binary_under(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(env!("CARGO_BIN_EXE_seawall"));
    clean(command)
}

fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if ["SEAWALL_", "OTEL_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    // Where a scene wants the admin pages, it says so.
    command.env("SEAWALL_ADMIN__LISTEN", "off");
    command
}

/// What a command that ends by itself has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Both streams: for what must be said, wherever.
    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }
}

/// Runs a command to its end, in an empty folder with this `proxy.toml`.
pub(crate) fn run_to_end(
    toml: Option<&str>,
    prepare: impl FnOnce(&mut Command) -> &mut Command,
) -> Said {
    let mut command = binary();
    prepare(&mut command);
    run_to_end_as(&mut command, toml)
}

/// The same of a prepared command.
pub(crate) fn run_to_end_as(command: &mut Command, toml: Option<&str>) -> Said {
    let folder = tempfile::tempdir().unwrap();
    if let Some(toml) = toml {
        fs::write(folder.path().join("proxy.toml"), toml).unwrap();
    }
    run(command.current_dir(folder.path()), folder.path())
}

fn run(command: &mut Command, folder: &Path) -> Said {
    let out_path = folder.join(".out");
    let err_path = folder.join(".err");
    command
        .stdout(fs::File::create(&out_path).unwrap())
        .stderr(fs::File::create(&err_path).unwrap());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    let status: Option<ExitStatus> = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if start.elapsed() > DEADLINE => break None,
            None => thread::sleep(Duration::from_millis(2)),
        }
    };
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let said = Said {
        code: status.and_then(|status| status.code()),
        out: read(&out_path),
        err: read(&err_path),
    };
    assert!(status.is_some(), "does not end; it said {said:?}");
    said
}
