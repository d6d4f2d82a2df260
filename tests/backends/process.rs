//! A child process that never outlives its test.

use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::Duration;

use crate::output::PATIENCE;

pub(crate) struct Process(Child);

impl Process {
    /// The command is taken and dropped: it holds the writing ends of pipes, and their readers wait
    /// for an end.
    pub(crate) fn start(mut command: Command) -> Self {
        match command.spawn() {
            Ok(child) => Self(child),
            Err(error) => panic!("{command:?} could not be started: {error}"),
        }
    }

    /// Ends the process in order, by SIGTERM.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.terminate().expect("SIGTERM ends the process")
    }

    /// `None` when the process is still there after [`PATIENCE`].
    fn terminate(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(status)) = self.0.try_wait() {
            return Some(status);
        }
        let kill = format!("kill -TERM {}", self.0.id());
        Command::new("sh").args(["-c", &kill]).status().ok()?;
        for _ in 0..PATIENCE.as_millis() / POLL.as_millis() {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status);
            }
            thread::sleep(POLL);
        }
        None
    }
}

impl Drop for Process {
    /// SIGTERM first here too: the masters of gunicorn and uWSGI take their workers along.
    fn drop(&mut self) {
        if self.terminate().is_none() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

const POLL: Duration = Duration::from_millis(10);
