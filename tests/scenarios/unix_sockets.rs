//! Clients and backends at socket files.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::command::{Said, run_to_end};
use crate::harness::{Backend, Client, Leave, Seawall, pattern, until};

#[test]
fn clients_come_by_a_socket_file() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(|talk| {
        let body = talk.request().body;
        talk.answer(body)
    });
    let seawall = before(&backend, &folder, "");
    let mut client = client(&folder);
    assert_eq!(client.post("/small", b"hello").answer().text(), "hello");
    let large = pattern(3_000_000);
    assert_eq!(client.post("/large", &large).answer().body, large);
    let line = seawall.line_of("/small");
    assert_eq!((&line["client"], &line["ended"]), (&"unix".into(), &"delivered".into()), "{line}");
    backend.assert_unharmed();
}

#[test]
fn who_has_no_address_is_given_none() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(|talk| talk.answer("served"));
    let _seawall = before(&backend, &folder, "");
    client(&folder).get_with("/", "X-Forwarded-For: 10.0.0.1\r\n").answer();
    let head = backend.wait_answered("/").head;
    assert_eq!(head.field("x-forwarded-for"), None);
    assert_eq!(head.field("forwarded"), Some("for=unknown;proto=http;host=\"app.test\""));
}

#[test]
fn a_trusted_proxy_at_a_socket_file_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = before(&backend, &folder, "[client]\ntrusted_proxies = [\"unix\"]");
    client(&folder)
        .get_with("/", "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n")
        .answer();
    let head = backend.wait_answered("/").head;
    assert_eq!(head.field("x-forwarded-for"), Some("203.0.113.7"));
    assert_eq!(head.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seawall.line_of("/")["client"], "203.0.113.7");
}

#[test]
fn all_who_come_by_socket_files_are_one_client() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let _seawall = before(&backend, &folder, "[client]\nexchanges = 1");
    let mut first = client(&folder);
    first.get("/first");
    backend.wait_held("view", 1);
    assert_eq!(client(&folder).get("/second").answer().status(), 429);
    backend.release("view");
    assert_eq!(first.answer().status(), 200);
}

#[test]
fn curl_comes_by_a_socket_file() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(|talk| talk.answer("served"));
    let _seawall = before(&backend, &folder, "");
    let out = Command::new("curl")
        .args(["-sS", "--unix-socket"])
        .arg(socket(&folder))
        .arg("http://localhost/")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "served", "{out:?}");
}

#[test]
fn a_half_closed_client_gets_its_whole_answer_and_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let backend = echo_when_released();
    let seawall = before(&backend, &folder, "");
    let mut client = client(&folder);
    client.post("/half", &pattern(400_000)).half_close();
    backend.wait_held("view", 1);
    settle(&folder);
    backend.release("view");
    let answer = client.answer();
    assert_eq!(answer.body, pattern(400_000));
    assert!(answer.interim.is_empty(), "{:?}", answer.interim);
    assert_eq!(seawall.line_of("/half")["ended"], "delivered");
    backend.assert_unharmed();
}

#[test]
fn a_client_that_closes_is_noticed_while_its_request_waits() {
    let folder = tempfile::tempdir().unwrap();
    let backend = echo_when_released();
    let seawall = before(&backend, &folder, "max_concurrency = 1");
    let mut running = client(&folder);
    running.get("/running");
    backend.wait_held("view", 1);
    // Closed at once, or half-closed first and closed later: the kernel says both.
    let mut at_once = client(&folder);
    at_once.get("/at-once");
    settle(&folder);
    at_once.leave(Leave::Fin);
    assert_eq!(seawall.line_of("/at-once")["ended"], "abandoned");
    let mut later = client(&folder);
    later.get("/later").half_close();
    settle(&folder);
    later.leave(Leave::Fin);
    assert_eq!(seawall.line_of("/later")["ended"], "abandoned");
    backend.release("view");
    running.answer();
    assert_eq!(backend.targets(), ["/running"]);
    backend.assert_unharmed();
}

#[test]
fn a_client_that_leaves_in_mid_response_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(|talk| talk.answer(pattern(20_000_000)));
    let seawall = before(&backend, &folder, "");
    let mut client = client(&folder);
    client.get("/").head();
    client.leave(Leave::Fin);
    assert_eq!(seawall.line_of("/")["ended"], "discarded");
    backend.assert_unharmed();
}

#[test]
fn the_file_has_its_mode_and_goes_with_the_listener() {
    let folder = tempfile::tempdir().unwrap();
    let backend = echo_when_released();
    for (settings, mode) in [("", 0o660), ("mode = \"0606\"\n", 0o606)] {
        let mut seawall = Seawall::start(&format!(
            "backend = \"{}\"\n[[listen]]\naddress = \"unix:{}\"\n{settings}",
            backend.url(),
            socket(&folder).display()
        ));
        let found = fs::metadata(socket(&folder)).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, mode);
        let mut running = client(&folder);
        running.get("/running");
        backend.wait_held("view", 1);
        seawall.signal("TERM");
        until("the file is gone", || (!socket(&folder).exists()).then_some(()));
        assert!(seawall.is_running());
        backend.release_one("view");
        assert_eq!(running.answer().status(), 200);
        assert_eq!(seawall.wait_exit(), Some(0));
    }
}

