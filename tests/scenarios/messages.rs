//! Messages of the rarer kinds: without a body, with interim ones before them, with odd methods.

use crate::harness::{Backend, Client, Seawall, Talk, pattern};

#[test]
fn a_request_without_a_body_says_so_where_one_is_looked_for() {
    let backend = Backend::start(|talk| talk.answer(""));
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    for (method, length) in [
        ("POST", Some("0")),
        ("PUT", Some("0")),
        ("PATCH", Some("0")),
        ("GET", None),
        ("DELETE", None),
    ] {
        client.send(format!("{method} /{method} HTTP/1.1\r\nHost: a\r\n\r\n")).answer();
        let head = backend.wait_answered(&format!("/{method}")).head;
        assert_eq!(head.field("content-length"), length, "{method}");
    }
    backend.assert_unharmed();
}

#[test]
fn head_is_answered_with_the_length_and_without_the_body() {
    let backend = Backend::start(|talk| match talk.request().head.method() {
        "HEAD" => talk.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Own: 1\r\n\r\n"),
        _ => talk.answer("served"),
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    let answer = client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").answer_to_head();
    assert_eq!(
        (answer.head.field("content-length"), answer.head.field("x-own")),
        (Some("6"), Some("1"))
    );
    assert_eq!(client.get("/").answer().text(), "served");
    // There are servers that send the body nevertheless: nothing is asked behind it.
    assert_eq!(backend.connections(), 2);
    backend.assert_unharmed();
}

#[test]
fn a_body_sent_in_answer_to_head_is_nobodys_answer() {
    let backend = Backend::start(|talk| match talk.request().head.method() {
        "HEAD" => talk.answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"),
        _ => talk.answer("served"),
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut client = seawall.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").answer_to_head();
    let mut other = seawall.client();
    assert_eq!(other.get("/").answer().text(), "served");
    assert_eq!(client.get("/").answer().text(), "served");
}

#[test]
fn a_body_that_comes_late_in_answer_to_head_is_nobodys_answer() {
    let backend = Backend::start(|talk| {
        if talk.request().head.method() != "HEAD" {
            return talk.answer("served");
        }
        talk.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")?;
        talk.hold("body")?;
        talk.write("poison")
    });
    let seawall = Seawall::with(&backend, "max_concurrency = 1");
    let [mut client, mut other] = [seawall.client(), seawall.client()];
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").answer_to_head();
    // Over the same connection, that body would be the beginning of its answer.
    assert_eq!(other.get("/").answer().text(), "served");
    backend.release("body");
}

#[test]
fn who_sends_a_body_in_answer_to_head_and_closes_is_heard_out() {
    let backend = Backend::start(|talk| {
        talk.write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n")?;
        Talk::pause();
        talk.close();
        talk.write("poison")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").answer_to_head();
    backend.wait_answered("/");
    backend.assert_unharmed();
}

#[test]
fn answers_that_have_no_body_have_none() {
    let backend = Backend::start(|talk| match &*talk.target() {
        "/204" => talk.write("HTTP/1.1 204 No Content\r\nX-Own: 1\r\n\r\n"),
        "/304" => talk.write(
            "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nContent-Length: 6\r\nX-Own: 1\r\n\r\n",
        ),
        _ => talk.answer("served"),
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    for status in [204, 304] {
        let answer = client.get(&format!("/{status}")).answer();
        assert_eq!((answer.status(), answer.head.field("x-own")), (status, Some("1")));
        assert_eq!(answer.head.field("transfer-encoding"), None);
        assert_eq!(client.get("/").answer().text(), "served");
    }
    assert_eq!(backend.wait_answered("/304").connection, 0);
    backend.assert_unharmed();
}

#[test]
fn interim_responses_of_the_backend_do_not_stand_for_the_final_one() {
    let backend = Backend::start(|talk| {
        talk.write("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")?;
        talk.write("HTTP/1.1 102 Processing\r\n\r\n")?;
        talk.answer("served")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    for _ in 0..2 {
        let answer = client.get("/").answer();
        assert_eq!((answer.status(), answer.text()), (200, "served".into()));
    }
    // An HTTP/1.0 client does not know that there is such a thing.
    let answer = seawall.client().send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").answer();
    assert_eq!((answer.status(), answer.interim), (200, vec![]));
    backend.assert_unharmed();
}

#[test]
fn whoever_expects_a_continue_gets_it_from_seawall() {
    let backend = Backend::start(|talk| {
        let body = talk.request().body;
        talk.answer(body)
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.next_head().status(), 100);
    assert_eq!(backend.connections(), 0);
    assert_eq!(client.send("hello").answer().text(), "hello");
    assert_eq!(backend.wait_answered("/").head.field("expect"), None);
    backend.assert_unharmed();
}

#[test]
fn whoever_will_be_refused_is_not_told_to_continue() {
    let backend = Backend::start(|talk| talk.answer("stored"));
    let seawall = Seawall::with(&backend, "[[route]]\npath = \"/\"\nmax_body = \"1KiB\"");
    let mut client = seawall.client();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.next_head().status(), 413);
    assert_eq!(backend.connections(), 0);
}

#[test]
fn max_forwards_is_counted_down_and_ends_here() {
    // RFC 9110 section 7.6.2.
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::before(&backend);
    for method in ["OPTIONS", "TRACE"] {
        let mut client = seawall.client();
        client
            .send(format!("{method} /here HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n"))
            .answer();
        assert_eq!(backend.connections(), 0, "{method}");
    }
    let mut client = seawall.client();
    client.send("OPTIONS /on HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n").answer();
    assert_eq!(backend.wait_answered("/on").head.field("max-forwards"), Some("4"));
    client.get_with("/get", "Max-Forwards: 0\r\n").answer();
    backend.wait_answered("/get");
}

#[test]
fn methods_and_statuses_that_nobody_knows_pass() {
    let backend = Backend::start(|talk| {
        let status = talk.request().head.field("x-status").unwrap().to_owned();
        talk.answer_with(&status, "", "served")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    for (method, status) in
        [("BREW", 299), ("PROPFIND", 207), ("M-SEARCH", 418), ("PATCH", 599), ("get", 999)]
    {
        client.send(format!(
            "{method} /{status} HTTP/1.1\r\nHost: a\r\nX-Status: {status} Odd\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text()), (status, "served".into()));
        assert_eq!(backend.wait_answered(&format!("/{status}")).head.method(), method);
    }
}

#[test]
fn options_for_the_server_as_a_whole_pass() {
    let backend = Backend::start(|talk| talk.answer_with("200 OK", "Allow: GET\r\n", ""));
    let seawall = Seawall::before(&backend);
    let answer = seawall.client().send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").answer();
    assert_eq!((answer.status(), answer.head.field("allow")), (200, Some("GET")));
    assert_eq!(backend.targets(), ["*"]);
}

#[test]
fn a_get_with_a_body_keeps_it() {
    let backend = Backend::start(|talk| {
        let body = talk.request().body;
        talk.answer(body)
    });
    let seawall = Seawall::before(&backend);
    assert_eq!(
        seawall.client().get_with("/", "Content-Length: 5\r\n").send("query").answer().text(),
        "query"
    );
    backend.assert_unharmed();
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let backend = Backend::start(|talk| {
        let target = talk.target();
        talk.answer(target)
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/one").post("/two", b"body").get("/three");
    for target in ["/one", "/two", "/three"] {
        assert_eq!(client.answer().text(), target);
    }
    assert_eq!(backend.targets(), ["/one", "/two", "/three"]);
    backend.assert_unharmed();
}

#[test]
fn an_http_1_0_client_is_answered_without_chunks() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk("ser")?;
        talk.chunk("ved")?;
        talk.last_chunk()
    });
    let seawall = Seawall::before(&backend);
    let answer = seawall.client().send("GET / HTTP/1.0\r\n\r\n").answer();
    assert_eq!((answer.text(), answer.head.field("transfer-encoding")), ("served".into(), None));
    let head = backend.wait_answered("/").head;
    assert!(head.start.ends_with("HTTP/1.1") && head.field("host").is_some(), "{head:?}");
}

#[test]
fn an_empty_line_behind_the_last_request_costs_no_byte_of_its_answer() {
    let body = pattern(40_000);
    let sent = body.clone();
    let backend = Backend::start(move |talk| talk.answer(&sent));
    let seawall = Seawall::before(&backend);
    // Most of the answer is still with our kernel when we are done.
    let mut client = Client::with_small_window(seawall.address);
    client.send("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(seawall.line_of("/last")["ended"], "delivered");
    client.send("\r\n");
    assert_eq!(client.answer().body, body);
    backend.assert_unharmed();
}
