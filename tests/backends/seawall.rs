//! The program under test, as a process with a configuration file of its own.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::output::Output;
use crate::process::Process;

pub(crate) struct Seawall {
    pub(crate) address: SocketAddr,
    access_log: Output,
    diagnostics: Output,
    process: Process,
    _folder: TempDir,
}

impl Seawall {
    /// Before one backend, with the defaults but for what `more` says of that backend.
    pub(crate) fn start(backend: SocketAddr, more: &str) -> Self {
        Self::run(&format!("url = \"http://{backend}\"\n{more}"))
    }

    /// Before one backend that has several servers.
    pub(crate) fn before(servers: &[SocketAddr]) -> Self {
        let urls: Vec<_> = servers.iter().map(|server| format!("http://{server}")).collect();
        Self::run(&format!("servers = {urls:?}\n[log]\nlevel = \"seawall=debug\""))
    }

    fn run(backend: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("proxy.toml");
        let free = "listen = \"127.0.0.1:0\"";
        let text = format!("{free}\n\n[admin]\n{free}\n\n[[backend]]\n{backend}\n");
        fs::write(&file, text).expect("a configuration file");

        let (access_log, stdout) = Output::pipe();
        let (diagnostics, stderr) = Output::pipe();
        let mut command = Command::new(env!("CARGO_BIN_EXE_seawall"));
        command.arg("--config").arg(&file).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let process = Process::start(command);
        let listening = diagnostics.look_for(|written| {
            let line = lines(written).find(|line| line["message"] == "listening")?;
            line["address"].as_str()?.parse().ok()
        });
        let Some(address) = listening else {
            panic!("seawall does not listen:\n{}", diagnostics.text())
        };
        Self { address, access_log, diagnostics, process, _folder: folder }
    }

    /// The access log's line for the one exchange of this path.
    pub(crate) fn logged(&self, path: &str) -> Logged {
        let line =
            self.access_log.look_for(|written| lines(written).find(|line| line["path"] == path));
        Logged(line.unwrap_or_else(|| panic!("no exchange {path} in:\n{}", self.access_log.text())))
    }

    /// All that it has logged so far, with the times at which that came.
    pub(crate) fn log(&self) -> String {
        format!("{}{}", self.diagnostics.timed(), self.access_log.timed())
    }

    /// Ends in order, which it must: nothing is left to wait for.
    pub(crate) fn end(self) {
        let status = self.process.end();
        let written = self.diagnostics.whole();
        assert!(status.success(), "seawall ended with {status}:\n{written}");
        assert!(
            lines(&written).all(|line| line["level"] == "INFO"),
            "seawall has worries:\n{written}"
        );
    }
}

/// A line of the access log.
pub(crate) struct Logged(Value);

impl Logged {
    /// How the exchange ended, in which stage its client left, and what the backend answered.
    pub(crate) fn has(&self, ended: &str, left: Option<&str>, backend_status: Option<u16>) {
        let line = &self.0;
        assert_eq!(line["ended"], ended, "{line}");
        assert_eq!(line["left"].as_str(), left, "{line}");
        assert_eq!(line["backend_status"].as_u64(), backend_status.map(u64::from), "{line}");
    }
}

/// The whole lines so far, each one JSON object.
fn lines(written: &str) -> impl Iterator<Item = Value> {
    let whole = written.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
}
