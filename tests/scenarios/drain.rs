//! Promise 12: drain waits for connections, exchanges, orphans and queue, within its bound.

use crate::harness::command::run_to_end;
use crate::harness::{Backend, Client, Leave, Seawall, pattern};

#[test]
fn a_running_exchange_is_finished_and_delivered() {
    for signal in ["TERM", "INT"] {
        let backend = Backend::held();
        let mut seawall = Seawall::before(&backend);
        let mut client = ask(&seawall, "/running");
        backend.wait_held("/running", 1);
        seawall.signal(signal);
        seawall.wait_not_listening();
        assert!(seawall.is_running());
        backend.release("/running");
        assert_eq!(client.answer().text(), "/running");
        assert_eq!(seawall.wait_exit(), Some(0), "SIG{signal}");
        assert_eq!(seawall.line_of("/running")["ended"], "delivered");
        backend.assert_unharmed();
    }
}

#[test]
fn an_orphan_is_finished() {
    let backend = Backend::held();
    let mut seawall = Seawall::before(&backend);
    let client = ask(&seawall, "/orphan");
    backend.wait_held("/orphan", 1);
    seawall.leave(client, Leave::Fin);
    seawall.signal("TERM");
    seawall.wait_not_listening();
    assert!(seawall.is_running());
    backend.release("/orphan");
    assert_eq!(seawall.wait_exit(), Some(0));
    assert_eq!(seawall.line_of("/orphan")["ended"], "discarded");
    backend.assert_unharmed();
}

#[test]
fn a_client_that_leaves_during_the_drain_does_not_end_it() {
    let backend = Backend::held();
    let mut seawall = Seawall::before(&backend);
    let client = ask(&seawall, "/orphan");
    backend.wait_held("/orphan", 1);
    seawall.signal("TERM");
    seawall.wait_not_listening();
    client.leave(Leave::Reset);
    backend.release("/orphan");
    assert_eq!(seawall.wait_exit(), Some(0));
    backend.assert_unharmed();
}

#[test]
fn the_queue_is_served() {
    let backend = Backend::held();
    let mut seawall = Seawall::with(&backend, "max_concurrency = 1");
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let mut queued = [ask(&seawall, "/second"), ask(&seawall, "/third")];
    seawall.settle();
    seawall.signal("TERM");
    seawall.wait_not_listening();
    for gate in ["/running", "/second", "/third"] {
        backend.release(gate);
    }
    assert_eq!(running.answer().text(), "/running");
    let mut answers = queued.iter_mut().map(|client| client.answer().text());
    assert_eq!(
        (answers.next().unwrap(), answers.next().unwrap()),
        ("/second".into(), "/third".into())
    );
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn an_upload_under_way_is_received_and_answered() {
    let backend = Backend::start(|talk| {
        let body = talk.request().body;
        talk.answer(body)
    });
    let mut seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst");
    seawall.settle();
    seawall.signal("TERM");
    seawall.wait_not_listening();
    let answer = client.send("after").answer();
    assert_eq!(answer.text(), "firstafter");
    assert!(answer.head.says_close(), "{:?}", answer.head);
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn a_slow_reader_gets_the_rest_of_its_answer() {
    let body = crate::harness::pattern(5_000_000);
    let sent = body.clone();
    let backend = Backend::start(move |talk| talk.answer(&sent));
    let mut seawall = Seawall::before(&backend);
    let mut client = Client::with_small_window(seawall.address);
    client.get("/big");
    backend.wait_answered("/big");
    seawall.signal("TERM");
    seawall.wait_not_listening();
    crate::harness::assert_same_bytes(&client.answer().body, &body);
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn idle_connections_do_not_keep_it() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let mut seawall = Seawall::before(&backend);
    let mut kept = seawall.client();
    kept.get("/").answer();
    let mut silent = seawall.client();
    seawall.settle();
    seawall.signal("TERM");
    assert!(kept.wait_closed().is_empty());
    assert!(silent.wait_closed().is_empty());
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn what_is_not_done_at_the_bound_is_cut_and_said_so() {
    let backend = Backend::held();
    let mut seawall = Seawall::with(&backend, "max_concurrency = 2\n[drain]\ntimeout = \"300ms\"");
    let mut stays = ask(&seawall, "/stays");
    backend.wait_held("/stays", 1);
    let leaves = ask(&seawall, "/leaves");
    backend.wait_held("/leaves", 1);
    seawall.leave(leaves, Leave::Fin);
    let _queued = ask(&seawall, "/queued");
    seawall.settle();
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(3));
    assert!(
        stays.outcome().map_or(true, |answer| answer.status() >= 500),
        "looks like the backend's answer"
    );
    // Who is cut has not left.
    for (path, ended, left) in [
        ("/stays", "cut", None),
        ("/leaves", "cut", Some("waiting")),
        ("/queued", "abandoned", None),
    ] {
        let line = seawall.line_of(path);
        assert_eq!((line["ended"].as_str(), line["left"].as_str()), (Some(ended), left), "{line}");
        assert_eq!(line["reason"], "drain.timeout reached", "{line}");
        assert_eq!(line["backend_ms"].as_f64().unwrap() > 0.0, ended == "cut", "{line}");
    }
    assert_eq!(backend.exchanges().len(), 2);
}

#[test]
fn a_second_signal_ends_at_once() {
    let backend = Backend::held();
    let mut seawall = Seawall::with(&backend, "[drain]\ntimeout = \"1h\"");
    let _client = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    seawall.signal("TERM");
    seawall.wait_not_listening();
    assert!(seawall.is_running());
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(3));
    let line = seawall.line_of("/running");
    assert_eq!((&line["ended"], &line["reason"]), (&"cut".into(), &"a second signal came".into()));
}

#[test]
fn who_is_cut_in_the_middle_of_its_answer_has_not_left() {
    let backend = Backend::start(|talk| talk.answer(pattern(30_000_000)));
    let mut seawall = Seawall::with(&backend, "[drain]\ntimeout = \"300ms\"");
    let mut reads = seawall.client();
    reads.get("/large").head();
    backend.wait_answered("/large");
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(3));
    let line = seawall.line_of("/large");
    assert_eq!((line["ended"].as_str(), line["left"].as_str()), (Some("cut"), None), "{line}");
    assert_eq!(line["reason"], "drain.timeout reached");
    backend.assert_unharmed();
}

