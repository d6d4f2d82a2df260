//! A process and all that come from it, however they hide: each has inherited a mark in its
//! environment.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) struct Family(String);

impl Family {
    /// A mark that nobody has yet.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(format!("{}-{count}", std::process::id()))
    }

    pub(crate) fn mark<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(MARK, &self.0)
    }

    /// Those who live, with their command lines.
    pub(crate) fn members(&self) -> Vec<(u32, String)> {
        let mark = format!("{MARK}={}", self.0).into_bytes();
        let entries = fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let marked = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark)
        };
        pids.filter(marked)
            .filter_map(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                Some((pid, line.trim_end().to_owned()))
            })
            .collect()
    }

    /// The one member whose command line begins so.
    #[track_caller]
    pub(crate) fn member(&self, begin: &str) -> u32 {
        let members = self.members();
        let found = members.iter().find(|(_, line)| line.starts_with(begin));
        found.unwrap_or_else(|| panic!("no {begin} among {members:?}")).0
    }

    /// Waits until nobody is left.
    #[track_caller]
    pub(crate) fn wait_gone(&self, patience: Duration) {
        let start = Instant::now();
        loop {
            let members = self.members();
            if members.is_empty() {
                return;
            }
            assert!(start.elapsed() < patience, "still there: {members:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Family {
    /// Whatever became of the scene, nobody stays.
    fn drop(&mut self) {
        for (pid, _) in self.members() {
            kill(pid, "KILL");
        }
    }
}

pub(crate) fn kill(pid: u32, signal: &str) {
    let _ = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
}

const MARK: &str = "SCENE_OF";
