//! Files that are looked at now and then, and read again when they have changed.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf, time::Duration};

/// How they looked when they were read, and when they were last looked at.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    read: Vec<Stamp>,
    last: Vec<Stamp>,
}

impl Files {
    /// They are about to be read.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let read = stamps(&paths);
        Self { paths, last: read.clone(), read }
    }

    pub(crate) fn are_none(&self) -> bool {
        self.paths.is_empty()
    }

    /// Have they changed since they were read? They are rarely written in one moment: what differs
    /// from the look before may still be changing, and is no news yet. After a yes they are to be
    /// read.
    pub(crate) fn have_changed(&mut self) -> bool {
        let now = stamps(&self.paths);
        let is_at_rest = now == self.last;
        self.last = now;
        let is_news = is_at_rest && self.last != self.read;
        if is_news {
            self.read.clone_from(&self.last);
        }
        is_news
    }

    /// They are about to be read, whatever they look like.
    pub(crate) fn are_read(&mut self) {
        self.read = stamps(&self.paths);
    }
}

/// Device, inode, length and time of the last change: differs when the file does, also where it is a
/// link that leads elsewhere now, as mounted secrets and maps are. None while there is no such file.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let data = fs::metadata(path).ok()?;
        Some((data.dev(), data.ino(), data.len(), data.ctime(), data.ctime_nsec()))
    };
    paths.iter().map(stamp).collect()
}

/// How often files are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_news_once_and_only_when_it_rests() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "one").expect("written");
        let mut files = Files::new(vec![path.clone()]);
        assert!(!files.have_changed() && !files.have_changed());
        fs::write(&path, "other").expect("written");
        assert!(!files.have_changed());
        fs::write(&path, "another").expect("written");
        assert!(!files.have_changed());
        assert!(files.have_changed() && !files.have_changed());
        fs::remove_file(&path).expect("removed");
        assert!(!files.have_changed());
        assert!(files.have_changed());
        fs::write(&path, "back").expect("written");
        files.are_read();
        assert!(!files.have_changed() && !files.have_changed());
    }
}
