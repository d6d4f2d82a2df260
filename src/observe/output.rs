//! One of our output streams: whole lines, written by a thread of its own.
//!
//! Whoever has a line formats it into memory and goes on; nobody waits for the stream. What finds
//! the memory full is not written but counted, and the count is reported.

use std::{io, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use tokio::{sync::Notify, time::timeout};

use crate::runtime;

/// Bytes waiting to be written; further lines are dropped and counted.
pub(super) const WAITING: usize = 1024 * 1024;
/// How long the writer gathers lines once the first has come: one write for many.
const GATHER: Duration = Duration::from_millis(5);
/// How long [`Output::flush`] waits for a reader of our output that has stalled.
const FLUSH: Duration = Duration::from_secs(1);
/// How long [`Output::room`] waits for such a reader before its lines are given up.
const STALL: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Output {
    /// What it writes, for the report of what it could not.
    name: &'static str,
    lines: Mutex<Lines>,
    /// Told when the first line has come.
    come: Condvar,
    /// Told when all is written.
    gone: Condvar,
    /// Told when there is room again.
    room: Notify,
}

#[derive(Debug, Default)]
struct Lines {
    text: Vec<u8>,
    /// The writer has taken lines and not yet written them.
    writing: bool,
    /// Nobody gathers any more: the process ends.
    hurry: bool,
    /// Somebody has waited for room in vain, and nothing was written since.
    stalled: bool,
    dropped: u64,
}

impl Output {
    /// Starts the writer.
    pub(crate) fn start(name: &'static str, to: impl io::Write + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self {
            name,
            lines: Mutex::default(),
            come: Condvar::new(),
            gone: Condvar::new(),
            room: Notify::new(),
        });
        let writer = output.clone();
        runtime::thread(name, move || writer.write_out(to));
        output
    }

    /// Has whole lines appended, if there is room for them.
    pub(crate) fn write(&self, append: impl FnOnce(&mut Vec<u8>)) {
        let mut lines = self.lines.lock();
        if lines.text.len() >= WAITING {
            lines.dropped += 1;
            return;
        }
        let first = lines.text.is_empty();
        append(&mut lines.text);
        drop(lines);
        if first {
            self.come.notify_one();
        }
    }

    /// Waits for room, for those who would rather wait than lose lines; not for a stalled reader.
    pub(crate) async fn room(&self) {
        let room = self.room.notified();
        {
            let lines = self.lines.lock();
            if lines.text.len() < WAITING || lines.stalled {
                return;
            }
        }
        if timeout(STALL, room).await.is_err() {
            self.lines.lock().stalled = true;
        }
    }

    /// Waits until all that was handed over is written. Blocks; for the end of the process.
    pub(crate) fn flush(&self) {
        let mut lines = self.lines.lock();
        lines.hurry = true;
        self.come.notify_one();
        // Where the output has stalled, the lines are lost and nobody is left to be told.
        self.gone.wait_while_for(
            &mut lines,
            |lines| lines.writing || !lines.text.is_empty(),
            FLUSH,
        );
    }

    fn write_out(&self, mut to: impl io::Write) {
        let mut taken = Vec::new();
        let mut reported = 0;
        loop {
            let mut lines = self.lines.lock();
            self.come.wait_while(&mut lines, |lines| lines.text.is_empty());
            if !lines.hurry {
                drop(lines);
                std::thread::sleep(GATHER);
                lines = self.lines.lock();
            }
            std::mem::swap(&mut lines.text, &mut taken);
            lines.writing = true;
            let dropped = lines.dropped;
            drop(lines);
            self.room.notify_waiters();
            // Where the output is gone there is nobody to tell; serving goes on.
            let _ = to.write_all(&taken).and_then(|()| to.flush());
            taken.clear();
            let mut lines = self.lines.lock();
            lines.writing = false;
            lines.stalled = false;
            drop(lines);
            self.gone.notify_all();
            if dropped > reported {
                let lines = dropped - reported;
                tracing::warn!(output = self.name, lines, total = dropped, "lines were dropped");
                reported = dropped;
            }
        }
    }
}

#[cfg(test)]
impl Output {
    pub(super) fn dropped(&self) -> u64 {
        self.lines.lock().dropped
    }
}
