//! seawall as its user runs it: the binary, a configuration file, two streams of lines and an exit
//! code.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use super::command::binary;
use super::lines::Lines;
use super::{Backend, Client, Leave, Site, until};

pub(crate) struct Seawall {
    /// Of the first listener of TCP; nobody's, where there is none.
    pub(crate) address: SocketAddr,
    child: Child,
    access_log: Arc<Lines>,
    diagnostics: Arc<Lines>,
    /// Removed with the process.
    folder: Option<TempDir>,
}

impl Seawall {
    pub(crate) fn before(backend: &Backend) -> Self {
        Self::with(backend, "")
    }

    /// The settings begin with keys of the backend's table; further tables may follow.
    pub(crate) fn with(backend: &Backend, settings: &str) -> Self {
        Self::start(&format!(
            "listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"{}\"\n{settings}",
            backend.url()
        ))
    }

    /// The same before a backend that is away.
    pub(crate) fn at(site: &Site, settings: &str) -> Self {
        Self::start(&format!(
            "listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"{}\"\n{settings}",
            site.url()
        ))
    }

    /// Runs with this configuration file; with one worker, unless it says something about them.
    pub(crate) fn start(toml: &str) -> Self {
        Self::start_as(&mut binary(), toml)
    }

    /// The same by way of a prepared command, to which the arguments are added.
    pub(crate) fn start_as(command: &mut Command, toml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.toml");
        fs::write(&file, toml).unwrap();
        if !toml.contains("[runtime]") {
            // What `settle` rests on.
            command.env("SEAWALL_RUNTIME__WORKERS", "1");
        }
        if toml.contains("[admin]") {
            command.env_remove("SEAWALL_ADMIN__LISTEN");
        }
        let mut seawall = Self::spawn(command.arg("--config").arg(&file));
        seawall.folder = Some(folder);
        seawall
    }

