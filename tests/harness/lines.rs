//! An output stream of the process, line by line.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Release},
};
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
    read: Mutex<Vec<Value>>,
    over: AtomicBool,
    changed: Condvar,
}

impl Lines {
    pub(super) fn of(stream: impl Read + Send + 'static) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let filled = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = serde_json::from_slice(&line)
                    .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&line).into_owned()));
                filled.read.lock().unwrap().push(line);
                filled.changed.notify_all();
            }
            filled.over.store(true, Release);
        });
        lines
    }

    /// Waits until all has been read. Not for long: who writes may have left it to another process.
    pub(super) fn wait_over(&self) {
        let start = Instant::now();
        while !self.over.load(Acquire) && start.elapsed() < LEFT {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Those that match, as soon as they are so many, and fewer at the deadline.
    pub(super) fn wait(&self, count: usize, matches: impl Fn(&Value) -> bool) -> Vec<Value> {
        let start = Instant::now();
        let mut lines = self.read.lock().unwrap();
        loop {
            let found: Vec<Value> = lines.iter().filter(|line| matches(line)).cloned().collect();
            if found.len() >= count || start.elapsed() > DEADLINE {
                return found;
            }
            lines = self.changed.wait_timeout(lines, Duration::from_millis(100)).unwrap().0;
        }
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        self.read.lock().unwrap().clone()
    }

    pub(super) fn all(&self) -> String {
        let mut all = String::new();
        for line in &*self.read.lock().unwrap() {
            let _ = writeln!(all, "  {line}");
        }
        all
    }
}
