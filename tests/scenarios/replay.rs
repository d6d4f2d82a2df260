//! A request with an `Idempotency-Key` runs once, however often its client sends it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use serde_json::Value;

use crate::harness::{Answer, Backend, Client, Framing, Leave, Seawall, Talk, pattern};

const ON: &str = "[[route]]\nreplay = true";

#[test]
fn a_retry_after_the_end_gets_the_kept_answer() {
    for method in ["POST", "PATCH"] {
        let backend = counts();
        let seawall = Seawall::with(&backend, ON);
        let send = |id: &str| {
            let mut client = seawall.client();
            let fields = format!("Idempotency-Key: \"k\"\r\nX-Request-Id: {id}\r\n");
            client.send(request(method, "/orders", &fields, "one of each"));
            client.answer()
        };
        let first = send("one");
        assert_eq!((first.status(), first.text()), (201, "order 0".into()));
        assert_eq!(first.head.field("idempotency-replayed"), None);
        let again = send("two");
        assert_replayed(&again, 201, "order 0");
        assert_eq!(again.head.field("set-cookie"), Some("order=0"));
        assert_eq!(again.head.field("x-request-id"), Some("two"));
        assert_eq!(again.head.field("content-length"), Some("7"));
        assert_eq!(backend.exchanges().len(), 1);
        // The backend is told of the key, too.
        assert_eq!(backend.exchanges()[0].head.field("idempotency-key"), Some("\"k\""));
        let line = seawall.wait_for_log(|line| line["id"] == "two");
        assert_eq!(
            (&line["shared"], &line["ended"], &line["status"]),
            (&"replay".into(), &"delivered".into(), &201.into()),
            "{line}"
        );
        assert_eq!((&line["backend_status"], &line["delivered_bytes"]), (&Value::Null, &7.into()));
    }
}

#[test]
fn the_result_of_a_client_that_left_is_kept_just_the_same() {
    for leave in Leave::BOTH {
        let backend = held();
        let seawall = Seawall::with(&backend, ON);
        let client = post(&seawall, "/orders", "k", "one");
        backend.wait_held("view", 1);
        seawall.leave(client, leave);
        backend.release("view");
        assert_eq!(seawall.line_of("/orders")["ended"], "discarded");
        assert_replayed(&post(&seawall, "/orders", "k", "one").answer(), 200, "done");
        assert_eq!(backend.exchanges().len(), 1);
        backend.assert_unharmed();
    }
}

#[test]
fn a_retry_while_it_runs_is_attached_to_it() {
    for first_leaves in [false, true] {
        let backend = held();
        let seawall = Seawall::with(&backend, ON);
        let mut first = post(&seawall, "/orders", "k", "one");
        backend.wait_held("view", 1);
        let mut retry = if first_leaves {
            seawall.leave(first, Leave::Reset);
            post(&seawall, "/orders", "k", "one")
        } else {
            let retry = post(&seawall, "/orders", "k", "one");
            seawall.settle();
            backend.release("view");
            assert_eq!(first.answer().text(), "done");
            retry
        };
        seawall.settle();
        backend.release("view");
        let answer = retry.answer();
        assert_replayed(&answer, 200, "done");
        assert_eq!(answer.head.field("set-cookie"), Some("order=1"));
        assert_eq!(backend.exchanges().len(), 1);
    }
}

