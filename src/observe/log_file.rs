//! A log in a file that others move, remove and truncate, on a disk that may be full.
//!
//! Its thread may wait here as long as it takes: requests do not. Lines gather in memory meanwhile, and what
//! finds that full is dropped and counted (`output`).

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::fs::{OFlags, fcntl_setfl};
use tokio::time::Instant;

use super::output::Sink;

/// How often it is looked whether the file is still where it was.
const LOOK: Duration = Duration::from_secs(1);
/// How long until what could not be written is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// Who reads logs is let in by way of the file's group.
const MODE: u32 = 0o640;

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    place: Place,
    looked: Instant,
    /// Lines do not go in, and this was said.
    is_stuck: bool,
    /// The file is no longer at its path, no other can be opened there, and this was said.
    is_astray: bool,
}

/// Which file it is, whatever it is called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
    /// And no named pipe.
    is_file: bool,
}

impl LogFile {
    /// Opens the file to write behind what is there, or makes it; its folder must be there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (file, place) = open(path)?;
        let looked = Instant::now();
        Ok(Self { path: path.into(), file, place, looked, is_stuck: false, is_astray: false })
    }

    /// Was another file opened?
    fn look(&mut self) -> bool {
        self.looked = Instant::now();
        let found = self.path.metadata().is_ok_and(|found| Place::of(&found) == self.place);
        !found && self.reopen()
    }

    /// Lines go on into the former file where there is no other.
    fn reopen(&mut self) -> bool {
        match open(&self.path) {
            Ok((file, place)) => {
                let is_other = place != self.place;
                (self.file, self.place) = (file, place);
                self.is_astray = false;
                tracing::info!(file = %self.path.display(), "log.access: opened anew");
                is_other
            }
            Err(error) => {
                if !self.is_astray {
                    self.is_astray = true;
                    tracing::warn!(
                        file = %self.path.display(), %error,
                        "log.access: cannot be opened anew; lines go on into the former file"
                    );
                }
                false
            }
        }
    }

    fn stuck(&mut self, error: &io::Error) {
        if !self.is_stuck {
            self.is_stuck = true;
            tracing::warn!(
                file = %self.path.display(), %error,
                "log.access: cannot be written; trying on, and keeping as many lines as memory is set aside for"
            );
        }
    }
}

impl Sink for LogFile {
    fn put(&mut self, lines: &[u8]) {
        if self.looked.elapsed() >= LOOK {
            self.look();
        }
        let mut done = 0;
        while done < lines.len() {
            let error = match self.file.write(&lines[done..]) {
                Ok(count @ 1..) => {
                    done += count;
                    continue;
                }
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.stuck(&error);
            thread::sleep(RETRY);
            // A line that went into the former file by half begins anew in the other one.
            if self.look() {
                let end = lines[..done].iter().rposition(|byte| *byte == b'\n');
                done = end.map_or(0, |end| end + 1);
            }
        }
        if self.is_stuck {
            self.is_stuck = false;
            tracing::info!(file = %self.path.display(), "log.access: is written again");
        }
    }

    fn renew(&mut self) {
        self.looked = Instant::now();
        self.reopen();
    }

    fn is_file(&self) -> bool {
        self.place.is_file
    }
}

impl Place {
    fn of(found: &std::fs::Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino(), is_file: found.is_file() }
    }
}

fn open(path: &Path) -> io::Result<(File, Place)> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(MODE);
    // Else a named pipe that nobody reads would hold us up here; what follows may wait.
    let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    fcntl_setfl(&file, OFlags::APPEND)?;
    let place = Place::of(&file.metadata()?);
    Ok((file, place))
}
