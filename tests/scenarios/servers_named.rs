//! A name with several addresses is several servers, asked again as they come and go.
//!
//! seawall runs with a table of hosts of its own, in a mount namespace, which a scene writes anew: names
//! change as they do for containers, and are out as they are when DNS is.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::harness::command::binary_under;
use crate::harness::{Backend, Client, Leave, Seawall, until};

const MOVED: &str = "the name stands for these servers now";
const UNKNOWN: &str = "nobody knows the name: what it stood for before counts";
const KNOWN: &str = "the name is known again";
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

#[test]
fn servers_whose_names_nobody_knows_any_more_are_asked_where_they_were() {
    let stage = Stage::new(&ADDRESSES);
    stage.servers.iter().for_each(|server| server.release("gate"));
    stage.say_of_all("127.0.0.2 one\n127.0.0.3 two\n");
    let servers = ["one", "two"].map(|name| format!("http://{name}:{}", stage.port));
    let seawall = stage.start_before(&servers.each_ref().map(|url| &**url), "resolve = \"10ms\"");
    ask_both(&seawall, &stage);
    stage.say_of_all("");
    for _ in 0..5 {
        ask_both(&seawall, &stage);
    }
    stage.say_of_all("127.0.0.4 one\n127.0.0.3 two\n");
    until("the new one is asked", || {
        assert_eq!(post(&seawall), "here");
        (!stage.servers[2].exchanges().is_empty()).then_some(())
    });
    until("both are known again", || (count(&seawall, KNOWN) == 2).then_some(()));
    assert_eq!(count(&seawall, UNKNOWN), 2, "once of each name");
    assert_eq!(count(&seawall, "the server is out: others are asked"), 0);
    stage.servers.iter().for_each(Backend::assert_unharmed);
}

#[test]
fn several_servers_of_one_name_stay_when_nobody_knows_it_any_more() {
    let stage = Stage::new(&ADDRESSES);
    stage.servers.iter().for_each(|server| server.release("gate"));
    stage.say(&ADDRESSES[..2]);
    let seawall = stage.start("app", "resolve = \"10ms\"");
    ask_both(&seawall, &stage);
    stage.say(&[]);
    seawall.wait_for_diagnostic(UNKNOWN);
    ask_both(&seawall, &stage);
    stage.say(&ADDRESSES);
    seawall.wait_for_diagnostic(KNOWN);
    assert_eq!((count(&seawall, UNKNOWN), count(&seawall, KNOWN)), (1, 1));
}

#[test]
fn while_names_are_answered_by_nobody_no_request_waits_for_that() {
    let stage = Stage::new(&ADDRESSES[..1]);
    stage.servers[0].release("gate");
    let patient = stage.start("app", "connect_timeout = \"1h\"");
    let impatient = stage.start("app", "connect_timeout = \"400ms\"\nhold = { for = \"0s\" }");
    assert_eq!((post(&patient), post(&impatient)), ("here".into(), "here".into()));
    stage.say(&[]);
    assert_eq!(post(&patient), "here");
    stage.fall_silent();
    // The one knows by now that names are out, the other has half of its time left to dial.
    assert_eq!((post(&patient), post(&impatient)), ("here".into(), "here".into()));
}

#[test]
fn whoever_has_the_address_of_a_server_that_is_gone_is_not_asked_in_its_place() {
    let stage = Stage::new(&ADDRESSES[..2]);
    stage.say(&ADDRESSES[..1]);
    stage.servers.iter().for_each(|server| server.release("gate"));
    let seawall = stage.start("app", "");
    assert_eq!(post(&seawall), "here");
    // As with containers: the name goes with the one, and another gets its address.
    stage.say(&[]);
    assert_eq!(post(&seawall), "here");
    stage.servers[0].close();
    let mut held = seawall.client();
    held.post("/", b"1");
    seawall.wait_for_diagnostic("the backend is away: holding requests");
    let listener = until("the address is free", || listener(ADDRESSES[0], stage.port));
    let stranger = Backend::over(listener, |talk| talk.answer("a stranger"));
    seawall.settle();
    assert!(held.hears_nothing());
    stage.say(&ADDRESSES[1..2]);
    assert_eq!(held.answer().text(), "here");
    assert!(stranger.exchanges().is_empty());
    assert_eq!(stage.servers[1].exchanges().len(), 1);
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

    /// The name stands for these from now on; where there are none, nobody knows it.
    fn say(&self, addresses: &[&str]) {
        let lines: Vec<_> = addresses.iter().map(|address| format!("{address} app\n")).collect();
        self.say_of_all(&lines.concat());
    }

    fn say_of_all(&self, lines: &str) {
        fs::write(self.folder.path().join("next"), lines).unwrap();
        self.put("next");
    }

    /// Whoever asks for a name waits for an answer, from now on until something is said.
    fn fall_silent(&self) {
        let made = Command::new("mkfifo").arg(self.folder.path().join("next")).status();
        assert!(made.unwrap().success());
        self.put("next");
    }

    /// In place of the table, in one moment.
    fn put(&self, file: &str) {
        fs::rename(self.folder.path().join(file), self.folder.path().join("hosts")).unwrap();
    }

    fn start(&self, name: &str, settings: &str) -> Seawall {
        let port = self.port;
        self.start_before(&[&format!("http://{name}:{port}")], settings)
    }

    fn start_before(&self, servers: &[&str], settings: &str) -> Seawall {
        // All that is looked for there.
        for (file, text) in [("nsswitch.conf", "hosts: files\n"), ("host.conf", "multi on\n")] {
            fs::write(self.folder.path().join(file), text).unwrap();
        }
        let folder = self.folder.path().display();
        let script = format!("mount --bind {folder} /etc && exec \"$@\"");
        let mut command =
            binary_under("unshare", &["--mount", "--map-root-user", "sh", "-c", &script, "sh"]);
        Seawall::start_as(
            &mut command,
            &format!("listen = \"127.0.0.1:0\"\n[[backend]]\nservers = {servers:?}\n{settings}"),
        )
    }
}

/// At the same port of each of these addresses.
fn listeners(addresses: &[&str]) -> Option<Vec<TcpListener>> {
    let mut port = 0;
    let mut all = Vec::new();
    for address in addresses {
        let listener = listener(address, port)?;
        port = listener.local_addr().unwrap().port();
        all.push(listener);
    }
    Some(all)
}

/// Where the port is free; any port, where it is 0.
fn listener(address: &str, port: u16) -> Option<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    let address = SocketAddr::new(address.parse().unwrap(), port);
    socket.bind(&address.into()).ok()?;
    socket.listen(128).ok()?;
    Some(socket.into())
}

/// Over a connection of its own.
fn post(seawall: &Seawall) -> String {
    seawall.client().post("/", b"1").answer().text()
}

/// The first two.
fn ask_both(seawall: &Seawall, stage: &Stage) {
    let [one, two] = [0, 1].map(|number| stage.servers[number].exchanges().len());
    until("both are asked", || {
        assert_eq!(post(seawall), "here");
        let asked = |number: usize, before| stage.servers[number].exchanges().len() > before;
        (asked(0, one) && asked(1, two)).then_some(())
    });
}

fn count(seawall: &Seawall, message: &str) -> usize {
    seawall.diagnostics().iter().filter(|line| line["message"] == message).count()
}

fn until_held(server: &Backend, count: usize) {
    server.wait_held("gate", count);
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}
