//! A kept connection that says nothing for a while is parked: it holds next to nothing, and nobody can
//! tell by anything else.

use tempfile::TempDir;

use crate::harness::{Authority, Backend, Client, Leave, Seawall, pattern, until};

#[test]
fn a_parked_connection_is_served_as_before_and_parked_again() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = seawall.client();
    for number in 1..=2 {
        assert_eq!(client.get(&format!("/{number}")).answer().text(), "served");
        wait_parked(&seawall, number);
    }
    assert_eq!(client.post("/body", &pattern(100_000)).answer().text(), "served");
    backend.assert_unharmed();
}

#[test]
fn hundreds_are_parked_and_then_speak_at_once() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let mut clients: Vec<Client> = (0..300).map(|_| seawall.client()).collect();
    for round in 0..2 {
        for client in &mut clients {
            client.get(&format!("/{round}"));
        }
        for client in &mut clients {
            assert_eq!(client.answer().status(), 200);
        }
        wait_parked(&seawall, clients.len() * (round + 1));
    }
    backend.assert_unharmed();
}

#[test]
fn it_takes_a_fraction_of_the_memory() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let connected = || {
        let mut client = seawall.client();
        client.get("/").answer();
        client
    };
    let _first = connected();
    wait_parked(&seawall, 1);
    let before = seawall.memory("VmRSS");
    let clients: Vec<Client> = (0..400).map(|_| connected()).collect();
    wait_parked(&seawall, 1 + clients.len());
    // KiB. Unparked they take 15 each. What is freed goes back to the system after a second.
    until("memory is given back", || {
        let grown = seawall.memory("VmRSS").saturating_sub(before);
        (grown < 400 * 5).then_some(())
    });
}

#[test]
fn requests_that_come_together_or_in_pieces_are_all_answered() {
    let backend = served();
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = seawall.client();
    client.get("/first").answer();
    wait_parked(&seawall, 1);
    client.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\n\r\nGET /th");
    assert_eq!((client.answer().status(), client.answer().status()), (200, 200));
    assert_eq!(client.send("ree HTTP/1.1\r\nHost: a\r\n\r\n").answer().status(), 200);
    wait_parked(&seawall, 2);
    for byte in b"GET /four HTTP/1.1\r\nHost: a\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.answer().status(), 200);
    assert_eq!(backend.targets(), ["/first", "/one", "/two", "/three", "/four"]);
}

#[test]
fn half_a_head_that_came_behind_a_request_is_not_lost() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = seawall.client();
    client.send("GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /tw");
    backend.wait_held("/one", 1);
    backend.release("/one");
    backend.release("/two");
    assert_eq!(client.answer().status(), 200);
    wait_parked(&seawall, 1);
    assert_eq!(client.send("o HTTP/1.1\r\nHost: a\r\n\r\n").answer().status(), 200);
    assert_eq!(backend.targets(), ["/one", "/two"]);
}

#[test]
fn a_drain_closes_it_at_once() {
    let backend = served();
    let mut seawall = Seawall::with(&backend, TOLD);
    let mut client = seawall.client();
    client.get("/").answer();
    wait_parked(&seawall, 1);
    seawall.signal("TERM");
    assert!(client.wait_closed().is_empty());
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn a_client_that_leaves_meanwhile_gives_its_place_back() {
    let backend = served();
    let seawall = Seawall::with(&backend, &format!("{TOLD}\n[client]\nconnections = 1"));
    for (number, leave) in Leave::BOTH.into_iter().enumerate() {
        let mut client = seawall.client();
        client.get("/").answer();
        wait_parked(&seawall, number + 1);
        assert_eq!(seawall.client().get("/other").answer().status(), 429);
        seawall.leave(client, leave);
    }
    let mut client = seawall.client();
    client.get("/").answer();
    wait_parked(&seawall, 3);
    assert!(client.half_close().wait_closed().is_empty());
}

#[test]
fn it_is_closed_when_it_has_been_idle_for_too_long() {
    let backend = served();
    let seawall = Seawall::with(&backend, &format!("{TOLD}\n[client]\nidle = \"3s\""));
    let mut client = seawall.client();
    client.get("/").answer();
    wait_parked(&seawall, 1);
    assert!(client.wait_closed().is_empty());
}

#[test]
fn a_head_that_does_not_come_to_an_end_is_a_408_there_too() {
    let backend = served();
    let seawall = Seawall::with(&backend, &format!("{TOLD}\n[client]\nhead_timeout = \"300ms\""));
    let mut client = seawall.client();
    client.get("/").answer();
    wait_parked(&seawall, 1);
    assert_eq!(client.send("GET /never HTTP/1.1\r\n").answer().status(), 408);
}

#[test]
fn it_can_still_become_a_tunnel() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/tunnel" {
            talk.write(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
            )?;
            return talk.write("hello");
        }
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, TOLD);
    let mut client = seawall.client();
    // Asked for before, and declined.
    client.get_with("/", "Connection: Upgrade\r\nUpgrade: echo\r\n").answer();
    wait_parked(&seawall, 1);
    client.get_with("/tunnel", "Connection: Upgrade\r\nUpgrade: echo\r\n");
    assert_eq!(client.next_head().status(), 101);
    assert_eq!(client.read(5), b"hello");
    client.leave(Leave::Fin);
    seawall.line_of("/tunnel");
}

#[test]
fn who_it_is_stays_known_over_every_way_that_leads_here() {
    let backend = served();
    let authority = Authority::new();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("seawall");
    let seawall = Seawall::start(&format!(
        "backend = \"{}\"\n[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\ntls = {}\n\
         [[listen]]\naddress = \"unix:{}\"\n{TOLD}",
        backend.url(),
        authority.sign("site", &["app.test"]),
        file.display()
    ));
    let mut encrypted = seawall.client();
    encrypted.send("PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n");
    let mut encrypted = encrypted.encrypted(&authority.trust(), "app.test");
    let mut local = Client::connect_unix(&file);
    for (number, round) in ["before", "after"].into_iter().enumerate() {
        assert_eq!(encrypted.get(&format!("/tls/{round}")).answer().status(), 200);
        assert_eq!(local.get(&format!("/unix/{round}")).answer().status(), 200);
        wait_parked(&seawall, 2 * (number + 1));
    }
    assert_eq!(seawall.line_of("/tls/after")["client"], "203.0.113.7:5000");
    assert_eq!(seawall.line_of("/unix/after")["client"], "unix");
    assert_eq!(backend.wait_answered("/tls/after").head.field("x-forwarded-proto"), Some("https"));
}

/// Waits until connections have been parked so many times.
#[track_caller]
fn wait_parked(seawall: &Seawall, times: usize) {
    until("connections are parked", || {
        let told = seawall.diagnostics();
        let parked = told.iter().filter(|line| line["message"] == "client connection parked");
        (parked.count() >= times).then_some(())
    });
}

fn served() -> Backend {
    Backend::start(|talk| talk.answer("served"))
}

/// Has it told that a connection is parked.
const TOLD: &str = "[log]\nlevel = \"info,seawall::front=debug\"";
