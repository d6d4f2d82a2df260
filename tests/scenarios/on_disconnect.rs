//! What becomes of an exchange whose client leaves is the route's to say, and the application's for
//! one answer.

use std::io;

use crate::harness::{Backend, Client, Leave, Seawall, Talk, until};

#[test]
fn a_route_that_cancels_ends_the_exchange_with_its_client() {
    for leave in Leave::BOTH {
        let backend = Backend::start(|talk| match &*talk.target() {
            "/search?q=a" => talk.wait_gone(),
            _ => talk.answer("served"),
        });
        let seawall = Seawall::with(
            &backend,
            "max_concurrency = 1\n[[route]]\npath = \"/search\"\non_disconnect = \"cancel\"",
        );
        let client = ask(&seawall, "/search?q=a");
        until("it has reached the backend", || backend.targets().pop());
        let mut next = ask(&seawall, "/search?q=ab");
        client.leave(leave);
        assert_eq!(next.answer().text(), "served");
        let line = seawall.wait_for_log(|line| line["ended"] == "cut");
        assert_eq!(line["left"], "waiting", "{leave:?}: {line}");
        let reason = line["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("on_disconnect"), "{line}");
    }
}

#[test]
fn a_route_that_cancels_does_so_in_mid_response_too() {
    for leave in Leave::BOTH {
        let backend = Backend::start(|talk| streams_until_gone(talk, ""));
        let seawall =
            Seawall::with(&backend, "[[route]]\npath = \"/\"\non_disconnect = \"cancel\"");
        let mut client = ask(&seawall, "/tokens");
        client.head();
        client.chunk();
        client.leave(leave);
        let line = seawall.line_of("/tokens");
        assert_eq!((&line["ended"], &line["left"]), (&"cut".into(), &"answering".into()), "{line}");
        assert!(!backend.wait_harmed("/tokens").is_empty());
    }
}

#[test]
fn a_route_that_cancels_serves_patient_and_half_closed_clients_as_any_other() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::with(&backend, "[[route]]\npath = \"/\"\non_disconnect = \"cancel\"");
    let mut patient = ask(&seawall, "/patient");
    let mut half_closed = ask(&seawall, "/half");
    half_closed.half_close();
    backend.wait_held("view", 2);
    seawall.settle();
    backend.release("view");
    assert_eq!(
        (patient.answer().text(), half_closed.answer().text()),
        ("served".into(), "served".into())
    );
    backend.assert_unharmed();
}

#[test]
fn a_route_that_finishes_for_a_while_finishes_what_is_done_within_it() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall =
        Seawall::with(&backend, "[[route]]\npath = \"/\"\non_disconnect = { finish_for = \"1h\" }");
    let client = ask(&seawall, "/");
    backend.wait_held("view", 1);
    seawall.leave(client, Leave::Fin);
    backend.release("view");
    assert_eq!(seawall.line_of("/")["ended"], "discarded");
    backend.assert_unharmed();
}

#[test]
fn a_route_that_finishes_for_a_while_cuts_what_takes_longer() {
    let backend = Backend::start(hangs);
    let seawall = Seawall::with(
        &backend,
        "[[route]]\npath = \"/\"\non_disconnect = { finish_for = \"300ms\" }",
    );
    let client = ask(&seawall, "/");
    seawall.settle();
    client.leave(Leave::Fin);
    let line = seawall.line_of("/");
    assert_eq!((&line["ended"], &line["left"]), (&"cut".into(), &"waiting".into()), "{line}");
    assert!(line["backend_ms"].as_f64().unwrap() >= 300.0, "{line}");
}

