//! No client may take all there is: exchanges are bounded per client address, be it a trusted
//! proxy's word.

use crate::harness::{Backend, Client, Seawall};

const TWO_EACH: &str = "[client]\nexchanges = 2";

#[test]
fn a_client_with_too_many_exchanges_is_refused_and_another_is_not() {
    let backend = held();
    let seawall = Seawall::with(&backend, TWO_EACH);
    let mut first = ask(&seawall, "");
    let mut second = ask(&seawall, "");
    backend.wait_held("view", 2);
    let refused = ask(&seawall, "").answer();
    assert_eq!(refused.status(), 429);
    assert!(
        refused.head.field("proxy-status").unwrap().starts_with("seawall; error="),
        "{refused:?}"
    );

    let mut other = Client::from_address([127, 0, 0, 2].into(), seawall.address);
    other.get("/");
    backend.wait_held("view", 3);
    backend.release("view");
    for client in [&mut first, &mut second, &mut other] {
        assert_eq!(client.answer().text(), "served");
    }
    seawall.wait_for_lines(3, |line| line["ended"] == "delivered");
    assert_eq!(ask(&seawall, "").answer().text(), "served");
    assert_eq!(backend.exchanges().len(), 4);
    backend.assert_unharmed();
}

#[test]
fn those_who_wait_in_the_queue_count() {
    let backend = held();
    let seawall = Seawall::with(&backend, "max_concurrency = 1\n[client]\nexchanges = 2");
    let mut running = ask(&seawall, "");
    backend.wait_held("view", 1);
    let mut queued = ask(&seawall, "");
    seawall.settle();
    assert_eq!(ask(&seawall, "").answer().status(), 429);
    backend.release("view");
    assert_eq!((running.answer().status(), queued.answer().status()), (200, 200));
}

#[test]
fn uploads_under_way_count() {
    let backend = held();
    backend.release("view");
    let seawall = Seawall::with(&backend, TWO_EACH);
    let mut uploads = [seawall.client(), seawall.client()];
    for client in &mut uploads {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst");
    }
    seawall.settle();
    assert_eq!(ask(&seawall, "").answer().status(), 429);
    for client in &mut uploads {
        assert_eq!(client.send("after").answer().status(), 200);
    }
    assert_eq!(ask(&seawall, "").answer().status(), 200);
}

#[test]
fn clients_behind_a_trusted_proxy_are_told_apart() {
    let backend = held();
    let seawall =
        Seawall::with(&backend, "[client]\nexchanges = 1\ntrusted_proxies = [\"127.0.0.0/8\"]");
    let mut one = ask(&seawall, "X-Forwarded-For: 203.0.113.1\r\n");
    backend.wait_held("view", 1);
    let mut two = ask(&seawall, "X-Forwarded-For: 203.0.113.2\r\n");
    backend.wait_held("view", 2);
    assert_eq!(ask(&seawall, "X-Forwarded-For: 203.0.113.1\r\n").answer().status(), 429);
    // What stands left of the address which the trusted proxy saw is the client's own invention.
    assert_eq!(ask(&seawall, "X-Forwarded-For: 8.8.8.8, 203.0.113.1\r\n").answer().status(), 429);
    backend.release("view");
    assert_eq!((one.answer().status(), two.answer().status()), (200, 200));
}

#[test]
fn a_client_that_names_another_address_itself_is_not_believed() {
    let backend = held();
    let seawall = Seawall::with(&backend, "[client]\nexchanges = 1");
    let mut one = ask(&seawall, "X-Forwarded-For: 203.0.113.1\r\n");
    backend.wait_held("view", 1);
    assert_eq!(ask(&seawall, "X-Forwarded-For: 203.0.113.2\r\n").answer().status(), 429);
    assert_eq!(ask(&seawall, "Forwarded: for=203.0.113.3\r\n").answer().status(), 429);
    backend.release("view");
    assert_eq!(one.answer().status(), 200);
}

fn held() -> Backend {
    Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    })
}

/// The fields end in CRLF each.
fn ask(seawall: &Seawall, fields: &str) -> Client {
    let mut client = seawall.client();
    client.get_with("/", fields);
    client
}
