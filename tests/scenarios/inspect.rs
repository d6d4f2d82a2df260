//! The inspector: what is kept of exchanges that are over, and who is found in it.

mod again;
mod ends;
mod har;
mod messages;
mod page;

use serde_json::Value;

use crate::harness::{Backend, Client, Leave, Seawall, until};

const ON: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn what_is_over_is_found_by_what_is_known_of_it() {
    let backend = Backend::start(|talk| match talk.target().as_str() {
        "/bad" => talk.answer_with("500 Internal Server Error", "", "oh"),
        "/held" | "/left" => {
            talk.hold("gate")?;
            talk.answer("at last")
        }
        _ => talk.answer("fine"),
    });
    let seawall = Seawall::with(&backend, ON);
    let mut client = seawall.client();
    client.get("/good").answer();
    client.get("/bad?x=1").answer();
    client.get("/bad").answer();
    client.post("/good", b"body").answer();
    let mut running = seawall.client();
    running.get("/held");
    let mut leaves = seawall.client();
    leaves.get("/left");
    backend.wait_held("gate", 2);
    seawall.leave(leaves, Leave::Reset);
    backend.release("gate");
    seawall.line_of("/left");
    backend.release("gate");
    running.answer();
    seawall.line_of("/held");

    let found = |query: &str| {
        let paths = |one: &Value| text(&one["path"]);
        list(&seawall, query).iter().map(paths).collect::<Vec<_>>()
    };
    until("all are kept", || (found("?ended=delivered,discarded").len() == 6).then_some(()));
    assert_eq!(found("?status=5xx"), ["/bad"]);
    assert_eq!(found("?status=500,404&path=x%3D1"), [""; 0]);
    assert_eq!(found("?path=x%3D1"), ["/bad?x=1"]);
    assert_eq!(found("?method=POST"), ["/good"]);
    assert_eq!(found("?ended=discarded"), ["/left"]);
    assert_eq!(found("?ended=running"), [""; 0]);
    assert_eq!(found("?client=127.0.0.1&limit=1").len(), 1);
    assert_eq!(found("?client=192.0.2.1"), [""; 0]);
    assert_eq!(found("?backend=default").len(), 6);
    assert_eq!(found("?min_ms=3600000"), [""; 0]);
    let discarded = &list(&seawall, "?ended=discarded")[0];
    let detail = fetch_json(&seawall, &format!("/api/exchanges/{}", discarded["serial"]));
    assert_eq!(detail["left"], "waiting");
    assert_eq!(detail["backend_status"], 200);
    assert_eq!(detail["discarded_bytes"], 7);
    assert_eq!(fetch(&seawall, "/api/exchanges/471100").0, 404);
    let (status, said) = fetch(&seawall, "/api/exchanges?status=5yy");
    assert_eq!(status, 400);
    assert!(said.contains("\"5yy\" is no status; write one such as 404, 5xx or none"), "{said}");
}

#[test]
fn what_runs_is_listed_first() {
    let backend = Backend::start(|talk| {
        talk.hold(&talk.target())?;
        talk.answer("done")
    });
    let seawall = Seawall::with(&backend, ON);
    let mut client = seawall.client();
    client.get("/first");
    backend.wait_held("/first", 1);
    backend.release("/first");
    client.answer();
    client.get("/second");
    backend.wait_held("/second", 1);
    let shown = until("both are shown", || {
        let shown = list(&seawall, "");
        (shown.len() == 2).then_some(shown)
    });
    assert_eq!([&shown[0]["path"], &shown[0]["ended"]], [&"/second".into(), &Value::Null]);
    assert_eq!([&shown[1]["path"], &shown[1]["ended"]], ["/first", "delivered"]);
    let detail = fetch_json(&seawall, &format!("/api/exchanges/{}", shown[0]["serial"]));
    assert_eq!(detail["stage"], "waiting");
    backend.release("/second");
    client.answer();
}

#[test]
fn whose_exchange_a_request_waits_for_is_told_by_the_same_word_everywhere() {
    let backend = Backend::start(|talk| {
        talk.hold(&talk.target())?;
        talk.answer("done")
    });
    let seawall = Seawall::with(&backend, &format!("{ON}[[route]]\njoin = true\n"));
    let mut both = [seawall.client(), seawall.client()];
    both[0].get("/slow");
    backend.wait_held("/slow", 1);
    both[1].get("/slow");
    let mut upload = seawall.client();
    upload.send("POST /up HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nda");
    let told = |all: &Value| -> Vec<Value> {
        let mut all = all.as_array().unwrap().clone();
        all.sort_by_key(|one| one["serial"].as_u64());
        all.iter().map(|one| one["shared"].clone()).collect()
    };
    let expected = [Value::Null, "join".into(), Value::Null];
    for (path, key) in [("/api/exchanges", "exchanges"), ("/api/state", "running")] {
        until(path, || (told(&fetch_json(&seawall, path)[key]) == expected).then_some(()));
    }
    upload.send("ta");
    backend.wait_held("/up", 1);
    backend.release("/up");
    backend.release("/slow");
    for client in both.iter_mut().chain([&mut upload]) {
        assert_eq!(client.answer().text(), "done");
    }
    until("all are over", || {
        let all = fetch_json(&seawall, "/api/exchanges?ended=delivered")["exchanges"].clone();
        (told(&all) == expected).then_some(())
    });
}

fn list(seawall: &Seawall, query: &str) -> Vec<Value> {
    let list = fetch_json(seawall, &format!("/api/exchanges{query}"));
    list["exchanges"].as_array().unwrap().clone()
}

/// What is told of the one with this path, once it is over.
fn detail(seawall: &Seawall, path: &str) -> Value {
    let one = until("it is kept", || {
        list(seawall, "").into_iter().find(|one| one["path"] == path && !one["ended"].is_null())
    });
    fetch_json(seawall, &format!("/api/exchanges/{}", one["serial"]))
}

fn fetch_json(seawall: &Seawall, path: &str) -> Value {
    let (status, text) = fetch(seawall, path);
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn fetch(seawall: &Seawall, path: &str) -> (u16, String) {
    let mut client = Client::connect(seawall.admin());
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let answer = client.answer();
    (answer.status(), answer.text())
}

/// The body is JSON.
fn post(seawall: &Seawall, path: &str, body: &str) -> (u16, String) {
    let mut client = Client::connect(seawall.admin());
    let length = body.len();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Seawall: 1\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ));
    let answer = client.answer();
    (answer.status(), answer.text())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
