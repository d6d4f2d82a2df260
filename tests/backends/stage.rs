//! Where a server is started again and again.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::family::Family;
use crate::server::CURRENT;

/// A folder with an application in it, and the processes that run there.
pub(crate) struct Stage {
    folder: TempDir,
    pub(crate) family: Family,
}

impl Stage {
    pub(crate) fn set() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in FILES {
            fs::write(folder.path().join(name), text).expect("an application");
        }
        Self { folder, family: Family::new() }
    }

    pub(crate) fn start(&self, mut command: Command, writer: std::io::PipeWriter) {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = [CURRENT.path().join("bin")].into_iter().chain(std::env::split_paths(&others));
        command
            .current_dir(self.folder.path())
            .env("PATH", std::env::join_paths(path).expect("no colons"))
            .env("PYTHONPATH", APPS)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(writer.try_clone().expect("a second end"))
            .stderr(writer);
        let mut process = self.family.mark(&mut command).spawn().expect("a server");
        // Ended by its family's end, and then not to stay as a zombie.
        std::thread::spawn(move || process.wait());
    }

    /// Each time later than before, whatever the clock's steps are.
    pub(crate) fn touch(&self, time: u32) {
        let file = File::options().append(true).open(self.folder.path().join("touched.py"));
        let at = SystemTime::now() + time * Duration::from_secs(10);
        file.and_then(|file| file.set_modified(at)).expect("a file to touch");
    }
}

const APPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/backends/apps");
const FILES: [(&str, &str); 4] = [
    ("touched.py", ""),
    ("app.py", "import touched\nfrom flask_app import app\n"),
    ("server.py", "import http_server\n"),
    (
        "manage.py",
        "import sys\nimport touched\nfrom django_app import execute_from_command_line\n\
         if __name__ == \"__main__\":\n    execute_from_command_line(sys.argv)\n",
    ),
];
