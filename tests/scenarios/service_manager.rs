//! Started by systemd: with sockets that are open already, and somebody to be told of our state.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::harness::command::{binary, binary_under, run_to_end_as};
use crate::harness::{Backend, Client, DEADLINE, Seawall};

/// The shell stands for systemd: the socket comes as its standard input, and goes on as 3 and 4.
const HAND_OVER: &str = "exec 3<&0 4<&0 </dev/null; export LISTEN_PID=$$; exec \"$@\"";

#[test]
fn sockets_of_tcp_that_are_handed_over_are_listened_at_and_stay_open_elsewhere() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // Who comes before we are there waits in the queue.
    let mut early = Client::connect(address);
    early.get("/early");
    let mut command = handing_over(&socket.try_clone().unwrap().into(), "1", "web");
    let mut seawall = started(&mut command, &backend, &["systemd:web"], "");
    assert_eq!(seawall.address, address);
    assert_eq!(early.answer().text(), "served");
    assert_eq!(seawall.client().get("/").answer().text(), "served");
    drop(early);
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    // For our successor.
    let _later = Client::connect(address);
}

#[test]
fn sockets_of_one_name_and_of_several_workers_share_what_comes() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = handing_over(&socket.into(), "2", "web:admin");
    let workers = "[runtime]\nworkers = 3";
    let seawall = started(&mut command, &backend, &["systemd:admin", "systemd:web"], workers);
    assert_eq!(seawall.places(2), [seawall.address.to_string(), seawall.address.to_string()]);
    for _ in 0..20 {
        assert_eq!(seawall.client().get("/").answer().text(), "served");
    }
}

#[test]
fn sockets_without_names_are_called_unknown() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = handing_over(&socket.into(), "1", "");
    command.env_remove("LISTEN_FDNAMES");
    let seawall = started(&mut command, &backend, &["systemd:unknown"], "");
    assert_eq!(seawall.client().get("/").answer().text(), "served");
}

#[test]
fn a_socket_file_that_is_handed_over_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web");
    let backend = Backend::start(|talk| talk.answer("served"));
    let socket = UnixListener::bind(&path).unwrap();
    let mut command = handing_over(&socket.try_clone().unwrap().into(), "1", "web");
    let mut seawall = started(&mut command, &backend, &["systemd:web"], "");
    assert_eq!(Client::connect_unix(&path).get("/").answer().text(), "served");
    assert_eq!(seawall.places(1), [format!("unix:{}", path.display())]);
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    assert!(path.exists());
}

#[test]
fn a_name_that_was_not_handed_over_is_told_with_those_that_were() {
    let toml = "listen = \"systemd:web\"\nbackend = \"http://127.0.0.1:1\"";
    let said = run_to_end_as(&mut binary(), Some(toml));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("systemd:web") && said.err.contains("(there: none)"), "{said:?}");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let said = run_to_end_as(&mut handing_over(&socket.into(), "2", "one:two"), Some(toml));
    assert!(said.err.contains("(there: one, two)"), "{said:?}");
    let idle = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let said = run_to_end_as(&mut handing_over(&idle.into(), "1", "web"), Some(toml));
    assert!(said.err.contains("Accept=yes"), "{said:?}");
}

#[test]
fn the_manager_is_told_when_we_are_ready_and_when_we_stop() {
    let manager = Manager::new();
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let mut command = binary();
    let bound = "[drain]\ntimeout = \"2m\"";
    let mut seawall = started(manager.over(&mut command), &backend, &["127.0.0.1:0"], bound);
    let ready = manager.hear();
    assert_eq!(ready, format!("READY=1\nSTATUS=listening on {}", seawall.address));
    let mut client = seawall.client();
    client.get("/");
    backend.wait_held("view", 1);
    seawall.signal("TERM");
    // The manager's own bound may be shorter than ours.
    assert_eq!(
        manager.hear(),
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=250000000\nSTATUS=draining: 1 connections, 1 exchanges"
    );
    backend.release("view");
    assert_eq!(client.answer().text(), "served");
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn the_watchdog_is_fed_as_long_as_all_workers_live() {
    let manager = Manager::new();
    let backend = Backend::start(|talk| talk.answer("served"));
    let mut command = binary();
    command.env("WATCHDOG_USEC", "100000");
    let workers = "[runtime]\nworkers = 2";
    let seawall = started(manager.over(&mut command), &backend, &["127.0.0.1:0"], workers);
    let mut heard = Vec::new();
    let is_ready = |heard: &[String]| heard.iter().any(|told| told.starts_with("READY=1"));
    while heard.iter().filter(|told| *told == "WATCHDOG=1").count() < 3 || !is_ready(&heard) {
        heard.push(manager.hear());
    }
    drop(seawall);
}

#[test]
fn the_command_behind_us_inherits_none_of_it() {
    let manager = Manager::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = handing_over(&socket.into(), "2", "web:more");
    command.env("WATCHDOG_USEC", "60000000");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy.toml");
    fs::write(&file, "listen = \"systemd:web\"").unwrap();
    let script =
        "env | sed 's/^/env /'; ls -l /proc/self/fd | sed 's/^/fd /'; echo done; exec sleep 1000";
    manager.over(&mut command).args([
        "--config",
        &file.display().to_string(),
        "--",
        "sh",
        "-c",
        script,
    ]);
    let seawall = Seawall::spawn(&mut command);
    seawall.wait_for_log(|line| line.as_str() == Some("sh | done"));
    let said: Vec<String> =
        seawall.log().iter().filter_map(|line| line.as_str().map(ToOwned::to_owned)).collect();
    assert!(said.iter().any(|line| line.contains("env PORT=")), "{said:?}");
    for name in ["LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_", "socket:"] {
        assert!(!said.iter().any(|line| line.contains(name)), "{name}: {said:?}");
    }
}

/// Hears what a service tells.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { socket, folder }
    }

    fn over<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"))
    }

    fn hear(&self) -> String {
        let mut room = [0; 4096];
        let len = self.socket.recv(&mut room).unwrap();
        String::from_utf8_lossy(&room[..len]).into_owned()
    }
}

fn handing_over(socket: &OwnedFd, count: &str, names: &str) -> Command {
    let mut command = binary_under("sh", &["-c", HAND_OVER, "sh"]);
    command
        .stdin(Stdio::from(socket.try_clone().unwrap()))
        .env("LISTEN_FDS", count)
        .env("LISTEN_FDNAMES", names);
    command
}

fn started(command: &mut Command, backend: &Backend, places: &[&str], settings: &str) -> Seawall {
    let listen: Vec<_> =
        places.iter().map(|place| format!("[[listen]]\naddress = \"{place}\"")).collect();
    let toml = format!("backend = \"{}\"\n{}\n{settings}", backend.url(), listen.join("\n"));
    Seawall::start_as(command, &toml)
}
