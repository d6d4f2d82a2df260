//! Answers of seawall's own: each says what happened and what to do, to people and to programs.

use serde_json::Value;

use crate::harness::{Answer, Backend, Seawall};

#[test]
fn a_program_gets_problem_json() {
    for accept in
        ["application/json", "application/problem+json", "*/*;q=0.1, application/json;q=0.9"]
    {
        let answer = refused(accept);
        assert_eq!(kind(&answer), "application/problem+json", "{accept}");
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["status"], 502);
        assert!(!problem["title"].as_str().unwrap().is_empty(), "{problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
    }
}

#[test]
fn a_browser_gets_a_page() {
    let answer = refused("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
    assert_eq!(kind(&answer), "text/html");
    let page = answer.text();
    assert!(page.to_ascii_lowercase().contains("<html") && page.contains("502"), "{page}");
}

#[test]
fn a_terminal_gets_text() {
    let answer = refused("text/plain");
    assert_eq!(kind(&answer), "text/plain");
    assert!(!answer.text().contains('<') && answer.text().contains("502"), "{}", answer.text());
}

#[test]
fn who_says_nothing_about_it_gets_something_readable() {
    for fields in ["", "Accept: */*\r\n", "Accept: image/png\r\n", "Accept: ;;;\r\n"] {
        let answer = refused_with(fields);
        assert!(
            ["application/problem+json", "text/plain", "text/html"].contains(&&*kind(&answer)),
            "{answer:?}"
        );
        assert!(!answer.body.is_empty());
    }
}

#[test]
fn a_page_does_not_repeat_what_the_client_wrote() {
    let seawall = Seawall::before(&fails());
    let mut client = seawall.client();
    client.get_with("/<script>alert(1)</script>?<b>", "Accept: text/html\r\nX-Request-Id: <i>\r\n");
    let page = client.answer().text();
    for markup in ["<script>", "<b>", "<i>"] {
        assert!(!page.contains(markup), "{page}");
    }
}

#[test]
fn a_refused_head_has_no_body_and_leaves_the_connection_in_order() {
    let backend = Backend::start(|talk| {
        if talk.target() == "/fails" {
            talk.close();
            return Ok(());
        }
        talk.answer("served")
    });
    let seawall = Seawall::before(&backend);
    let mut client = seawall.client();
    client.send("HEAD /fails HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer_to_head();
    assert_eq!(answer.status(), 502);
    assert!(!answer.head.says_close());
    assert_eq!(client.get("/next").answer().text(), "served");
}

#[test]
fn each_refusal_carries_its_proxy_status() {
    let backend = Backend::start(|talk| {
        talk.hold("view")?;
        talk.answer("served")
    });
    let seawall = Seawall::with(
        &backend,
        r#"
        max_concurrency = 1
        queue = { max = 1, timeout = "400ms" }
        [[route]]
        path = "/"
        max_body = "1KiB"
        [client]
        head_timeout = "400ms"
        max_head = "8KiB"
        "#,
    );
    let _running = ask(&seawall, "GET /running HTTP/1.1\r\nHost: a\r\n\r\n");
    backend.wait_held("view", 1);
    let mut queued = ask(&seawall, "GET /queued HTTP/1.1\r\nHost: a\r\n\r\n");
    seawall.settle();
    let long = "x".repeat(20_000);
    let mut cases = vec![
        (400, ask(&seawall, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")),
        (408, ask(&seawall, "GET / HTTP/1.1\r\nHost: a\r\n")),
        (413, ask(&seawall, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n")),
        (431, ask(&seawall, &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"))),
        (503, ask(&seawall, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
    ];
    for (status, client) in &mut cases {
        let answer = client.answer();
        assert_refusal(&answer, *status);
    }
    assert_refusal(&queued.answer(), 503);
    backend.release("view");
}

#[test]
fn an_url_that_is_too_long_is_told_so() {
    let backend = Backend::start(|talk| talk.answer("served"));
    let seawall = Seawall::with(&backend, "[client]\nmax_head = \"8KiB\"");
    let mut client =
        ask(&seawall, &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(20_000)));
    let answer = client.answer();
    assert!([414, 431].contains(&answer.status()), "{answer:?}");
    assert_eq!(backend.connections(), 0);
}

#[track_caller]
fn assert_refusal(answer: &Answer, status: u16) {
    assert_eq!(answer.status(), status, "{answer:?}");
    let said =
        answer.head.field("proxy-status").unwrap_or_else(|| panic!("no Proxy-Status: {answer:?}"));
    assert!(said.starts_with("seawall; error="), "{said}");
    assert!(!answer.body.is_empty(), "{answer:?}");
}

fn refused(accept: &str) -> Answer {
    refused_with(&format!("Accept: {accept}\r\n"))
}

fn refused_with(fields: &str) -> Answer {
    let answer = Seawall::before(&fails()).client().get_with("/", fields).answer();
    assert_refusal(&answer, 502);
    answer
}

/// Closes instead of answering.
fn fails() -> Backend {
    Backend::start(|talk| {
        talk.close();
        Ok(())
    })
}

fn kind(answer: &Answer) -> String {
    answer.head.field("content-type").unwrap().split(';').next().unwrap().trim().to_owned()
}

fn ask(seawall: &Seawall, request: &str) -> crate::harness::Client {
    let mut client = seawall.client();
    client.try_send(request);
    client
}
