//! A real Redis on a port of its own, without a trace on disk.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::until;

pub(crate) struct Redis {
    port: u16,
    child: Child,
    folder: TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..10 {
            // Not one that the system gives to whoever asks for any: it has to be free again when
            // the server is started again.
            let port = fastrand::u16(20_000..32_000);
            let mut child = spawn(port, &folder);
            if listens(&mut child, port) {
                return Self { port, child, folder };
            }
        }
        panic!("redis-server does not start");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Nothing is said to anybody, and all data is lost.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same port, empty.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.port, &self.folder);
        assert!(listens(&mut self.child, self.port), "redis-server does not start again");
    }

    /// How many requests it knows of, by 64 hexadecimal digits each.
    pub(crate) fn requests(&self) -> usize {
        let is_digest =
            |name: &str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let said = self.say("KEYS *");
        said.lines().filter(|line| line.rsplit(':').next().is_some_and(is_digest)).count()
    }

    /// How often somebody was told that a key is another's: a look that nothing was written after. Who
    /// renews what is his, looks and writes.
    pub(crate) fn told_of_others(&self) -> usize {
        // Of one moment: a look and its write may come between two.
        let said = self.say("INFO commandstats");
        let calls = |command: &str| {
            let counted = format!("cmdstat_{command}:calls=");
            let calls = said.lines().find_map(|line| line.strip_prefix(&counted));
            calls.and_then(|calls| calls.split(',').next()?.parse().ok()).unwrap_or(0_usize)
        };
        calls("get").saturating_sub(calls("set"))
    }

    fn say(&self, command: &str) -> String {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, folder: &TempDir) -> Child {
    let started = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(folder.path())
        .args(["--save", "", "--appendonly", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    match started {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            panic!("these tests need redis-server: apt-get install redis-server")
        }
        Err(error) => panic!("redis-server: {error}"),
    }
}

fn listens(child: &mut Child, port: u16) -> bool {
    until("redis-server listens, or ends", || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(true)
    })
}
