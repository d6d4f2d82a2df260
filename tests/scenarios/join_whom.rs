//! Who may be answered by whose exchange: equal requests, and answers that are not for all.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::harness::{Backend, Client, Leave, Seawall};
use crate::join::{ON, ask, assert_collapsed, held};

#[test]
fn only_equal_requests_join() {
    let backend = held();
    let seawall = Seawall::with(&backend, ON);
    let mut clients = Vec::new();
    let mut send = |request: String| {
        let mut client = seawall.client();
        client.send(request);
        seawall.settle();
        clients.push(client);
    };
    let get = |fields: &str| format!("GET /page HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    send(get(""));
    for own in [
        "Cookie: session=1\r\n",
        "Cookie: session=2\r\n",
        "Authorization: Basic YQ==\r\n",
        "Accept-Language: en\r\n",
        "If-None-Match: \"1\"\r\n",
        "Range: bytes=0-1\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "User-Agent: other\r\n",
    ] {
        send(get(own));
    }
    send("GET /page HTTP/1.1\r\nHost: b\r\n\r\n".into());
    send("GET /page?x HTTP/1.1\r\nHost: a\r\n\r\n".into());
    send("OPTIONS /page HTTP/1.1\r\nHost: a\r\n\r\n".into());
    send("OPTIONS /page HTTP/1.1\r\nHost: a\r\n\r\n".into());
    send("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx".into());
    send("GET /page HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx".into());
    let own = clients.len();
    backend.wait_held("view", own);
    let mut joined: Vec<Client> =
        ["", "Traceparent: 1\r\nPriority: u=0\r\n", "Cache-Control: no-cache\r\n"]
            .map(|fields| {
                let mut client = seawall.client();
                client.send(get(fields));
                client
            })
            .into();
    seawall.settle();
    backend.release("view");
    for client in &mut clients {
        assert_eq!(client.answer().head.field("cache-status"), None);
    }
    for client in &mut joined {
        assert_collapsed(&client.answer());
    }
    assert_eq!(backend.exchanges().len(), own);
}

#[test]
fn a_head_joins_a_head_and_no_get() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")?;
        if talk.request().head.method() == "GET" { talk.write("hello") } else { Ok(()) }
    });
    let seawall = Seawall::with(&backend, ON);
    let ask = |method: &str| {
        let mut client = seawall.client();
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        seawall.settle();
        client
    };
    let [mut head, mut get, mut joins] = [ask("HEAD"), ask("GET"), ask("HEAD")];
    backend.wait_held("view", 2);
    backend.release("view");
    assert_eq!(head.answer_to_head().head.field("cache-status"), None);
    assert_eq!(get.answer().head.field("cache-status"), None);
    let joined = joins.answer_to_head();
    assert_collapsed(&joined);
    assert_eq!(joined.head.field("content-length"), Some("5"));
    // The connection is still good.
    assert_eq!(joins.get("/").answer().text(), "hello");
}

#[test]
fn a_new_session_goes_to_one_client_alone() {
    let made = AtomicU64::new(0);
    let backend = Backend::start(move |talk| {
        talk.hold("view")?;
        let number = made.fetch_add(1, SeqCst);
        talk.answer_with("200 OK", &format!("Set-Cookie: session={number}\r\n"), "welcome")
    });
    let seawall = Seawall::with(&backend, ON);
    let mut clients: Vec<Client> = (0..4).map(|_| ask(&seawall, "/")).collect();
    backend.wait_held("view", 1);
    seawall.settle();
    assert_eq!(backend.exchanges().len(), 1);
    backend.release("view");
    let mut sessions: Vec<String> = clients
        .iter_mut()
        .map(|client| {
            let answer = client.answer();
            assert_eq!(answer.head.field("cache-status"), None, "it is marked as shared");
            answer.head.field("set-cookie").expect("a session").to_owned()
        })
        .collect();
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 4, "{sessions:?}");
    seawall.wait_for_lines(4, |line| line["ended"] == "delivered" && line["shared"].is_null());
}

#[test]
fn a_new_session_whose_client_has_left_goes_to_the_one_who_waits() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer_with("200 OK", "Set-Cookie: session=1\r\n", "welcome")
    });
    let seawall = Seawall::with(&backend, ON);
    let first = ask(&seawall, "/");
    backend.wait_held("view", 1);
    seawall.leave(first, Leave::Fin);
    let mut joins = ask(&seawall, "/");
    seawall.settle();
    backend.release("view");
    let answer = joins.answer();
    assert_collapsed(&answer);
    assert_eq!(answer.head.field("set-cookie"), Some("session=1"));
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn what_is_private_goes_to_one_address_alone() {
    for (fields, shared) in
        [("Cache-Control: private\r\n", false), ("Vary: *\r\n", false), ("", true)]
    {
        let backend = Backend::start(move |talk| {
            talk.hold("view")?;
            talk.answer_with("200 OK", fields, "page")
        });
        let seawall = Seawall::with(&backend, ON);
        let mut first = ask(&seawall, "/");
        backend.wait_held("view", 1);
        let mut near = ask(&seawall, "/");
        let mut far = Client::from_address([127, 0, 0, 2].into(), seawall.address);
        far.get("/");
        seawall.settle();
        backend.release("view");
        first.answer();
        assert_collapsed(&near.answer());
        let collapsed = far.answer().head.field("cache-status").is_some();
        assert_eq!(collapsed, shared, "{fields}");
        assert_eq!(backend.exchanges().len(), if shared { 1 } else { 2 }, "{fields}");
    }
}