#[test]
fn the_longest_prefix_and_the_method_choose_the_route() {
    let backend = Backend::start(|talk| {
        if talk.request().head.field("x-cancelled").is_some() {
            return talk.wait_gone();
        }
        talk.hold("finish")?;
        talk.answer("served")
    });
    let seawall = Seawall::with(
        &backend,
        r#"
        [[route]]
        path = "/a"
        on_disconnect = "cancel"
        [[route]]
        path = "/a/kept"
        [[route]]
        path = "/m"
        methods = ["GET"]
        on_disconnect = "cancel"
        "#,
    );
    let cases = [
        ("GET", "/", false),
        ("GET", "/a", true),
        ("GET", "/a/b", true),
        ("GET", "/a/kept", false),
        ("GET", "/a/kept/b?c", false),
        ("GET", "/m", true),
        ("DELETE", "/m", false),
    ];
    let mut finishing = 0;
    for (method, target, cancelled) in cases {
        let mut client = seawall.client();
        let mark = if cancelled { "X-Cancelled: 1\r\n" } else { "" };
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{mark}\r\n"));
        if !cancelled {
            finishing += 1;
            backend.wait_held("finish", finishing);
        }
        seawall.leave(client, Leave::Fin);
    }
    seawall.wait_for_lines(3, |line| line["ended"] == "cut");
    backend.release("finish");
    let finished = seawall.wait_for_lines(4, |line| line["ended"] == "discarded");
    let mut paths: Vec<_> = finished.iter().map(|line| line["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths.len(), 4, "{paths:?}");
    assert!(
        paths[..3] == ["/", "/a/kept", "/a/kept/b?c"]
            || paths[..3] == ["/", "/a/kept", "/a/kept/b"],
        "{paths:?}"
    );
    assert_eq!(paths[3], "/m");
}

#[test]
fn the_application_may_have_one_answer_cancelled() {
    let backend =
        Backend::start(|talk| streams_until_gone(talk, "Seawall-On-Disconnect: cancel\r\n"));
    let seawall = Seawall::before(&backend);
    let mut client = ask(&seawall, "/tokens");
    client.head();
    client.leave(Leave::Fin);
    assert_eq!(seawall.line_of("/tokens")["ended"], "cut");
}

#[test]
fn the_application_may_have_one_answer_finished_for_a_while() {
    let backend = Backend::start(|talk| {
        streams_until_gone(talk, "Seawall-On-Disconnect: finish_for=300ms\r\n")
    });
    let seawall = Seawall::before(&backend);
    let mut client = ask(&seawall, "/tokens");
    client.head();
    client.leave(Leave::Fin);
    let line = seawall.line_of("/tokens");
    assert_eq!(line["ended"], "cut");
    assert!(line["backend_ms"].as_f64().unwrap() >= 300.0, "{line}");
}

#[test]
fn the_application_may_have_one_answer_finished_although_its_route_cancels_and_its_type_is_endless()
{
    let backend = Backend::start(|talk| {
        if talk.target() == "/cancelled" {
            return streams_until_gone(talk, "");
        }
        talk.chunked_head("Content-Type: text/event-stream\r\nSeawall-On-Disconnect: finish\r\n")?;
        talk.chunk("data: 1\n\n")?;
        talk.hold("rest")?;
        talk.chunk("data: 2\n\n")?;
        talk.last_chunk()
    });
    let seawall = Seawall::with(
        &backend,
        "endless = \"100ms\"\n[[route]]\npath = \"/\"\non_disconnect = \"cancel\"",
    );
    let mut client = ask(&seawall, "/report");
    client.head();
    seawall.leave(client, Leave::Reset);
    // One that nobody has spoken for is cut meanwhile.
    let mut other = ask(&seawall, "/cancelled");
    other.head();
    other.leave(Leave::Fin);
    assert_eq!(seawall.line_of("/cancelled")["ended"], "cut");
    backend.release("rest");
    assert_eq!(seawall.line_of("/report")["ended"], "discarded");
    assert!(backend.wait_answered("/report").harm.is_empty());
}

#[test]
fn what_the_application_says_to_seawall_is_not_passed_on() {
    let backend = Backend::start(|talk| {
        let fields =
            format!("Seawall-On-Disconnect: {}\r\nX-Other: stays\r\n", &talk.target()[1..]);
        talk.answer_with("200 OK", &fields, "served")
    });
    let seawall = Seawall::before(&backend);
    for value in ["finish", "cancel", "finish_for=30s", "nonsense"] {
        let answer = ask(&seawall, &format!("/{value}")).answer();
        assert_eq!(
            (answer.status(), answer.head.field("seawall-on-disconnect")),
            (200, None),
            "{value}"
        );
        assert_eq!(answer.head.field("x-other"), Some("stays"));
    }
}

#[test]
fn what_a_client_says_in_that_field_changes_nothing() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.get_with("/", "Seawall-On-Disconnect: cancel\r\n");
    backend.wait_held("view", 1);
    seawall.leave(client, Leave::Fin);
    backend.release("view");
    assert_eq!(seawall.line_of("/")["ended"], "discarded");
    backend.assert_unharmed();
}

fn streams_until_gone(talk: &mut Talk, fields: &str) -> io::Result<()> {
    talk.chunked_head(fields)?;
    loop {
        talk.chunk("token ")?;
        Talk::pause();
    }
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}

/// Works on until somebody takes its connection away.
fn hangs(talk: &mut Talk) -> io::Result<()> {
    talk.wait_gone()
}
