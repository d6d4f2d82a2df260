//! How many connections there may be: of one client, in the whole house, and as descriptors allow.

use crate::harness::command::binary_under;
use crate::harness::{Authority, Backend, Client, Leave, Seawall, until};

#[test]
fn a_client_with_too_many_connections_is_refused_further_ones() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nconnections = 2");
    let mut kept = [connected(&seawall), connected(&seawall)];
    let answer = seawall.client().get("/third").answer();
    assert_eq!(answer.status(), 429);
    assert!(answer.text().contains("client.connections"), "{}", answer.text());
    let line = seawall.wait_for_log(|line| line["status"] == 429);
    assert_eq!(
        (&line["ended"], &line["reason"]),
        (&"refused".into(), &"Too many connections".into())
    );
    let mut other = Client::from_address([127, 0, 0, 2].into(), seawall.address);
    assert_eq!(other.get("/other").answer().status(), 200);
    assert_eq!(kept[0].get("/kept").answer().status(), 200);
    let [first, _second] = kept;
    seawall.leave(first, Leave::Fin);
    assert_eq!(seawall.client().get("/again").answer().status(), 200);
}

#[test]
fn who_is_refused_takes_up_room_in_the_house_until_it_is_closed() {
    let backend = served();
    let seawall = Seawall::with(&backend, "[client]\nconnections = 1\ntotal_connections = 2");
    let _kept = connected(&seawall);
    // None of them closes by itself: of the second place, one after the other makes use.
    let mut refused: Vec<Client> = (0..5).map(|_| seawall.client()).collect();
    for client in &mut refused {
        assert_eq!(client.answer().status(), 429);
    }
    seawall.wait_for_diagnostic("client.total_connections reached; accepting pauses");
}

#[test]
fn a_proxy_that_is_trusted_has_as_many_as_it_likes() {
    let backend = served();
    let seawall =
        Seawall::with(&backend, "[client]\nconnections = 1\ntrusted_proxies = [\"127.0.0.1/32\"]");
    let _kept = [connected(&seawall), connected(&seawall), connected(&seawall)];
}

#[test]
fn a_tunnel_is_a_connection_as_long_as_it_lasts() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/tunnel" {
            talk.write(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
            )?;
            return talk.hold("tunnel");
        }
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, "[client]\nconnections = 1");
    let mut tunnel = seawall.client();
    tunnel.get_with("/tunnel", "Connection: Upgrade\r\nUpgrade: echo\r\n");
    assert_eq!(tunnel.next_head().status(), 101);
    assert_eq!(seawall.client().get("/refused").answer().status(), 429);
    tunnel.leave(Leave::Fin);
    backend.release("tunnel");
    seawall.line_of("/tunnel");
    until("the place is free", || {
        (seawall.client().get("/").answer().status() == 200).then_some(())
    });
}

#[test]
fn where_tls_is_spoken_too_many_are_closed_before_their_handshake() {
    let authority = Authority::new();
    let backend = served();
    let seawall = Seawall::start(&format!(
        "backend = \"{}\"\n[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {}\n[client]\nconnections = 1",
        backend.url(),
        authority.sign("site", &["app.test"])
    ));
    let mut kept = Client::connect_tls(seawall.address, &authority.trust(), "app.test");
    kept.get("/").answer();
    assert!(seawall.client().wait_closed().is_empty());
    let line = seawall.wait_for_log(|line| line["reason"] == "Too many connections");
    assert_eq!(line["ended"], "refused");
}

#[test]
fn at_the_bound_of_the_house_newcomers_wait_and_are_served_in_their_turn() {
    let backend = served();
    let mut seawall = Seawall::with(&backend, "[client]\ntotal_connections = 2");
    let (first, second) = (connected(&seawall), connected(&seawall));
    let mut waiting: Vec<Client> = (0..5).map(|_| seawall.client()).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.get(&format!("/{number}"));
    }
    seawall.wait_for_diagnostic("client.total_connections reached; accepting pauses");
    assert!(waiting.iter().all(Client::hears_nothing));
    drop((first, second));
    for client in waiting {
        let mut client = client;
        assert_eq!(client.answer().status(), 200);
    }
    let told = seawall.diagnostics();
    let told = told.iter().filter(|line| line["level"] == "WARN").count();
    assert_eq!(told, 1);
    assert!(seawall.is_running());
}

