//! One of our output streams: whole lines, written by a thread of its own.
//!
//! Whoever has a line formats it into memory and goes on; nobody waits for the stream. What finds
//! the memory full is not written but counted, and the count is reported.

use std::{
    io,
    sync::{Arc, OnceLock},
    thread::{self, Thread},
    time::Duration,
};

use rustix::fs::FileType;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::{lock::Mutex, runtime};

/// Bytes waiting to be written; further lines are dropped and counted.
pub(super) const WAITING: usize = 1024 * 1024;
/// Bytes that are written at once, in whole lines: how finely a slow reader is told from one that
/// has stalled.
const PIECE: usize = 32 * 1024;
/// The same of a file, which nobody has to read along: to the file system each piece costs something beside its bytes. Not
/// at the end of the process: a disk may stall, too.
const FILE_PIECE: usize = 256 * 1024;
/// How long [`Output::flush`] waits for a reader of our output that has stalled.
const FLUSH: Duration = Duration::from_secs(1);
/// How long it does before it looks again.
const LOOK: Duration = Duration::from_millis(1);
/// How long [`Output::room`] and [`Output::settled`] wait for such a reader.
const STALL: Duration = Duration::from_secs(2);

/// What an output is written to. By its thread alone, so that it may block.
pub(crate) trait Sink: Send + 'static {
    /// Writes whole lines.
    fn put(&mut self, lines: &[u8]);

    /// Opens anew what may have been moved.
    fn renew(&mut self) {}

    /// Is it a file, and nobody at the other end who reads?
    fn is_file(&self) -> bool {
        false
    }
}

impl<W: io::Write + Send + 'static> Sink for W {
    fn put(&mut self, lines: &[u8]) {
        // Where a stream is gone there is nobody to tell; serving goes on.
        let _ = self.write_all(lines).and_then(|()| self.flush());
    }
}

/// Our standard output, which may be a file.
pub(super) struct Stdout {
    is_file: bool,
}

impl Stdout {
    pub(super) fn open() -> Self {
        let found = rustix::fs::fstat(io::stdout());
        let is_file = found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file());
        Self { is_file }
    }
}

impl Sink for Stdout {
    fn put(&mut self, lines: &[u8]) {
        io::stdout().put(lines);
    }

    fn is_file(&self) -> bool {
        self.is_file
    }
}

