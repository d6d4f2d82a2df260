//! The PROXY protocol: a proxy of TCP before us says whose connection it passes on.

use std::process::Command;

use crate::harness::{Authority, Backend, Client, Leave, Seawall};

const FIRST: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n";
/// The same in version 2, with something besides.
const SECOND: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xcb\0\x71\x07\xc0\0\x02\x01\x13\x88\x01\xbb\x04\0\x01x";
/// `LOCAL`: the proxy itself asks how we are.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

#[test]
fn the_address_in_the_header_is_the_clients() {
    let backend = served();
    let seawall = behind_proxies(&backend, "");
    for (path, header) in [("/first", FIRST), ("/second", SECOND)] {
        let mut client = seawall.client();
        client.send(header).get(path).answer();
        client.get(&format!("{path}/again")).answer();
        let line = seawall.line_of(&format!("{path}/again"));
        assert_eq!(line["client"], "203.0.113.7:5000");
        let head = backend.wait_answered(path).head;
        assert_eq!(head.field("x-forwarded-for"), Some("203.0.113.7"));
        assert!(head.field("forwarded").unwrap().starts_with("for=203.0.113.7;"));
    }
}

#[test]
fn a_header_may_come_in_pieces_and_together_with_the_request() {
    let backend = served();
    let seawall = behind_proxies(&backend, "");
    for header in [FIRST, SECOND] {
        let mut client = seawall.client();
        for byte in header {
            client.send([*byte]);
        }
        assert_eq!(client.get("/pieces").answer().status(), 200);
        let together = [header, b"GET /together HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        assert_eq!(seawall.client().send(together).answer().status(), 200);
    }
}

#[test]
fn a_connection_of_the_proxys_own_is_named_by_its_address() {
    let backend = served();
    let seawall = behind_proxies(&backend, "");
    for (path, header) in [("/local", LOCAL), ("/unknown", UNKNOWN)] {
        let mut client = seawall.client();
        client.send(header).get(path).answer();
        assert_eq!(seawall.line_of(path)["client"], client.address().to_string());
    }
}

#[test]
fn bounds_count_the_clients_and_not_the_proxy() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = behind_proxies(&backend, "[client]\nexchanges = 1\nconnections = 1");
    let of = |last: u8| {
        let mut client = seawall.client();
        client.send(format!("PROXY TCP4 203.0.113.{last} 192.0.2.1 5000 443\r\n"));
        client
    };
    let (mut one, mut other) = (of(1), of(2));
    one.get("/one");
    other.get("/other");
    backend.wait_held("view", 2);
    assert_eq!(of(1).get("/more").answer().status(), 429);
    backend.release("view");
    assert_eq!((one.answer().status(), other.answer().status()), (200, 200));
}

#[test]
fn an_address_that_is_a_trusted_proxy_is_believed_further() {
    let backend = served();
    let trusting = "[client]\ntrusted_proxies = [\"203.0.113.0/24\"]";
    let seawall = behind_proxies(&backend, trusting);
    seawall.client().send(FIRST).get_with("/", "X-Forwarded-For: 198.51.100.1\r\n").answer();
    let head = backend.wait_answered("/").head;
    assert_eq!(head.field("x-forwarded-for"), Some("198.51.100.1, 203.0.113.7"));
    assert_eq!(seawall.line_of("/")["client"], "198.51.100.1");
}

#[test]
fn who_sends_none_is_closed_with_a_line() {
    let backend = served();
    for sent in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PROXY TCP4 nonsense\r\n"] {
        let seawall = behind_proxies(&backend, "");
        assert!(seawall.client().try_send(sent).wait_closed().is_empty());
        let told = seawall.wait_for_diagnostic("no PROXY header; closed");
        assert_eq!(told["level"], "WARN");
        assert!(told["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{told}");
    }
    assert_eq!(backend.connections(), 0);
}

#[test]
fn who_is_no_proxy_of_ours_is_closed_and_not_believed() {
    let backend = served();
    let seawall = behind_proxies(&backend, "proxy_protocol_from = [\"10.0.0.0/8\"]");
    assert!(seawall.client().try_send(FIRST).wait_closed().is_empty());
    let told = seawall.wait_for_diagnostic("closed: it is not in listen.proxy_protocol_from");
    assert_eq!(told["level"], "WARN");
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_header_is_not_believed_where_none_is_asked_for() {
    let backend = served();
    let seawall = Seawall::before(&backend);
    assert_eq!(seawall.client().send(FIRST).get("/").answer().status(), 400);
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_header_that_does_not_end_is_waited_for_within_a_bound() {
    let backend = served();
    let seawall = behind_proxies(&backend, "[client]\nhandshake_timeout = \"200ms\"");
    for part in [&b""[..], &FIRST[..20], &SECOND[..20]] {
        assert!(seawall.client().send(part).wait_closed().is_empty());
        // Who leaves in the middle is not waited for; nobody spins meanwhile.
        let mut leaver = seawall.client();
        leaver.send(part);
        leaver.leave(Leave::Fin);
    }
    assert_eq!(seawall.client().send(FIRST).get("/").answer().status(), 200);
}

#[test]
fn a_header_comes_before_tls() {
    let authority = Authority::new();
    let backend = served();
    let site = authority.sign("site", &["app.test"]);
    let seawall = behind_proxies(&backend, &format!("tls = {site}"));
    for (path, header) in [("/first", FIRST), ("/second", SECOND)] {
        let mut client = seawall.client();
        client.send(header);
        client.encrypted(&authority.trust(), "app.test").get(path).answer();
        assert_eq!(seawall.line_of(path)["client"], "203.0.113.7:5000");
        let head = backend.wait_answered(path).head;
        assert_eq!(head.field("x-forwarded-proto"), Some("https"));
    }
}

#[test]
fn a_header_comes_by_a_socket_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seawall");
    let backend = served();
    let seawall = Seawall::start(&format!(
        "backend = \"{}\"\n[listen]\naddress = \"unix:{}\"\nproxy_protocol = true",
        backend.url(),
        path.display()
    ));
    let mut client = Client::connect_unix(&path);
    for byte in SECOND {
        client.send([*byte]);
    }
    client.get("/").answer();
    assert_eq!(seawall.line_of("/")["client"], "203.0.113.7:5000");
}

#[test]
fn curl_sends_a_header() {
    let backend = served();
    let seawall = behind_proxies(&backend, "");
    let output = Command::new("curl")
        .args(["-sS", "--haproxy-protocol"])
        .arg(format!("http://{}/", seawall.address))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "served", "{output:?}");
}

fn behind_proxies(backend: &Backend, settings: &str) -> Seawall {
    Seawall::start(&format!(
        "backend = \"{}\"\n[[listen]]\naddress = \"127.0.0.1:0\"\nproxy_protocol = true\n{settings}",
        backend.url()
    ))
}

fn served() -> Backend {
    Backend::start(|talk| talk.answer("served"))
}