#[test]
fn who_waits_at_the_bound_of_the_house_is_served_by_a_drain() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let mut seawall = Seawall::with(&backend, "[client]\ntotal_connections = 1");
    let mut running = seawall.client();
    running.get("/running");
    backend.wait_held("view", 1);
    let mut waiting = seawall.client();
    waiting.get("/waiting");
    seawall.wait_for_diagnostic("client.total_connections reached; accepting pauses");
    seawall.signal("TERM");
    seawall.wait_for_diagnostic("draining");
    backend.release("view");
    assert_eq!(running.answer().status(), 200);
    assert_eq!(waiting.answer().status(), 200);
    drop((running, waiting));
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn few_descriptors_bound_connections_and_leave_room_for_the_backend() {
    let backend = served();
    let toml = format!("listen = \"127.0.0.1:0\"\nbackend = \"{}\"", backend.url());
    let limited = &mut binary_under("sh", &["-c", "ulimit -n 64 && exec \"$@\"", "sh"]);
    let seawall = Seawall::start_as(limited, &toml);
    seawall.wait_for_diagnostic(
        "the limit of descriptors allows fewer connections than client.total_connections",
    );
    let mut many: Vec<Client> = (0..200).map(|_| seawall.client()).collect();
    seawall.wait_for_diagnostic("client.total_connections reached; accepting pauses");
    assert_eq!(many[0].get("/first").answer().status(), 200);
    let mut last = many.pop().unwrap();
    drop(many);
    assert_eq!(last.get("/last").answer().status(), 200);
}

#[test]
fn out_of_descriptors_accepting_pauses_and_goes_on() {
    let backend = served();
    let mut seawall = Seawall::before(&backend);
    let mut kept = connected(&seawall);
    // As when something else in the process takes them: none is left, whatever was reckoned with.
    seawall.limit_descriptors(Some(1));
    let mut waiting = seawall.client();
    waiting.get("/waiting");
    let told = seawall.wait_for_diagnostic("cannot accept connections; pausing");
    assert_eq!(told["level"], "ERROR");
    assert!(seawall.is_running());
    assert!(waiting.hears_nothing());
    seawall.limit_descriptors(None);
    assert_eq!(waiting.answer().status(), 200);
    assert_eq!(kept.get("/kept").answer().status(), 200);
    let lines = seawall.diagnostics();
    assert_eq!(lines.iter().filter(|line| line["level"] == "ERROR").count(), 1);
}

#[test]
fn out_of_descriptors_a_request_waits_for_one_and_its_backend_counts_as_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    for backend in [served(), Backend::at_file(&path, |talk| talk.answer("served"))] {
        let url = match backend.address.port() {
            0 => format!("unix:{}", path.display()),
            _ => backend.url(),
        };
        // Nobody waits for a backend that is away.
        let seawall = Seawall::start(&format!(
            "listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"{url}\"\nhold = {{ for = \"0s\" }}\nidle = \"0s\""
        ));
        let (mut client, mut witness) = (connected(&seawall), connected(&seawall));
        backend.wait_left_alone();
        seawall.limit_descriptors(Some(1));
        client.get("/waiting");
        // Whatever that comes to without a descriptor, it has come to when the next one is answered: the next
        // try is a while later.
        for _ in 0..3 {
            witness.get_with("/odd", "Expect: nothing\r\n");
            assert_eq!(witness.answer().status(), 417);
        }
        assert!(client.hears_nothing());
        seawall.limit_descriptors(None);
        assert_eq!(client.answer().text(), "served");
        let line = seawall.line_of("/waiting");
        assert_eq!(
            (&line["ended"], &line["held_ms"]),
            (&"delivered".into(), &0.0.into()),
            "{line}"
        );
        let said = seawall.diagnostics();
        assert!(said.iter().all(|line| line["level"] == "INFO"), "{said:?}");
        backend.assert_unharmed();
    }
}

/// A client that is being served.
fn connected(seawall: &Seawall) -> Client {
    let mut client = seawall.client();
    assert_eq!(client.get("/").answer().status(), 200);
    client
}

fn served() -> Backend {
    Backend::start(|talk| talk.answer("served"))
}
