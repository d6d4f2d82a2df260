//! Interim answers of the backend (RFC 9110 section 15.2; 103 Early Hints is RFC 8297) reach clients that
//! wait for the answer, before it, and nobody who cannot read them.

use std::io;

use crate::harness::{Backend, Seawall, Talk};

const HINTS: &str =
    "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n";

/// Hints at once, and the answer when the scene wants it.
fn hints_first(talk: &mut Talk) -> io::Result<()> {
    talk.write(HINTS)?;
    talk.hold("view")?;
    talk.answer("served")
}

/// Hints and answer in one piece.
fn at_once(talk: &mut Talk) -> io::Result<()> {
    let target = talk.target();
    let length = target.len();
    talk.write(format!("{HINTS}HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}"))
}

#[test]
fn hints_reach_the_client_while_the_view_still_works() {
    let backend = Backend::start(hints_first);
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    for _ in 0..2 {
        client.get("/");
        let hints = client.next_head();
        assert_eq!(hints.status(), 103);
        assert_eq!(hints.all("link"), ["</a.css>; rel=preload", "</b.js>; rel=preload"]);
        backend.wait_held("view", 1);
        backend.release_one("view");
        let answer = client.answer();
        assert_eq!(
            (answer.status(), answer.text(), answer.interim),
            (200, "served".into(), vec![])
        );
    }
    backend.assert_unharmed();
}

#[test]
fn hints_that_come_with_the_answer_stand_before_it() {
    let backend = Backend::start(at_once);
    let seawall = Seawall::before(&backend);
    let answer = seawall.client().get("/page").answer();
    assert_eq!((answer.interim.as_slice(), answer.text()), (&[103][..], "/page".into()));
}

#[test]
fn each_of_several_pipelined_requests_has_its_own_hints_or_none() {
    let backend = Backend::start(at_once);
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    let targets: Vec<_> = (0..20).map(|number| format!("/{number}")).collect();
    for target in &targets {
        client.get(target);
    }
    for target in &targets {
        // Never in the midst of another answer: that would not parse.
        let answer = client.answer();
        assert_eq!(answer.text(), *target);
        assert!(answer.interim.is_empty() || answer.interim == [103], "{answer:?}");
    }
    assert_eq!(backend.targets(), targets);
}

#[test]
fn fields_of_one_hop_and_of_framing_end_here() {
    let backend = Backend::start(|talk| {
        talk.write(
            "HTTP/1.1 102 Processing\r\nConnection: x-hop\r\nX-Hop: 1\r\nContent-Length: 6\r\n\
             Transfer-Encoding: chunked\r\nX-Own: 1\r\n\r\n",
        )?;
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    let interim = client.get("/").next_head();
    assert_eq!(interim.status(), 102);
    let names: Vec<_> = interim.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-own"]);
    backend.release("view");
    assert_eq!(client.answer().text(), "served");
}

#[test]
fn five_are_passed_on_and_no_more() {
    let backend = Backend::start(|talk| {
        for _ in 0..100 {
            talk.write(HINTS)?;
        }
        talk.answer("served")
    });
    let seawall = Seawall::before(&backend);
    let answer = seawall.client().get("/").answer();
    assert_eq!((answer.interim, answer.body), (vec![103; 5], b"served".to_vec()));
}

#[test]
fn a_continue_of_the_backend_is_not_for_the_client() {
    let backend = Backend::start(|talk| {
        talk.write("HTTP/1.1 100 Continue\r\n\r\n")?;
        talk.write(HINTS)?;
        talk.answer("stored")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    // This one is seawall's.
    assert_eq!(client.next_head().status(), 100);
    let answer = client.send("hello").answer();
    assert_eq!((answer.interim.as_slice(), answer.text()), (&[103][..], "stored".into()));
    assert_eq!(seawall.client().post("/", b"hello").answer().interim, [103]);
}

#[test]
fn hints_are_for_those_who_are_said_to_take_them() {
    let backend = Backend::start(at_once);
    let seawall = Seawall::with(
        &backend,
        "[[route]]\npath = \"/pages\"\nearly_hints = \"browsers\"\n\
         [[route]]\npath = \"/off\"\nearly_hints = \"off\"",
    );
    let browser = "Sec-Fetch-Mode: navigate\r\n";
    for (target, fields, interim) in [
        ("/", "", &[103][..]),
        ("/pages", "", &[]),
        ("/pages", browser, &[103]),
        ("/off", browser, &[]),
    ] {
        let answer = seawall.client().get_with(target, fields).answer();
        assert_eq!((answer.interim.as_slice(), answer.text()), (interim, target.into()));
    }
    // HTTP/1.0 has none at all.
    let answer = seawall.client().send("GET / HTTP/1.0\r\nHost: a\r\n\r\n").answer();
    assert_eq!((answer.interim.as_slice(), answer.text()), (&[][..], "/".into()));
}

#[test]
fn whoever_joins_gets_the_answer_alone() {
    let backend = Backend::start(hints_first);
    let seawall = Seawall::with(&backend, "[[route]]\njoin = true");
    let (mut one, mut other) = (seawall.client(), seawall.client());
    one.get("/");
    backend.wait_held("view", 1);
    other.get("/");
    seawall.settle();
    backend.release("view");
    for client in [&mut one, &mut other] {
        let answer = client.answer();
        assert_eq!((answer.interim, answer.body), (vec![], b"served".to_vec()));
    }
    assert_eq!(backend.targets(), ["/"]);
}

#[test]
fn hints_for_a_client_that_leaves_are_for_nobody() {
    let backend = Backend::start(hints_first);
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get("/left").next_head();
    seawall.leave(client, crate::harness::Leave::Reset);
    backend.release("view");
    assert_eq!(seawall.line_of("/left")["ended"], "discarded");
    backend.assert_unharmed();
}
