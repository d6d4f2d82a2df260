//! What a process writes: kept from its first byte, and waited for.

use std::io::{PipeWriter, Read, pipe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime};

/// Everything written so far into one pipe, read by a thread of its own so that no writer ever
/// blocks.
#[derive(Clone)]
pub(crate) struct Output(Arc<Shared>);

impl Output {
    /// An empty output, and the end of the pipe to hand to a process.
    pub(crate) fn pipe() -> (Self, PipeWriter) {
        let (mut reader, writer) = pipe().expect("a pipe");
        let shared = Arc::new(Shared::default());
        let output = Self(Arc::clone(&shared));
        thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..length]);
                shared.written().push(&text);
                shared.grown.notify_all();
            }
            shared.written().over = true;
            shared.grown.notify_all();
        });
        (output, writer)
    }

    /// How much has been written so far: where to look from for what comes after.
    pub(crate) fn length(&self) -> usize {
        self.0.written().text.len()
    }

    pub(crate) fn text(&self) -> String {
        self.0.written().text.clone()
    }

    /// The same, each piece behind the time at which it came.
    pub(crate) fn timed(&self) -> String {
        let written = self.0.written();
        let ends = written.came.iter().skip(1).map(|(begin, _)| *begin);
        let ends = ends.chain([written.text.len()]);
        let pieces = written.came.iter().zip(ends);
        pieces.flat_map(|((begin, at), end)| [at, " ", &written.text[*begin..end]]).collect()
    }

    /// What `find` finds, as soon as it does. `None` when the writers have closed without it or
    /// [`PATIENCE`] is over.
    pub(crate) fn look_for<T>(&self, mut find: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let mut found = None;
        let waiting = |written: &mut Written| {
            found = find(&written.text);
            found.is_none() && !written.over
        };
        drop(self.0.grown.wait_timeout_while(self.0.written(), PATIENCE, waiting));
        found
    }

    /// Waits for a text that has to come.
    pub(crate) fn wait_for(&self, text: &str) {
        let found = self.look_for(|written| written.contains(text).then_some(()));
        assert!(found.is_some(), "{text:?} never came in:\n{}", self.text());
    }

    /// Everything, once the last writer has closed.
    pub(crate) fn whole(&self) -> String {
        let written = self.0.written();
        let (written, bound) = self
            .0
            .grown
            .wait_timeout_while(written, PATIENCE, |written| !written.over)
            .expect("the reading thread does not panic");
        assert!(!bound.timed_out(), "somebody still writes:\n{}", written.text);
        written.text.clone()
    }
}

#[derive(Default)]
struct Shared {
    written: Mutex<Written>,
    grown: Condvar,
}

impl Shared {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().expect("the reading thread does not panic")
    }
}

#[derive(Default)]
struct Written {
    text: String,
    /// Where each piece begins, and when it came.
    came: Vec<(usize, String)>,
    over: bool,
}

impl Written {
    fn push(&mut self, piece: &str) {
        self.came.push((self.text.len(), now()));
        self.text.push_str(piece);
    }
}

/// The time of day as seawall's log has it: to be compared, and no test depends on it.
pub(crate) fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs() % 86400, since.subsec_millis());
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// The bound of every wait in these tests: far above what a slow machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
