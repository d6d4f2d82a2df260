//! A container, and what it writes.

use std::process::{Child, Command, Stdio};

use crate::{
    engine::{docker, said},
    output::Output,
};

/// It goes with this, whatever it is doing.
#[derive(Debug)]
pub(crate) struct Container(pub(crate) String);

impl Container {
    /// In the background.
    pub(crate) fn run<const N: usize>(arguments: [&str; N]) -> Self {
        Self(said(Command::new("docker").args(["run", "--detach"]).args(arguments)))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // With its anonymous volumes. What is left over is no reason to fail.
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", &self.0]).output();
    }
}

/// What is known of it, or of an image.
pub(crate) fn known(name: &str, template: &str) -> String {
    docker(["inspect", "--format", template, name])
}

/// Everything that a container writes, from its first line, or whatever else a command tells as it happens.
pub(crate) struct Log {
    pub(crate) output: Output,
    follower: Child,
}

impl Log {
    pub(crate) fn of(container: &str) -> Self {
        Self::follow(Command::new("docker").args(["logs", "--follow", container]))
    }

    pub(crate) fn follow(command: &mut Command) -> Self {
        let (output, writer) = Output::pipe();
        let both = writer.try_clone().expect("another handle of the pipe");
        let follower = command.stdin(Stdio::null()).stdout(writer).stderr(both).spawn();
        Self { output, follower: follower.expect("docker is there") }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.follower.kill();
        let _ = self.follower.wait();
    }
}