#[test]
fn a_retry_in_mid_answer_gets_it_from_its_first_byte() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk("first ")?;
        talk.hold("half")?;
        talk.chunk("second")?;
        talk.last_chunk()
    });
    let seawall = Seawall::with(&backend, ON);
    let mut first = post(&seawall, "/orders", "k", "one");
    first.head();
    first.chunk();
    backend.wait_held("half", 1);
    seawall.leave(first, Leave::Reset);
    let mut retry = post(&seawall, "/orders", "k", "one");
    retry.head();
    assert_eq!(retry.chunk(), b"first ");
    backend.release("half");
    assert_eq!(retry.rest(Framing::Chunked).unwrap(), b"second");
    assert_replayed(&post(&seawall, "/orders", "k", "one").answer(), 200, "first second");
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn a_retry_while_it_runs_is_a_conflict_where_that_is_configured() {
    let backend = held();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[replay]\nwhile_running = \"conflict\""));
    let mut first = post(&seawall, "/orders", "k", "one");
    backend.wait_held("view", 1);
    assert_problem(&post(&seawall, "/orders", "k", "one").answer(), 409);
    backend.release("view");
    assert_eq!(first.answer().text(), "done");
    assert_replayed(&post(&seawall, "/orders", "k", "one").answer(), 200, "done");
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn the_same_key_with_another_payload_is_refused() {
    let backend = held();
    let seawall = Seawall::with(&backend, ON);
    let mut first = post(&seawall, "/orders", "k", "one");
    backend.wait_held("view", 1);
    for while_running in [true, false] {
        assert_problem(&post(&seawall, "/orders", "k", "two").answer(), 422);
        assert_problem(&post(&seawall, "/others", "k", "one").answer(), 422);
        let mut patch = seawall.client();
        patch.send(request("PATCH", "/orders", "Idempotency-Key: k\r\n", "one"));
        assert_problem(&patch.answer(), 422);
        if while_running {
            backend.release("view");
            first.answer();
        }
    }
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn a_malformed_key_is_refused_before_the_backend_hears_of_it() {
    let backend = counts();
    let seawall = Seawall::with(&backend, ON);
    let long = "x".repeat(256);
    for field in [
        "Idempotency-Key:\r\n",
        "Idempotency-Key: \"\"\r\n",
        "Idempotency-Key: \"open\r\n",
        "Idempotency-Key: two words\r\n",
        "Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
        &format!("Idempotency-Key: {long}\r\n"),
    ] {
        let mut client = seawall.client();
        client.send(request("POST", "/orders", field, "one"));
        assert_problem(&client.answer(), 400);
    }
    assert_eq!(backend.exchanges().len(), 0);
}

#[test]
fn a_key_as_a_string_and_as_a_bare_word_is_the_same() {
    let backend = counts();
    let seawall = Seawall::with(&backend, ON);
    post(&seawall, "/orders", "\"8e03978e-40d5\"", "one").answer();
    let again = post(&seawall, "/orders", "8e03978e-40d5", "one").answer();
    assert_replayed(&again, 201, "order 0");
}

#[test]
fn a_key_belongs_to_its_caller() {
    let backend = counts();
    let seawall = Seawall::with(&backend, ON);
    let send = |mut client: Client, who: &str| {
        let who = if who.is_empty() { String::new() } else { format!("Authorization: {who}\r\n") };
        client.send(request("POST", "/", &format!("Idempotency-Key: k\r\n{who}"), "one"));
        client.answer().text()
    };
    let far = || Client::from_address([127, 0, 0, 2].into(), seawall.address);
    assert_eq!(send(seawall.client(), ""), "order 0");
    assert_eq!(send(far(), ""), "order 1");
    assert_eq!(send(seawall.client(), "Bearer ann"), "order 2");
    assert_eq!(send(far(), "Bearer ann"), "order 2");
    assert_eq!(send(far(), "Bearer bob"), "order 3");
    assert_eq!(send(seawall.client(), ""), "order 0");
    assert_eq!(backend.exchanges().len(), 4);
}

#[test]
fn where_it_is_off_or_not_asked_for_everything_runs() {
    let backend = counts();
    for settings in ["", ON] {
        let seawall = Seawall::with(&backend, settings);
        backend.forget();
        let key = if settings.is_empty() { "Idempotency-Key: k\r\n" } else { "" };
        for _ in 0..2 {
            let mut client = seawall.client();
            client.send(request("POST", "/", key, "one"));
            assert_eq!(client.answer().head.field("idempotency-replayed"), None);
        }
        assert_eq!(backend.exchanges().len(), 2);
        // Other methods have no use for it.
        for _ in 0..2 {
            let mut client = seawall.client();
            client.send(request("PUT", "/", "Idempotency-Key: k\r\n", "one")).answer();
        }
        assert_eq!(backend.exchanges().len(), 4);
    }
}

#[test]
fn errors_of_the_application_are_results_too() {
    let runs = AtomicU64::new(0);
    let backend = Backend::start(move |talk| {
        let number = runs.fetch_add(1, SeqCst);
        talk.answer_with("500 Internal Server Error", "", format!("failure {number}"))
    });
    let seawall = Seawall::with(&backend, ON);
    assert_eq!(post(&seawall, "/", "k", "one").answer().status(), 500);
    assert_replayed(&post(&seawall, "/", "k", "one").answer(), 500, "failure 0");
}

#[test]
fn what_failed_is_not_kept() {
    let backend = Backend::start(|talk| {
        match &*talk.target() {
            "/no-answer" => {}
            _ => talk.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?,
        }
        talk.reset();
        Ok(())
    });
    let seawall = Seawall::with(&backend, ON);
    for target in ["/no-answer", "/half"] {
        for runs in 1..=3 {
            // At once: whoever sees that it failed may send it again.
            let _ = post(&seawall, target, &target[1..], "one").outcome();
            let ran = backend.targets().iter().filter(|other| *other == target).count();
            assert_eq!(ran, runs, "{target}");
        }
    }
}

#[test]
fn what_was_refused_or_abandoned_is_not_kept() {
    let backend = held();
    let seawall = Seawall::with(
        &backend,
        "max_concurrency = 1\nqueue = { max = 1 }\n[[route]]\nreplay = true",
    );
    let mut running = seawall.client();
    running.get("/running");
    backend.wait_held("view", 1);
    let queued = post(&seawall, "/queued", "queued", "one");
    seawall.settle();
    assert_eq!(post(&seawall, "/refused", "refused", "one").answer().status(), 503);
    seawall.leave(queued, Leave::Fin);
    assert_eq!(seawall.line_of("/queued")["ended"], "abandoned");
    backend.release("view");
    running.answer();
    for key in ["queued", "refused"] {
        let answer = post(&seawall, &format!("/{key}"), key, "one").answer();
        assert_eq!((answer.status(), answer.head.field("idempotency-replayed")), (200, None));
    }
}

#[test]
fn an_orphan_that_was_cut_is_not_kept() {
    let backend = Backend::start(|talk| match talk.target().as_str() {
        "/cut" if talk.turn == 0 && talk.request().connection == 0 => talk.wait_gone(),
        _ => talk.answer("done"),
    });
    let settings = format!("orphan = {{ max_duration = \"50ms\" }}\n{ON}");
    let seawall = Seawall::with(&backend, &settings);
    let client = post(&seawall, "/cut", "k", "one");
    crate::harness::until("sent", || (backend.exchanges().len() == 1).then_some(()));
    seawall.leave(client, Leave::Fin);
    assert_eq!(seawall.line_of("/cut")["ended"], "cut");
    let again = post(&seawall, "/cut", "k", "one").answer();
    assert_eq!((again.text(), again.head.field("idempotency-replayed")), ("done".into(), None));
}

#[test]
fn an_answer_longer_than_the_bound_is_not_kept() {
    let backend = Backend::start(|talk| {
        talk.chunked_head("")?;
        talk.chunk(pattern(1_001))?;
        talk.hold("half")?;
        talk.last_chunk()
    });
    let seawall = Seawall::with(&backend, &format!("{ON}\n[replay]\nmax_body = 1000"));
    let mut first = post(&seawall, "/", "k", "one");
    first.head();
    first.chunk();
    // It runs, and its beginning is gone: neither attached nor run twice.
    assert_problem(&post(&seawall, "/", "k", "one").answer(), 409);
    backend.release("half");
    first.rest(Framing::Chunked).unwrap();
    let again = post(&seawall, "/", "k", "one").answer();
    assert_eq!((again.body.len(), again.head.field("idempotency-replayed")), (1_001, None));
    assert_eq!(backend.exchanges().len(), 2);
}

#[test]
fn the_oldest_is_forgotten_first_and_everything_in_time() {
    let backend = counts();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[replay]\nentries = 2"));
    let send = |key: &str| post(&seawall, "/", key, "one").answer().text();
    for (key, order) in [("a", "order 0"), ("b", "order 1"), ("a", "order 0"), ("c", "order 2")] {
        assert_eq!(send(key), order);
    }
    assert_eq!(send("a"), "order 3");
    assert_eq!(send("c"), "order 2");

    let backend = counts();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[replay]\nkeep = \"200ms\""));
    post(&seawall, "/", "k", "one").answer();
    crate::harness::until("it is forgotten", || {
        (post(&seawall, "/", "k", "one").answer().text() == "order 1").then_some(())
    });
}

