//! What is left out of the access log, because nobody wants so much of it, or because nobody is to see it.

use serde_json::Value;

use crate::harness::{Backend, Client, Leave, Seawall};

#[test]
fn whoever_wants_no_line_of_what_went_well_sees_all_that_went_wrong() {
    let backend = backend();
    let mut seawall = Seawall::with(&backend, "probe = \"/healthz\"\n[log]\nsample = 0");
    let mut client = seawall.client();
    for _ in 0..20 {
        assert_eq!(client.get("/well").answer().status(), 200);
    }
    assert_eq!(client.get("/healthz").answer().status(), 200);
    assert_eq!(client.get("/missing").answer().status(), 404);
    seawall.client().send("GET /refused HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").answer();
    seawall.client().send("nonsense\r\n\r\n").wait_closed();
    let leaving = ask(&seawall, "/held");
    backend.wait_held("view", 1);
    seawall.leave(leaving, Leave::Fin);
    backend.release("view");
    seawall.line_of("/held");
    end(&mut seawall);
    let mut paths: Vec<_> = seawall.log().iter().map(|line| line["path"].clone()).collect();
    paths.sort_by_key(ToString::to_string);
    assert_eq!(paths, ["/held".into(), "/missing".into(), "/refused".into(), Value::Null]);
    assert!(seawall.log().iter().all(|line| line.get("sample").is_none()));
}

#[test]
fn half_of_what_went_well_is_written_and_says_so() {
    const SENT: usize = 400;
    let backend = backend();
    let mut seawall = Seawall::with(&backend, "[log]\nsample = 0.5");
    let mut client = seawall.client();
    for _ in 0..SENT {
        client.get("/well").answer();
    }
    client.get("/missing").answer();
    end(&mut seawall);
    let (well, wrong): (Vec<_>, Vec<_>) =
        seawall.log().into_iter().partition(|line| line["path"] == "/well");
    // Ten times as far from the half as chance goes in two cases of three.
    assert!(well.len().abs_diff(SENT / 2) < 100, "{}", well.len());
    assert!(well.iter().all(|line| line["sample"] == 0.5));
    assert!(wrong.len() == 1 && wrong[0].get("sample").is_none(), "{wrong:?}");
}

#[test]
fn values_that_are_not_to_be_seen_are_seen_by_the_backend_alone() {
    let backend = backend();
    let mut seawall =
        Seawall::with(&backend, "[log]\nredact = [\"Token\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n");
    let target = "/held?token=hunter2&page=7&user%5Btoken%5D=hunter3";
    let mut client = ask(&seawall, target);
    backend.wait_held("view", 1);
    let mut operator = Client::connect(seawall.admin());
    let state = operator.send("GET /api/state HTTP/1.1\r\nHost: localhost\r\n\r\n").answer().text();
    backend.release("view");
    client.answer();
    end(&mut seawall);
    assert_eq!(backend.targets(), [target]);
    let shown = "/held?token=REDACTED&page=7&user%5Btoken%5D=REDACTED";
    assert_eq!(seawall.log()[0]["path"], shown);
    assert!(state.contains(shown), "{state}");
    let diagnostics = format!("{:?}", seawall.diagnostics());
    assert!(!state.contains("hunter") && !diagnostics.contains("hunter"), "{state} {diagnostics}");
}

fn backend() -> Backend {
    Backend::start(|talk| match talk.target().as_str() {
        "/missing" => talk.write("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        target if target.starts_with("/held") => {
            talk.hold("view")?;
            talk.answer("served")
        }
        _ => talk.answer("served"),
    })
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}

/// Every line that there is to be is written then.
fn end(seawall: &mut Seawall) {
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(0));
}