    /// Runs a command to the point where it listens.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let access_log = Lines::of(child.stdout.take().unwrap());
        let diagnostics = Lines::of(child.stderr.take().unwrap());
        let listening = diagnostics.wait(1, |line| line["message"] == "listening");
        let Some(listening) = listening.first() else {
            let _ = child.kill();
            panic!("seawall does not listen; {}", diagnostics.all());
        };
        let address = listening["address"].as_str().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        Self { address, child, access_log, diagnostics, folder: None }
    }

    /// Where it listens, in the order of its configuration.
    #[track_caller]
    pub(crate) fn places(&self, count: usize) -> Vec<String> {
        let lines = self.diagnostics.wait(count, |line| line["message"] == "listening");
        assert_eq!(lines.len(), count, "{}", self.diagnostics.all());
        lines.iter().map(|line| line["address"].as_str().unwrap().to_owned()).collect()
    }

    /// Where its admin pages are.
    #[track_caller]
    pub(crate) fn admin(&self) -> SocketAddr {
        let said = self.wait_for_diagnostic("admin pages");
        let address = said["address"].as_str().unwrap();
        address.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// The access log's line for this path, which is written when both sides are over.
    #[track_caller]
    pub(crate) fn line_of(&self, path: &str) -> Value {
        self.wait_for_log(|line| line["path"] == path)
    }

    #[track_caller]
    pub(crate) fn wait_for_log(&self, matches: impl Fn(&Value) -> bool) -> Value {
        self.wait_for_lines(1, matches).remove(0)
    }

    #[track_caller]
    pub(crate) fn wait_for_lines(
        &self,
        count: usize,
        matches: impl Fn(&Value) -> bool,
    ) -> Vec<Value> {
        let lines = self.access_log.wait(count, matches);
        assert!(
            lines.len() >= count,
            "waited in vain for {count} such lines; there are {}",
            self.access_log.all()
        );
        lines
    }

    /// Its configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.as_ref().unwrap().path().join("proxy.toml")
    }

    /// Puts another configuration in force.
    #[track_caller]
    pub(crate) fn reload(&self, toml: &str) -> Value {
        self.hang_up_over(toml, "configuration reloaded")
    }

    /// Writes another configuration, sends SIGHUP, and waits for what is said of that.
    #[track_caller]
    pub(crate) fn hang_up_over(&self, toml: &str, message: &str) -> Value {
        fs::write(self.file(), toml).unwrap();
        self.after(message, || self.signal("HUP"))
    }

    /// Does something, and waits for one more diagnostic with this message.
    #[track_caller]
    pub(crate) fn after(&self, message: &str, act: impl FnOnce()) -> Value {
        let said = |line: &Value| line["message"] == message;
        let before = self.diagnostics().iter().filter(|line| said(line)).count();
        act();
        let lines = self.diagnostics.wait(before + 1, said);
        assert!(lines.len() > before, "no {message:?}; there are {}", self.diagnostics.all());
        lines[before].clone()
    }

    /// Waits for a diagnostic with this message.
    #[track_caller]
    pub(crate) fn wait_for_diagnostic(&self, message: &str) -> Value {
        let mut lines = self.diagnostics.wait(1, |line| line["message"] == message);
        assert!(
            !lines.is_empty(),
            "waited in vain for {message:?}; there are {}",
            self.diagnostics.all()
        );
        lines.remove(0)
    }

    /// The lines of the access log so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.access_log.lines()
    }

    pub(crate) fn diagnostics(&self) -> Vec<Value> {
        self.diagnostics.lines()
    }

    /// Returns when every byte has been read that clients sent before: the answer to a question put
    /// now comes out of the same event loop after them.
    pub(crate) fn settle(&self) {
        self.client().send("nonsense\r\n\r\n").wait_closed();
    }

    /// The client leaves, and seawall has noticed when this returns: it has closed its end.
    #[track_caller]
    pub(crate) fn leave(&self, client: Client, how: Leave) {
        // A connection that is not accepted yet has no descriptor there whose end could be awaited.
        let inode = until("the client is accepted", || self.socket_to(client.address()));
        client.leave(how);
        let name = format!("socket:[{inode}]");
        until("the leave is noticed", || self.descriptors().all(|open| open != name).then_some(()));
    }

    /// The inode of the process's socket to this client.
    fn socket_to(&self, client: SocketAddr) -> Option<String> {
        let (own, other) =
            (format!(":{:04X}", self.address.port()), format!(":{:04X}", client.port()));
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row[1].ends_with(&own) && row[2].ends_with(&other))?;
        (row[9] != "0").then(|| row[9].to_owned())
    }

    fn descriptors(&self) -> impl Iterator<Item = String> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        targets.map(|target| target.to_string_lossy().into_owned())
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits until the port is closed to newcomers.
    pub(crate) fn wait_not_listening(&self) {
        until("nobody listens any more", || TcpStream::connect(self.address).err());
    }

    /// Of the running process: to so many, or as many as it may have.
    pub(crate) fn limit_descriptors(&self, to: Option<u64>) {
        let limit = to.map_or_else(|| "4096".to_owned(), |to| to.to_string());
        self.limit("nofile", &format!("{limit}:4096"));
    }

    /// What `prlimit` says, of the running process.
    pub(crate) fn limit(&self, what: &str, to: &str) {
        let status = Command::new("prlimit")
            .args(["--pid", &self.child.id().to_string(), &format!("--{what}={to}")])
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end and returns the exit code; `None` for an end by signal.
    pub(crate) fn wait_exit(&mut self) -> Option<i32> {
        let code = until("seawall ends", || self.child.try_wait().unwrap()).code();
        self.access_log.wait_over();
        self.diagnostics.wait_over();
        code
    }

    /// How many connections of clients it has open, those that it has not accepted yet aside.
    pub(crate) fn clients(&self) -> usize {
        let own = format!(":{:04X}", self.address.port());
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        // A socket without an inode is the kernel's alone; in state 0A one listens.
        rows.filter(|row| row[1].ends_with(&own) && row[3] != "0A" && row[9] != "0").count()
    }

    /// How many sockets the process has open, of whatever kind.
    pub(crate) fn sockets(&self) -> usize {
        self.descriptors().filter(|open| open.starts_with("socket:")).count()
    }

    /// How many pipes the process has to itself: both ends of them.
    pub(crate) fn pipes(&self) -> usize {
        let mut ends: Vec<_> =
            self.descriptors().filter(|open| open.starts_with("pipe:")).collect();
        ends.sort_unstable();
        ends.windows(2).filter(|two| two[0] == two[1]).count()
    }

    /// The event queues by which the process watches its sockets that have this port at either end.
    pub(crate) fn event_queues(&self, port: u16) -> BTreeSet<String> {
        let port = format!(":{port:04X}");
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let rows = rows.filter(|row| row[1].ends_with(&port) || row[2].ends_with(&port));
        let sockets: Vec<_> = rows.map(|row| format!("socket:[{}]", row[9])).collect();
        let process = format!("/proc/{}", self.child.id());
        let entries = fs::read_dir(format!("{process}/fd")).unwrap();
        let open: Vec<_> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let target = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
                Some((entry.file_name().to_string_lossy().into_owned(), target))
            })
            .collect();
        let numbers: Vec<_> = open.iter().filter(|(_, target)| sockets.contains(target)).collect();
        let queues = open.iter().filter(|(_, target)| target.contains("eventpoll"));
        let watching = queues.filter(|(queue, _)| {
            let watched =
                fs::read_to_string(format!("{process}/fdinfo/{queue}")).unwrap_or_default();
            let mut watched = watched.lines().filter_map(|line| line.strip_prefix("tfd:"));
            watched.any(|line| {
                let number = line.split_whitespace().next();
                numbers.iter().any(|(open, _)| Some(&**open) == number)
            })
        });
        watching.map(|(queue, _)| queue.clone()).collect()
    }

    /// A line such as `VmRSS` of the kernel's account of the process's memory, in KiB.
    pub(crate) fn memory(&self, kind: &str) -> u64 {
        let account = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = account.lines().find(|line| line.starts_with(kind)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Seawall {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!(
                "seawall's access log:\n{}\nits diagnostics:\n{}",
                self.access_log.all(),
                self.diagnostics.all()
            );
        }
    }
}