#[test]
fn of_many_equal_requests_at_once_one_runs() {
    let backend = held();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[runtime]\nworkers = 2"));
    let mut clients: Vec<Client> = (0..40).map(|_| post(&seawall, "/orders", "k", "one")).collect();
    backend.wait_held("view", 1);
    backend.release("view");
    for client in &mut clients {
        assert_eq!(client.answer().text(), "done");
    }
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn a_long_upload_is_compared_to_its_last_byte() {
    let backend = counts();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[spool]\nmemory = \"1KiB\""));
    let mut body = "x".repeat(100_000);
    assert_eq!(post(&seawall, "/", "k", &body).answer().text(), "order 0");
    assert_replayed(&post(&seawall, "/", "k", &body).answer(), 201, "order 0");
    body.replace_range(99_999.., "y");
    assert_problem(&post(&seawall, "/", "k", &body).answer(), 422);
}

#[test]
fn client_wait_lets_the_client_go_and_keeps_the_result() {
    let backend = held();
    let seawall = Seawall::with(&backend, &format!("{ON}\n[client]\nwait = \"300ms\""));
    assert_eq!(post(&seawall, "/", "k", "one").answer().status(), 504);
    backend.wait_held("view", 1);
    backend.release("view");
    seawall.wait_for_log(|line| line["ended"] == "discarded");
    assert_replayed(&post(&seawall, "/", "k", "one").answer(), 200, "done");
    assert_eq!(backend.exchanges().len(), 1);
}

