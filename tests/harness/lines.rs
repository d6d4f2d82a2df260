//! An output stream of the process, line by line.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::DEADLINE;

/// For what a process has written before its end.
const LEFT: Duration = Duration::from_secs(1);

/// A stream of JSON lines, read as it comes.
#[derive(Default)]
pub(super) struct Lines {
    read: Mutex<Read>,
    changed: Condvar,
}

#[derive(Default)]
struct Read {
    lines: Vec<Value>,
    /// That was all.
    over: bool,
}

impl Lines {
    pub(super) fn of(stream: impl io::Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let filled = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = serde_json::from_slice(&line)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&line).into_owned()));
                filled.read.lock().unwrap().lines.push(line);
                filled.changed.notify_all();
            }
            filled.read.lock().unwrap().over = true;
            filled.changed.notify_all();
        });
        lines
    }

    /// Waits until all has been read. Not for long: who writes may have left it to another process.
    pub(super) fn wait_over(&self) {
        let read = self.read.lock().unwrap();
        drop(self.changed.wait_timeout_while(read, LEFT, |read| !read.over).unwrap());
    }

    /// Those that match, as soon as they are so many, and fewer at the deadline.
    pub(super) fn wait(&self, count: usize, matches: impl Fn(&Value) -> bool) -> Vec<Value> {
        let start = Instant::now();
        let mut read = self.read.lock().unwrap();
        loop {
            let found: Vec<Value> =
                read.lines.iter().filter(|line| matches(line)).cloned().collect();
            if found.len() >= count || start.elapsed() > DEADLINE {
                return found;
            }
            read = self.changed.wait_timeout(read, Duration::from_millis(100)).unwrap().0;
        }
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        self.read.lock().unwrap().lines.clone()
    }

    pub(super) fn all(&self) -> String {
        let mut all = String::new();
        for line in &self.read.lock().unwrap().lines {
            let _ = writeln!(all, "  {line}");
        }
        all
    }
}
