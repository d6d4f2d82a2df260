//! A real Redis on a free port, without a trace on disk.

use std::{
    io,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use ::redis::{Client, Cmd, Connection, FromRedisValue};
use tempfile::TempDir;
use tokio::time::Instant;

pub(super) struct Server {
    pub(super) port: u16,
    arguments: Vec<String>,
    child: Child,
    folder: TempDir,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::with(&[])
    }

    /// With further arguments of the command line.
    pub(super) fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        // Somebody else may take the port before the server does.
        for _ in 0..10 {
            let port = free_port();
            let mut child = spawn(port, &arguments, &folder);
            if listens(&mut child, port) {
                return Self { port, arguments, child, folder };
            }
        }
        panic!("redis-server does not start");
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// By SIGKILL: nothing is said to anybody, and all data is lost.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// On the same port, empty.
    pub(super) fn start_again(&mut self) {
        self.child = spawn(self.port, &self.arguments, &self.folder);
        assert!(listens(&mut self.child, self.port), "redis-server does not start again");
    }

    /// Stops to do anything; the kernel goes on accepting connections for it.
    pub(super) fn hang(&self) {
        self.signal("-STOP");
    }

    pub(super) fn go_on(&self) {
        self.signal("-CONT");
    }

    /// Says something to it past all that is tested.
    pub(super) fn say<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query(&mut self.connect()).expect("an answer")
    }

    fn connect(&self) -> Connection {
        Client::open(self.url()).expect("a URL").get_connection().expect("a connection")
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill runs");
        assert!(sent.success(), "no such process");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Of a port where nobody listens.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn spawn(port: u16, arguments: &[String], folder: &TempDir) -> Child {
    let started = Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(folder.path())
        .args(["--save", "", "--appendonly", "no"])
        .args(arguments)
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
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if child.try_wait().expect("a child").is_some() {
            return false;
        }
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}
