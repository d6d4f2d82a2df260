//! An output stream of the process, line by line.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::DEADLINE;

/// A stream of JSON lines, read as it comes.
#[derive(Default)]
pub(super) struct Lines {
    lines: Mutex<Vec<Value>>,
    changed: Condvar,
}

impl Lines {
    pub(super) fn of(stream: impl Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let filled = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { return };
                let line = serde_json::from_slice(&line)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&line).into_owned()));
                filled.lines.lock().unwrap().push(line);
                filled.changed.notify_all();
            }
        });
        lines
    }

    /// Those that match, as soon as they are so many, and fewer at the deadline.
    pub(super) fn wait(&self, count: usize, matches: impl Fn(&Value) -> bool) -> Vec<Value> {
        let start = Instant::now();
        let mut lines = self.lines.lock().unwrap();
        loop {
            let found: Vec<Value> = lines.iter().filter(|line| matches(line)).cloned().collect();
            if found.len() >= count || start.elapsed() > DEADLINE {
                return found;
            }
            lines = self.changed.wait_timeout(lines, Duration::from_millis(100)).unwrap().0;
        }
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    pub(super) fn all(&self) -> String {
        let mut all = String::new();
        for line in &*self.lines.lock().unwrap() {
            let _ = writeln!(all, "  {line}");
        }
        all
    }
}
