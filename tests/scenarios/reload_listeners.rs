//! Listeners that come, go and change while seawall runs.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Authority, Backend, Client, Seawall, until};

#[test]
fn one_that_is_added_listens_and_one_that_is_removed_lets_its_clients_go_on() {
    for workers in [1, 3] {
        let backend = Backend::start(|talk| match &*talk.target() {
            "/held" => {
                talk.hold("view")?;
                talk.answer("at last")
            }
            _ => talk.answer("served"),
        });
        let toml =
            |places: &[&str]| toml(&backend, places, &format!("[runtime]\nworkers = {workers}"));
        let seawall = Seawall::start(&toml(&["127.0.0.1:0"]));
        let first = seawall.address;
        let mut kept = seawall.client();
        assert_eq!(kept.get("/").answer().text(), "served");
        let mut running = seawall.client();
        running.get("/held");
        backend.wait_held("view", 1);

        seawall.reload(&toml(&["127.0.0.1:0", "127.0.0.2:0"]));
        let places = seawall.places(2);
        assert_eq!(places[0], first.to_string());
        let added: SocketAddr = places[1].parse().unwrap();
        assert_eq!(Client::connect(added).get("/").answer().text(), "served");
        assert_eq!(seawall.client().get("/").answer().text(), "served");

        seawall.reload(&toml(&["127.0.0.2:0"]));
        seawall.wait_not_listening();
        assert_eq!(kept.get("/").answer().text(), "served");
        backend.release("view");
        assert_eq!(running.answer().text(), "at last");
        assert_eq!(Client::connect(added).get("/").answer().text(), "served");
        assert_eq!(seawall.places(2), places);
        backend.assert_unharmed();
    }
}

#[test]
fn a_drain_ends_who_came_by_a_listener_that_is_gone() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let mut seawall = Seawall::start(&toml(&backend, &["127.0.0.1:0"], ""));
    let mut kept = seawall.client();
    assert_eq!(kept.get("/").answer().text(), "served");
    seawall.reload(&toml(&backend, &["127.0.0.2:0"], ""));
    seawall.wait_not_listening();
    seawall.signal("TERM");
    kept.wait_closed();
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn the_same_port_at_all_addresses_instead_of_one_is_never_closed() {
    for workers in [1, 2] {
        let backend = Backend::start(|talk| talk.answer("served"));
        let toml =
            |place: &str| toml(&backend, &[place], &format!("[runtime]\nworkers = {workers}"));
        let seawall = Seawall::start(&toml("127.0.0.1:0"));
        let port = seawall.address.port();
        let knock = |from: [u8; 4]| TcpStream::connect(SocketAddr::from((from, port)));
        assert!(knock([127, 0, 0, 2]).is_err());
        seawall.reload(&toml(&format!("0.0.0.0:{port}")));
        let mut other = Client::connect(SocketAddr::from(([127, 0, 0, 2], port)));
        assert_eq!(other.get("/").answer().text(), "served");
        assert_eq!(seawall.client().get("/").answer().text(), "served");
        seawall.reload(&toml(&format!("127.0.0.1:{port}")));
        until("the others are refused", || knock([127, 0, 0, 2]).err());
        assert_eq!(seawall.client().get("/").answer().text(), "served");
    }
}

#[test]
fn encryption_begins_and_ends_at_the_same_port_and_who_is_connected_stays() {
    let authority = Authority::new();
    let (one, other) =
        (authority.sign("one", &["app.test"]), authority.sign("other", &["app.test"]));
    let trust = authority.trust();
    let backend = Backend::start(|talk| talk.answer("served"));
    let toml = |tls: &str| toml(&backend, &["127.0.0.1:0"], tls);
    let seawall = Seawall::start(&toml(""));
    let mut plain = seawall.client();
    assert_eq!(plain.get("/").answer().text(), "served");
    seawall.reload(&toml(&format!("tls = {one}")));
    let mut first = Client::connect_tls(seawall.address, &trust, "app.test");
    assert_eq!(first.get("/").answer().text(), "served");
    assert_eq!(seawall.client().get("/").answer().status(), 400);
    seawall.reload(&toml(&format!("tls = {other}")));
    let mut second = Client::connect_tls(seawall.address, &trust, "app.test");
    assert_eq!(second.get("/").answer().text(), "served");
    assert_ne!(first.tls().peer_certificates(), second.tls().peer_certificates());
    seawall.reload(&toml(""));
    assert_eq!(seawall.client().get("/").answer().text(), "served");
    for client in [&mut plain, &mut first, &mut second] {
        assert_eq!(client.get("/").answer().text(), "served");
    }
    assert_eq!(seawall.places(1), [seawall.address.to_string()]);
}

#[test]
fn a_certificate_made_at_the_start_stays_as_long_as_nothing_is_said_of_it() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let toml = |settings: &str| {
        toml(&backend, &["127.0.0.1:0"], &format!("tls = \"self-signed\"\n{settings}"))
    };
    let seawall = Seawall::start(&toml(""));
    seawall.reload(&toml("[client]\nidle = \"5s\""));
    let made = |line: &&serde_json::Value| {
        line["message"].as_str().is_some_and(|message| message.starts_with("self-signed"))
    };
    assert_eq!(seawall.diagnostics().iter().filter(made).count(), 1);
}

#[test]
fn a_header_of_a_proxy_is_asked_for_from_the_next_connection_on() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let toml = |settings: &str| toml(&backend, &["127.0.0.1:0"], settings);
    let seawall = Seawall::start(&toml(""));
    let mut plain = seawall.client();
    assert_eq!(plain.get("/").answer().text(), "served");
    seawall.reload(&toml("proxy_protocol = true"));
    let mut passed_on = seawall.client();
    passed_on.send("PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\n").get("/passed-on");
    assert_eq!(passed_on.answer().text(), "served");
    assert_eq!(seawall.line_of("/passed-on")["client"], "192.0.2.7:1234");
    assert_eq!(plain.get("/").answer().text(), "served");
}

#[test]
fn the_permissions_of_a_socket_file_change() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let place = format!("unix:{}", path.display());
    let toml = |mode: &str| toml(&backend, &[&place], &format!("mode = \"{mode}\""));
    let seawall = Seawall::start(&toml("0600"));
    seawall.reload(&toml("0666"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    assert_eq!(Client::connect_unix(&path).get("/").answer().text(), "served");
    seawall.reload(&format!("listen = \"127.0.0.1:0\"\nbackend = \"{}\"", backend.url()));
    until("the file is gone", || (!path.exists()).then_some(()));
}

#[test]
fn so_many_connections_may_there_be_as_the_last_configuration_says() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let toml =
        |most| toml(&backend, &["127.0.0.1:0"], &format!("[client]\ntotal_connections = {most}"));
    let seawall = Seawall::start(&toml(1));
    let mut first = seawall.client();
    assert_eq!(first.get("/").answer().text(), "served");
    let mut second = seawall.client();
    second.get("/");
    seawall.wait_for_diagnostic("client.total_connections reached; accepting pauses");
    assert!(second.hears_nothing());
    seawall.reload(&toml(2));
    assert_eq!(second.answer().text(), "served");
    assert_eq!(first.get("/").answer().text(), "served");
}

/// The settings begin with keys of the last listener's table; further tables may follow.
fn toml(backend: &Backend, places: &[&str], settings: &str) -> String {
    let places: Vec<_> =
        places.iter().map(|place| format!("[[listen]]\naddress = \"{place}\"\n")).collect();
    format!("backend = \"{}\"\n{}{settings}", backend.url(), places.concat())
}