#[test]
fn an_operator_orders_it_as_a_signal_does() {
    let backend = Backend::held();
    let mut seawall = Seawall::with(&backend, "[admin]\nlisten = \"127.0.0.1:0\"\n");
    let mut client = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let admin = seawall.admin().to_string();
    let order = || run_to_end(None, |command| command.args(["drain", "--admin", &admin]));
    let said = order();
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "draining\n", ""));
    seawall.wait_not_listening();
    assert_eq!(order().code, Some(0), "once more is no more");
    // Who ordered it is followed by who ends containers, and his is the first signal.
    seawall.signal("TERM");
    seawall.wait_for_diagnostic("draining already");
    backend.release("/running");
    assert_eq!(client.answer().text(), "/running");
    assert_eq!(seawall.wait_exit(), Some(0));
    assert_eq!(order().code, Some(1), "nobody is there");
    backend.assert_unharmed();
}

#[test]
fn while_newcomers_are_still_taken_every_answer_says_that_it_is_the_last() {
    let backend = Backend::held();
    let mut seawall = Seawall::with(&backend, "[drain]\ndelay = \"1h\"\n");
    backend.release("/kept");
    let mut kept = seawall.client();
    assert!(!kept.get("/kept").answer().head.says_close());
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    seawall.signal("TERM");
    seawall.wait_for_diagnostic("draining");
    backend.release("/running");
    for client in [&mut running, kept.get("/kept"), seawall.client().get("/kept")] {
        let answer = client.answer();
        assert!(answer.head.says_close(), "{:?}", answer.head);
        assert!(client.wait_closed().is_empty());
    }
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
    backend.assert_unharmed();
}

#[test]
fn with_nothing_to_do_it_ends_at_once() {
    for kind in ["per-core", "work-stealing"] {
        let backend = Backend::held();
        let mut seawall = Seawall::with(&backend, &format!("[runtime]\nkind = \"{kind}\""));
        seawall.signal("TERM");
        assert_eq!(seawall.wait_exit(), Some(0), "{kind}");
    }
}

/// Holds every request at a gate of its own name.
fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}

#[test]
fn half_a_head_does_not_hold_the_drain_up() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let mut seawall = Seawall::before(&backend);
    let mut first = seawall.client();
    first.send("GET / HTTP/1.1\r\nHost");
    let mut second = seawall.client();
    assert_eq!(second.get("/").answer().text(), "served");
    second.send("GET /next HTTP/1.1\r\nHost");
    seawall.settle();
    seawall.signal("TERM");
    // client.head_timeout is 15 s, and a scene is stuck after 10.
    assert_eq!(seawall.wait_exit(), Some(0));
    assert_eq!(first.answer().status(), 408);
}
