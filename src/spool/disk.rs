//! The part of a spool that went to disk: an unlinked temporary file.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::budget::{Budget, Share};
use crate::tasks;

/// A file that nobody else can open and that is gone with its last handle.
#[derive(Debug)]
pub(super) struct Disk {
    file: Arc<File>,
    /// Where in the spool its first byte stands.
    pub(super) from: u64,
    /// The disk space it is charged for.
    pub(super) share: Share,
}

impl Disk {
    pub(super) fn new(file: Arc<File>, from: u64, share: Share) -> Self {
        Self { file, from, share }
    }

    pub(super) fn file(&self) -> Arc<File> {
        self.file.clone()
    }
}

/// Makes the file, already unlinked.
pub(super) async fn create(dir: &Path) -> io::Result<Arc<File>> {
    let dir = dir.to_owned();
    tasks::blocking(move || {
        let made = if dir.as_os_str().is_empty() {
            tempfile::tempfile()
        } else {
            tempfile::tempfile_in(dir)
        };
        made.map(Arc::new)
    })
    .await
}

/// Writes the chunks one behind the other, from `offset` of the file.
pub(super) async fn write(file: Arc<File>, mut offset: u64, chunks: Vec<Bytes>) -> io::Result<()> {
    tasks::blocking(move || {
        for chunk in chunks {
            file.write_all_at(&chunk, offset)?;
            offset += chunk.len() as u64;
        }
        Ok(())
    })
    .await
}

/// Reads some bytes of `[offset, end)`, fewer where memory is short, in which they count.
pub(super) async fn read(
    file: Arc<File>,
    offset: u64,
    end: u64,
    memory: Budget,
) -> io::Result<Bytes> {
    tasks::blocking(move || {
        let most = if memory.is_short() { SHORT_READ } else { READ };
        let len = usize::try_from(most.min(end - offset)).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::zeroed(len);
        file.read_exact_at(&mut bytes, offset)?;
        Ok(memory.counted(bytes.freeze(), len as u64))
    })
    .await
}

/// How much is read back at once.
const READ: u64 = 128 * 1024;
/// And where `spool.total_memory` is nearly used up.
const SHORT_READ: u64 = 32 * 1024;
