//! The part of a spool that went to disk: an unlinked temporary file.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::budget::Share;
use crate::tasks;

/// How much is read back at once.
const READ: u64 = 128 * 1024;

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

/// Reads up to [`READ`] bytes of `[offset, end)`.
pub(super) async fn read(file: Arc<File>, offset: u64, end: u64) -> io::Result<Bytes> {
    tasks::blocking(move || {
        let len = usize::try_from(READ.min(end - offset)).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::zeroed(len);
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes.freeze())
    })
    .await
}
