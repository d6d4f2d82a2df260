//! A name with several addresses is several servers, asked again as they come and go.
//!
//! seawall runs with a table of hosts of its own, in a mount namespace, which a scene writes anew: names
//! change as they do for containers.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::harness::command::binary_under;
use crate::harness::{Backend, Client, Leave, Seawall, until};

const MOVED: &str = "the name stands for these servers now";
/// An address of its own for each server, and the same port for all.
const ADDRESSES: [&str; 3] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];

#[test]
fn each_address_is_a_server_with_slots_of_its_own() {
    let stage = Stage::new(&ADDRESSES[..2]);
    let seawall = stage.start("app", "max_concurrency = 1");
    let mut running = [ask(&seawall, "/a"), ask(&seawall, "/b")];
    stage.servers.iter().for_each(|server| until_held(server, 1));
    let mut queued = ask(&seawall, "/c");
    seawall.settle();
    assert!(queued.hears_nothing());
    stage.servers.iter().for_each(|server| server.release("gate"));
    for client in running.iter_mut().chain([&mut queued]) {
        assert_eq!(client.answer().text(), "here");
    }
    for server in &stage.servers {
        assert_eq!(server.most_open_at_once(), 1);
        server.assert_unharmed();
    }
}

#[test]
fn new_addresses_are_used_and_those_that_vanish_finish_what_they_have() {
    let stage = Stage::new(&ADDRESSES);
    stage.say(&ADDRESSES[..2]);
    let seawall = stage.start("app", "max_concurrency = 1\nresolve = \"10ms\"\nidle = \"1h\"");
    let running = [ask(&seawall, "/a"), ask(&seawall, "/b")];
    until_held(&stage.servers[0], 1);
    until_held(&stage.servers[1], 1);
    let mut queued = ask(&seawall, "/queued");
    seawall.settle();
    assert!(queued.hears_nothing());
    let [orphan, mut other] = running;
    seawall.leave(orphan, Leave::Reset);
    stage.say(&ADDRESSES[1..]);
    until_held(&stage.servers[2], 1);
    let mut next = ask(&seawall, "/next");
    stage.servers[0].release("gate");
    // Nothing is kept to one that is gone, and nobody is sent there.
    stage.servers[0].wait_left_alone();
    seawall.settle();
    assert!(next.hears_nothing());
    stage.servers.iter().for_each(|server| server.release("gate"));
    for client in [&mut other, &mut queued, &mut next] {
        assert_eq!(client.answer().text(), "here");
    }
    assert_eq!(stage.servers[0].exchanges().len(), 1);
    stage.servers.iter().for_each(Backend::assert_unharmed);
}

#[test]
fn when_one_cannot_be_reached_its_name_is_asked_at_once() {
    let stage = Stage::new(&ADDRESSES);
    stage.say(&ADDRESSES[..2]);
    let settings = "resolve = \"1h\"\neject = { for = \"1h\", max = \"1h\" }";
    let seawall = stage.start("app", settings);
    stage.servers.iter().for_each(|server| server.release("gate"));
    for _ in 0..2 {
        assert_eq!(seawall.client().post("/", b"1").answer().text(), "here");
    }
    // Made anew, with another address: as a container is.
    stage.say(&ADDRESSES[1..]);
    stage.servers[0].close();
    until("the new one is asked", || {
        assert_eq!(seawall.client().post("/", b"1").answer().text(), "here");
        (!stage.servers[2].exchanges().is_empty()).then_some(())
    });
    stage.servers.iter().for_each(Backend::assert_unharmed);
}

#[test]
fn a_name_that_grows_keeps_the_server_that_it_had() {
    let stage = Stage::new(&ADDRESSES[..2]);
    stage.say(&ADDRESSES[..1]);
    let seawall = stage.start("app", "max_concurrency = 1\nresolve = \"10ms\"");
    let mut running = ask(&seawall, "/a");
    until_held(&stage.servers[0], 1);
    let mut second = ask(&seawall, "/b");
    seawall.settle();
    stage.say(&ADDRESSES[..2]);
    until_held(&stage.servers[1], 1);
    let mut third = ask(&seawall, "/c");
    seawall.settle();
    assert!(third.hears_nothing(), "the first has its slot twice");
    stage.servers.iter().for_each(|server| server.release("gate"));
    for client in [&mut running, &mut second, &mut third] {
        assert_eq!(client.answer().text(), "here");
    }
    assert!(stage.servers.iter().all(|server| server.most_open_at_once() == 1));
}

#[test]
fn an_address_of_each_family_is_one_server() {
    let stage = Stage::new(&["127.0.0.1"]);
    // As localhost has it. Nobody listens at the other one.
    stage.say(&["::1", "127.0.0.1"]);
    let seawall = stage.start("app", "max_concurrency = 1");
    let mut clients = [ask(&seawall, "/a"), ask(&seawall, "/b")];
    until_held(&stage.servers[0], 1);
    seawall.settle();
    assert_eq!(stage.servers[0].exchanges().len(), 1);
    stage.servers[0].release("gate");
    for client in &mut clients {
        assert_eq!(client.answer().text(), "here");
    }
    assert_eq!(stage.servers[0].most_open_at_once(), 1);
    assert!(seawall.diagnostics().iter().all(|line| line["message"] != MOVED));
}

/// Servers at one port of several addresses, and the table of hosts.
struct Stage {
    servers: Vec<Backend>,
    port: u16,
    folder: TempDir,
}

impl Stage {
    /// The name stands for all of them.
    fn new(addresses: &[&str]) -> Self {
        let listeners = until("a port is free at all of them", || listeners(addresses));
        let port = listeners[0].local_addr().unwrap().port();
        let script = |talk: &mut crate::harness::Talk| {
            talk.hold("gate")?;
            talk.answer("here")
        };
        let servers =
            listeners.into_iter().map(|listener| Backend::over(listener, script)).collect();
        let stage = Self { servers, port, folder: tempfile::tempdir().unwrap() };
        stage.say(addresses);
        stage
    }

    /// From now on.
    fn say(&self, addresses: &[&str]) {
        let lines: Vec<_> = addresses.iter().map(|address| format!("{address} app\n")).collect();
        let lines = lines.concat();
        // As long as ever: there is no moment at which it is empty, or half of another.
        let text = format!("{lines:#<200}\n");
        let mut file = fs::OpenOptions::new();
        let mut file = file
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.folder.path().join("hosts"))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn start(&self, name: &str, settings: &str) -> Seawall {
        let hosts = self.folder.path().join("hosts");
        let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
        let mut command =
            binary_under("unshare", &["--mount", "--map-root-user", "sh", "-c", &script, "sh"]);
        let port = self.port;
        Seawall::start_as(
            &mut command,
            &format!(
                "listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"http://{name}:{port}\"\n{settings}"
            ),
        )
    }
}

/// At the same port of each of these addresses.
fn listeners(addresses: &[&str]) -> Option<Vec<TcpListener>> {
    let mut port = 0;
    let mut all = Vec::new();
    for address in addresses {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        let address = SocketAddr::new(address.parse().unwrap(), port);
        socket.bind(&address.into()).ok()?;
        socket.listen(128).ok()?;
        port = socket.local_addr().unwrap().as_socket().unwrap().port();
        all.push(socket.into());
    }
    Some(all)
}

fn until_held(server: &Backend, count: usize) {
    server.wait_held("gate", count);
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}