#[test]
fn the_password_of_redis_is_not_shown() {
    let toml = "backend = \"http://127.0.0.1:5000\"\n[replay]\nredis = \"redis://me:hunter2@h:1\"";
    let said = crate::harness::command::run_to_end(Some(toml), |command| command.arg("check"));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.all().contains("redis://***@h:1"), "{said:?}");
    assert!(!said.all().contains("hunter2"), "{said:?}");
    let toml = toml.replace("@h:1", "@h:1/x");
    let said = crate::harness::command::run_to_end(Some(&toml), |command| command.arg("check"));
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.all().contains("proxy.toml:3: replay.redis: "), "{said:?}");
    assert!(!said.all().contains("hunter2"), "{said:?}");
}

#[track_caller]
pub(crate) fn assert_replayed(answer: &Answer, status: u16, text: &str) {
    assert_eq!((answer.status(), answer.text()), (status, text.into()));
    assert_eq!(answer.head.field("idempotency-replayed"), Some("true"));
}

#[track_caller]
fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status(), status, "{}", answer.text());
    assert_eq!(answer.head.field("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["status"], status);
}

pub(crate) fn post(seawall: &Seawall, target: &str, key: &str, body: &str) -> Client {
    let mut client = seawall.client();
    client.send(request("POST", target, &format!("Idempotency-Key: {key}\r\n"), body));
    client
}

fn request(method: &str, target: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Gives each order a number of its own.
fn counts() -> Backend {
    let orders = AtomicU64::new(0);
    Backend::start(move |talk| {
        let number = orders.fetch_add(1, SeqCst);
        let cookie = format!("Set-Cookie: order={number}\r\n");
        talk.answer_with("201 Created", &cookie, format!("order {number}"))
    })
}

fn held() -> Backend {
    Backend::start(answers_when_released)
}

fn answers_when_released(talk: &mut Talk) -> io::Result<()> {
    talk.hold("view")?;
    // A retry is of the same caller, so this is his as well.
    talk.answer_with("200 OK", "Set-Cookie: order=1\r\n", "done")
}
