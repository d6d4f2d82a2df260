//! TLS: who half-closes, leaves, or takes nothing, and how we end it.

use rustls::version::{TLS12, TLS13};

use super::tls::{connect, echo, encrypted};
use crate::harness::{Authority, Backend, Client, Leave, Seawall, Trust, pattern, until};

#[test]
fn a_half_closed_client_gets_its_whole_answer() {
    let authority = Authority::new();
    let backend = echo_when_released();
    let seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    for version in [&TLS12, &TLS13] {
        let trust = authority.trust_by(&[version], None);
        let body = pattern(400_000);
        let mut with_fin = connect(&seawall, &trust);
        with_fin.post("/fin", &body).half_close();
        let mut without = connect(&seawall, &trust);
        without.post("/none", &body).close_notify();
        backend.wait_held("view", 2);
        settle(&seawall, &trust);
        backend.release_one("view");
        backend.release_one("view");
        for client in [&mut with_fin, &mut without] {
            let answer = client.answer();
            assert_eq!(answer.body, body);
            assert!(answer.interim.iter().all(|&status| status == 100), "{:?}", answer.interim);
        }
        for path in ["/fin", "/none"] {
            assert_eq!(seawall.line_of(path)["ended"], "delivered");
        }
        backend.forget();
    }
}

#[test]
fn who_leaves_while_waiting_is_noticed() {
    let authority = Authority::new();
    let backend = echo_when_released();
    let site = authority.sign("site", &["app.test"]);
    let seawall = encrypted(&backend, &site, "");
    let trust = authority.trust();
    let limited = Seawall::start(&format!(
        "[[backend]]\nurl = \"{}\"\nmax_concurrency = 1\n[listen]\naddress = \"127.0.0.1:0\"\ntls = {site}",
        backend.url()
    ));
    drop(seawall);
    let mut running = connect(&limited, &trust);
    running.get("/running");
    backend.wait_held("view", 1);
    // In order, by a reset, and by a FIN that TLS knows nothing of, which is no half-close.
    for leave in Leave::BOTH {
        let mut client = connect(&limited, &trust);
        client.get(&format!("/{leave:?}"));
        settle(&limited, &trust);
        client.leave(leave);
        assert_eq!(limited.line_of(&format!("/{leave:?}"))["ended"], "abandoned");
    }
    let mut truncated = connect(&limited, &trust);
    truncated.get("/truncated").truncate();
    assert_eq!(limited.line_of("/truncated")["ended"], "abandoned");
    backend.release("view");
    running.answer();
    assert_eq!(backend.targets(), ["/running"]);
    backend.assert_unharmed();
}

#[test]
fn what_tls_holds_back_for_a_slow_reader_comes_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seawall");
    let authority = Authority::new();
    let backend = echo();
    let seawall = Seawall::start(&format!(
        "backend = \"{}\"\n[[listen]]\naddress = \"unix:{}\"\ntls = {}",
        backend.url(),
        path.display(),
        authority.sign("site", &["app.test"])
    ));
    // The kernel takes about 200 KiB for a client that does not read, and TLS 64 KiB more: of some
    // of these, the end is there when all else is out.
    let sizes = (1..=12).map(|number| number * 32 * 1024);
    let mut clients: Vec<(usize, Client)> = sizes
        .map(|size| {
            let client = Client::connect_unix(&path);
            let mut client = client.encrypted(&authority.trust(), "app.test");
            client.post(&format!("/{size}"), &pattern(size));
            backend.wait_answered(&format!("/{size}"));
            (size, client)
        })
        .collect();
    // What is not read is not delivered.
    let line =
        |size: usize| seawall.log().into_iter().find(|line| line["path"] == format!("/{size}"));
    seawall.line_of("/32768");
    assert!(line(12 * 32 * 1024).is_none());
    for (size, client) in &mut clients {
        assert_eq!(client.answer().body, pattern(*size));
        assert_eq!(seawall.line_of(&format!("/{size}"))["ended"], "delivered");
    }
}

#[test]
fn who_leaves_in_mid_response_harms_nothing() {
    let authority = Authority::new();
    let backend = Backend::start(|talk| talk.answer(pattern(20_000_000)));
    let seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    for leave in Leave::BOTH {
        let mut client = connect(&seawall, &authority.trust());
        client.get(&format!("/{leave:?}")).head();
        client.leave(leave);
        assert_eq!(seawall.line_of(&format!("/{leave:?}"))["ended"], "discarded");
    }
    backend.assert_unharmed();
}

#[test]
fn an_answer_that_the_backend_breaks_off_does_not_look_whole() {
    let authority = Authority::new();
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk("part")?;
        talk.close();
        Ok(())
    });
    let seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    let mut client = connect(&seawall, &authority.trust());
    // Of HTTP/1.0, where the end of the connection is the end of the answer.
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.outcome().is_err());
}

#[test]
fn a_drain_ends_connections_by_close_notify() {
    let authority = Authority::new();
    let backend = echo_when_released();
    let mut seawall = encrypted(&backend, &authority.sign("site", &["app.test"]), "");
    let mut idle = connect(&seawall, &authority.trust());
    let mut running = connect(&seawall, &authority.trust());
    running.get("/running");
    backend.wait_held("view", 1);
    idle.post("/idle", b"");
    backend.wait_held("view", 2);
    backend.release_one("view");
    backend.release_one("view");
    idle.answer();
    running.answer();
    seawall.signal("TERM");
    // A truncated stream would be an error here.
    assert!(idle.wait_closed().is_empty());
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn a_last_word_for_which_there_is_no_room_is_not_waited_for_without_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seawall");
    let authority = Authority::new();
    let backend = Backend::start(|talk| talk.answer(pattern(talk.target()[1..].parse().unwrap())));
    let seawall = Seawall::start(&format!(
        "backend = \"{}\"\n[[listen]]\naddress = \"unix:{}\"\ntls = {}\n\
         [client]\nwrite_stall = \"500ms\"",
        backend.url(),
        path.display(),
        authority.sign("site", &["app.test"])
    ));
    let before = seawall.sockets();
    // The kernel takes about 200 KiB for a client that does not read: some of these answers fill
    // that, and leave no room for what TLS says at the end.
    let clients: Vec<Client> = (1..=48)
        .map(|number| {
            let client = Client::connect_unix(&path);
            let mut client = client.encrypted(&authority.trust(), "app.test");
            client.get_with(&format!("/{}", number * 6000), "Connection: close\r\n");
            client
        })
        .collect();
    seawall.wait_for_lines(48, |line| line["status"] == 200);
    until("all are closed", || (seawall.sockets() <= before).then_some(()));
    drop(clients);
}

/// As `Seawall::settle`, by this way.
fn settle(seawall: &Seawall, trust: &Trust) {
    connect(seawall, trust).send("nonsense\r\n\r\n").wait_closed();
}

fn echo_when_released() -> Backend {
    Backend::start(|talk| {
        talk.hold("view")?;
        let body = talk.request().body;
        talk.answer(body)
    })
}
