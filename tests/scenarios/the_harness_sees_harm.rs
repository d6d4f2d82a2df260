//! The scripted backend without seawall before it: each harm that no scene may find behind seawall
//! is found here.

use crate::harness::{Backend, Client, Harm, Leave, pattern};

#[test]
fn a_client_that_closes_while_waiting_harms_a_bare_backend() {
    for (leave, harm) in [(Leave::Fin, Harm::EarlyFin), (Leave::Reset, Harm::Reset)] {
        let backend = Backend::start(|talk| {
            talk.hold("view")?;
            talk.answer("late")
        });
        let mut client = Client::connect(backend.address);
        client.get("/");
        backend.wait_held("view", 1);
        client.leave(leave);
        backend.release("view");
        assert!(backend.wait_harmed("/").contains(&harm), "{leave:?}");
    }
}

#[test]
fn a_client_that_leaves_in_mid_response_breaks_the_pipe_of_a_bare_backend() {
    for leave in Leave::BOTH {
        let backend = Backend::start(|talk| {
            talk.write("HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n")?;
            (0..20).try_for_each(|_| talk.write(pattern(1_000_000)))
        });
        let mut client = Client::connect(backend.address);
        client.get("/").head();
        client.leave(leave);
        let harm = backend.wait_harmed("/");
        assert!(
            harm.iter().any(|harm| [Harm::BrokenPipe, Harm::Reset, Harm::EarlyFin].contains(harm)),
            "{harm:?}"
        );
    }
}

#[test]
fn a_client_that_leaves_with_an_answer_unread_is_noticed_after_it() {
    let backend = Backend::start(|talk| talk.answer("nobody reads this"));
    let mut client = Client::connect(backend.address);
    client.get("/");
    backend.wait_answered("/");
    client.leave(Leave::Reset);
    assert_eq!(backend.wait_harmed("/"), [Harm::Reset]);
}

#[test]
fn a_client_that_leaves_in_mid_upload_hands_a_bare_backend_half_a_request() {
    let backend = Backend::start(|talk| talk.answer("thanks"));
    let mut client = Client::connect(backend.address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    client.leave(Leave::Fin);
    assert_eq!(backend.wait_harmed("/"), [Harm::Truncated]);
}

#[test]
fn what_smugglers_send_is_called_malformed() {
    for shape in [
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    ] {
        let backend = Backend::start(|talk| talk.answer("taken"));
        Client::connect(backend.address).send(shape);
        let harm = backend.wait_harmed("/");
        assert!(matches!(harm[..], [Harm::Malformed(_)]), "{harm:?} for {shape:?}");
    }
}

#[test]
fn connections_are_counted_as_long_as_neither_side_has_ended_them() {
    let backend = Backend::start(|talk| talk.answer("here"));
    for _ in 0..3 {
        let mut client = Client::connect(backend.address);
        client.get("/").answer();
        client.leave(Leave::Fin);
    }
    assert_eq!((backend.connections(), backend.most_open_at_once()), (3, 1));
    let mut both = [Client::connect(backend.address), Client::connect(backend.address)];
    for client in &mut both {
        client.get("/").answer();
    }
    assert_eq!((backend.connections(), backend.most_open_at_once()), (5, 2));
}

#[test]
fn a_one_thread_backend_is_blocked_by_a_silent_connection() {
    let backend = Backend::one_thread(|talk| talk.answer("in turn"));
    let silent = Client::connect(backend.address);
    let mut waiting = Client::connect(backend.address);
    waiting.get("/");
    assert!(waiting.hears_nothing());
    silent.leave(Leave::Fin);
    assert_eq!(waiting.answer().text(), "in turn");
}

#[test]
fn a_patient_client_harms_nobody() {
    let backend = Backend::start(|talk| talk.answer(pattern(300_000)));
    let mut client = Client::connect(backend.address);
    for _ in 0..3 {
        assert_eq!(client.get("/").answer().body, pattern(300_000));
    }
    client.post("/upload", &pattern(300_000)).answer();
    backend.assert_unharmed();
    assert_eq!(backend.wait_answered("/upload").body, pattern(300_000));
}