#[derive(Debug)]
pub(crate) struct Output {
    /// What it writes, for the report of what it could not.
    name: &'static str,
    lines: Mutex<Lines>,
    /// Woken when the first line has come, and when something else is to be done. None before it has looked for the first
    /// time.
    writer: OnceLock<Thread>,
    /// Told when some of it is written.
    moved: Notify,
    gather: Duration,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each tells its own, and all go together")]
struct Lines {
    text: Vec<u8>,
    /// The writer has taken lines and not yet written them.
    writing: bool,
    /// Nobody gathers any more: the process ends.
    hurry: bool,
    /// Nothing more comes.
    over: bool,
    /// The sink is to be opened anew before any further line.
    renew: bool,
    /// Somebody has waited for room in vain, and nothing was written since.
    stalled: bool,
    /// Pieces.
    written: u64,
    dropped: u64,
}

impl Output {
    /// Starts the writer, which gathers lines for so long once the first has come: one write for
    /// many.
    pub(crate) fn start(name: &'static str, gather: Duration, to: impl Sink) -> Arc<Self> {
        let output = Arc::new(Self {
            name,
            lines: Mutex::default(),
            writer: OnceLock::new(),
            moved: Notify::new(),
            gather,
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
            self.wake();
        }
    }

    /// Has the sink opened anew, soon; also where there is nothing to write.
    pub(super) fn renew(&self) {
        self.lines.lock().renew = true;
        self.wake();
    }

    /// No further line comes: the writer ends with the last one.
    pub(super) fn end(&self) {
        self.lines.lock().over = true;
        self.wake();
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    /// Waits for room, for those who would rather wait than lose lines; not for a stalled reader.
    /// Half of it is free then: for as many lines as come at once.
    pub(crate) async fn room(&self) {
        self.wait(|lines| lines.text.len() < WAITING / 2).await;
    }

    /// Waits until all that was handed over is written; not for a stalled reader.
    pub(crate) async fn settled(&self) {
        self.wait(|lines| lines.text.is_empty() && !lines.writing).await;
    }

    async fn wait(&self, reached: impl Fn(&Lines) -> bool) {
        loop {
            // Before the look: what moves after it is not missed.
            let moved = self.moved.notified();
            {
                let lines = self.lines.lock();
                if reached(&lines) || lines.stalled {
                    return;
                }
            }
            if timeout(STALL, moved).await.is_err() {
                self.lines.lock().stalled = true;
            }
        }
    }

    /// How many lines found no room.
    pub(super) fn dropped(&self) -> u64 {
        self.lines.lock().dropped
    }

    /// Waits until all that was handed over is written. Blocks; for the end of the process.
    pub(crate) fn flush(&self) {
        self.lines.lock().hurry = true;
        self.wake();
        let (mut written, mut since) = (0, Instant::now());
        loop {
            let lines = self.lines.lock();
            if lines.text.is_empty() && !lines.writing {
                return;
            }
            if lines.written != written {
                (written, since) = (lines.written, Instant::now());
            }
            drop(lines);
            if since.elapsed() >= FLUSH {
                // The output has stalled, and the lines are lost.
                tracing::warn!(output = self.name, "the last lines cannot be written");
                return;
            }
            thread::sleep(LOOK);
        }
    }

    fn write_out(&self, mut to: impl Sink) {
        let mut taken = Vec::new();
        let mut reported = 0;
        // Before the first look: what comes behind that wakes it.
        let _ = self.writer.set(thread::current());
        loop {
            let mut lines = self.lines.lock();
            if lines.text.is_empty() && !lines.renew {
                if lines.over {
                    return;
                }
                drop(lines);
                thread::park();
                continue;
            }
            if !lines.hurry && !lines.text.is_empty() && !self.gather.is_zero() {
                drop(lines);
                thread::sleep(self.gather);
                lines = self.lines.lock();
            }
            std::mem::swap(&mut lines.text, &mut taken);
            lines.writing = !taken.is_empty();
            let (mut hurry, renew) = (lines.hurry, std::mem::take(&mut lines.renew));
            drop(lines);
            if renew {
                to.renew();
            }
            let mut rest = taken.as_slice();
            while !rest.is_empty() {
                let most = if to.is_file() && !hurry { FILE_PIECE } else { PIECE };
                let (piece, behind) = rest.split_at(piece(rest, most));
                rest = behind;
                to.put(piece);
                let mut lines = self.lines.lock();
                lines.writing = !rest.is_empty();
                lines.stalled = false;
                lines.written += 1;
                hurry = lines.hurry;
                drop(lines);
                self.moved.notify_waiters();
            }
            taken.clear();
            let dropped = self.lines.lock().dropped;
            if dropped > reported {
                let lines = dropped - reported;
                tracing::warn!(output = self.name, lines, total = dropped, "lines were dropped");
                reported = dropped;
            }
        }
    }
}

/// Whole lines, if they are not too long for it.
fn piece(text: &[u8], most: usize) -> usize {
    let end = text.len().min(most);
    let more = |end: usize| text[end..].iter().position(|byte| *byte == b'\n');
    match text[..end].iter().rposition(|byte| *byte == b'\n') {
        _ if end == text.len() => end,
        Some(last) => last + 1,
        None => more(end).map_or(text.len(), |behind| end + behind + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};

    use super::*;

    /// Takes all that it is handed, as it is handed it.
    struct Taken {
        is_file: bool,
        pieces: SyncSender<Vec<u8>>,
    }

    impl Sink for Taken {
        fn put(&mut self, lines: &[u8]) {
            let _ = self.pieces.send(lines.to_vec());
        }

        fn is_file(&self) -> bool {
            self.is_file
        }
    }

    #[test]
    fn a_file_is_written_in_larger_pieces_than_a_reader_is_told_apart_by_and_lines_stay_whole() {
        for (is_file, hurry, most) in
            [(false, false, PIECE), (true, false, FILE_PIECE), (true, true, PIECE)]
        {
            let (pieces, taken) = sync_channel(64);
            let output = Output::start("test", Duration::ZERO, Taken { is_file, pieces });
            let line = [&[b'x'; 999][..], b"\n"].concat();
            let count = WAITING / 2 / line.len();
            output.lines.lock().hurry = hurry;
            output.write(|text| text.extend(line.repeat(count)));
            output.end();
            let taken: Vec<_> = taken.iter().collect();
            assert_eq!(taken.concat().len(), count * line.len());
            assert!(taken.iter().all(|piece| piece.len() <= most && piece.ends_with(b"\n")));
            assert_eq!(taken[0].len(), most / line.len() * line.len());
        }
    }

    /// Takes so long for each piece that it is handed.
    struct Slow {
        pause: Duration,
        written: Arc<Mutex<usize>>,
    }

    impl Sink for Slow {
        fn put(&mut self, lines: &[u8]) {
            thread::sleep(self.pause);
            *self.written.lock() += lines.len();
        }
    }

    #[test]
    fn the_end_of_the_process_waits_for_who_is_slow_and_not_for_who_has_stalled() {
        for (pause, is_written) in [(FLUSH / 2, true), (FLUSH * 3, false)] {
            let written = Arc::<Mutex<usize>>::default();
            let sink = Slow { pause, written: written.clone() };
            let output = Output::start("test", Duration::ZERO, sink);
            let mut lines = vec![b'x'; 3 * PIECE];
            lines.chunks_mut(PIECE).for_each(|line| line[PIECE - 1] = b'\n');
            output.write(|text| text.extend(&lines));
            let began = Instant::now();
            output.flush();
            assert_eq!(*written.lock(), if is_written { lines.len() } else { 0 });
            assert!(began.elapsed() < FLUSH * 3);
        }
    }
}