#[test]
fn what_a_killed_process_left_behind_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(|talk| talk.answer("served"));
    let mut killed = before(&backend, &folder, "");
    killed.signal("KILL");
    killed.wait_exit();
    assert!(socket(&folder).exists());
    let _seawall = before(&backend, &folder, "");
    assert_eq!(client(&folder).get("/").answer().text(), "served");
}

#[test]
fn where_somebody_listens_or_a_file_is_no_socket_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let taken = UnixListener::bind(socket(&folder)).unwrap();
    let said = not_started(&folder);
    assert!(said.err.contains("somebody listens there"), "{said:?}");
    drop(taken);
    fs::remove_file(socket(&folder)).unwrap();
    fs::write(socket(&folder), "precious").unwrap();
    let said = not_started(&folder);
    assert!(said.err.contains("a file is there that is no socket"), "{said:?}");
    assert_eq!(fs::read_to_string(socket(&folder)).unwrap(), "precious");
    fs::remove_file(socket(&folder)).unwrap();
    fs::remove_dir(folder.path()).unwrap();
    let said = not_started(&folder);
    assert!(said.err.contains("the folder must exist"), "{said:?}");
}

#[test]
fn another_ones_file_is_not_taken_away_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start(|talk| talk.answer("served"));
    let mut seawall = before(&backend, &folder, "");
    fs::remove_file(socket(&folder)).unwrap();
    let _successor = UnixListener::bind(socket(&folder)).unwrap();
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    assert!(socket(&folder).exists());
}

#[test]
fn a_backend_can_be_a_socket_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("the app");
    let backend = Backend::at_file(&path, |talk| {
        let body = talk.request().body;
        talk.answer(body)
    });
    let coded = path.display().to_string().replace(' ', "%20");
    for url in [format!("unix:{}", path.display()), format!("http+unix://{coded}")] {
        let seawall = Seawall::start(&format!("listen = \"127.0.0.1:0\"\nbackend = \"{url}\""));
        let mut client = seawall.client();
        let large = pattern(3_000_000);
        assert_eq!(client.post("/large", &large).answer().body, large);
        client.send("GET /old HTTP/1.0\r\n\r\n").answer();
        assert_eq!(backend.wait_answered("/old").head.field("host"), Some("localhost"));
        backend.assert_unharmed();
        backend.forget();
    }
}

#[test]
fn a_backend_whose_socket_file_is_not_there_yet_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let seawall =
        Seawall::start(&format!("listen = \"127.0.0.1:0\"\nbackend = \"unix:{}\"", path.display()));
    let mut client = seawall.client();
    client.get("/");
    seawall.wait_for_diagnostic("cannot connect");
    let _backend = Backend::at_file(&path, |talk| talk.answer("served"));
    assert_eq!(client.answer().text(), "served");
}

#[test]
fn a_backend_at_a_socket_file_is_shielded_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app");
    let backend = Backend::at_file(&path, |talk| {
        talk.hold("view")?;
        talk.answer(pattern(2_000_000))
    });
    let seawall =
        Seawall::start(&format!("listen = \"127.0.0.1:0\"\nbackend = \"unix:{}\"", path.display()));
    for leave in Leave::BOTH {
        let mut client = seawall.client();
        client.get(&format!("/{leave:?}"));
        backend.wait_held("view", 1);
        seawall.leave(client, leave);
        backend.release_one("view");
        assert_eq!(seawall.line_of(&format!("/{leave:?}"))["ended"], "discarded");
    }
    backend.assert_unharmed();
}

fn before(backend: &Backend, folder: &TempDir, settings: &str) -> Seawall {
    Seawall::start(&format!(
        "listen = \"unix:{}\"\n[[backend]]\nurl = \"{}\"\n{settings}",
        socket(folder).display(),
        backend.url()
    ))
}

fn client(folder: &TempDir) -> Client {
    Client::connect_unix(&socket(folder))
}

fn socket(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("seawall")
}

/// As `Seawall::settle`, by this way.
fn settle(folder: &TempDir) {
    client(folder).send("nonsense\r\n\r\n").wait_closed();
}

fn not_started(folder: &TempDir) -> Said {
    let toml =
        format!("listen = \"unix:{}\"\nbackend = \"http://127.0.0.1:1\"", socket(folder).display());
    let said = run_to_end(Some(&toml), |command| command);
    assert_eq!(said.code, Some(1), "{said:?}");
    said
}

fn echo_when_released() -> Backend {
    Backend::start(|talk| {
        talk.hold("view")?;
        let body = talk.request().body;
        talk.answer(body)
    })
}
