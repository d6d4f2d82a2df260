//! A request with an `Idempotency-Key` runs once, however often its client sends it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use serde_json::Value;

use crate::harness::{Answer, Backend, Client, Framing, Leave, Seawall, Talk};

pub(crate) const ON: &str = "[[route]]\nreplay = true";

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
pub(crate) fn assert_problem(answer: &Answer, status: u16) {
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
pub(crate) fn counts() -> Backend {
    let orders = AtomicU64::new(0);
    Backend::start(move |talk| {
        let number = orders.fetch_add(1, SeqCst);
        let cookie = format!("Set-Cookie: order={number}\r\n");
        talk.answer_with("201 Created", &cookie, format!("order {number}"))
    })
}

pub(crate) fn held() -> Backend {
    Backend::start(answers_when_released)
}

fn answers_when_released(talk: &mut Talk) -> io::Result<()> {
    talk.hold("view")?;
    // A retry is of the same caller, so this is his as well.
    talk.answer_with("200 OK", "Set-Cookie: order=1\r\n", "done")
}
