//! Hold: its bounds in time and number, and what is said at them.

use std::time::{Duration, Instant};

use crate::harness::{Answer, Backend, Seawall, Site};
use crate::hold::{AWAY, ask, echo};

#[test]
fn who_has_waited_for_hold_for_is_told_why_and_never_sent() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "hold = { for = \"300ms\" }");
    let began = Instant::now();
    let mut page = seawall.client();
    page.get_with("/page", "Accept: text/html\r\n");
    let mut order = seawall.client();
    order.post("/order", b"one of each");
    for client in [&mut page, &mut order] {
        let answer = client.answer();
        assert!(began.elapsed() >= Duration::from_millis(300));
        assert_unreachable(&answer, 502, "connection_refused");
    }
    for path in ["/page", "/order"] {
        let line = seawall.line_of(path);
        assert_eq!(
            (&line["ended"], &line["reason"]),
            (&"failed".into(), &"Backend refused the connection".into())
        );
        assert!(line["held_ms"].as_f64().unwrap() >= 290.0, "{line}");
        assert!(line["queue_ms"].as_f64().unwrap() < 290.0, "{line}");
    }
    let backend = site.open(echo);
    assert_eq!(ask(&seawall, "/later").answer().text(), "/later");
    assert_eq!(backend.targets(), ["/later"]);
}

#[test]
fn who_comes_when_hold_max_wait_already_is_told_at_once() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "hold = { max = 2 }");
    let mut held = [ask(&seawall, "/one"), ask(&seawall, "/two")];
    seawall.wait_for_diagnostic(AWAY);
    seawall.settle();
    assert_unreachable(&ask(&seawall, "/three").answer(), 502, "connection_refused");
    let [one, two] = &mut held;
    assert!(one.hears_nothing() && two.hears_nothing());
    let backend = site.open(echo);
    assert_eq!((one.answer().text(), two.answer().text()), ("/one".into(), "/two".into()));
    assert_eq!(backend.exchanges().len(), 2);
}

#[test]
fn those_who_leave_make_room_for_others_to_wait() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "hold = { max = 1 }");
    let quitter = ask(&seawall, "/quits");
    seawall.wait_for_diagnostic(AWAY);
    assert_unreachable(&ask(&seawall, "/refused").answer(), 502, "connection_refused");
    seawall.leave(quitter, crate::harness::Leave::Fin);
    seawall.line_of("/quits");
    let mut next = ask(&seawall, "/next");
    seawall.settle();
    let _backend = site.open(echo);
    assert_eq!(next.answer().text(), "/next");
}

#[test]
fn where_nobody_waits_a_server_that_comes_back_is_seen_all_the_same() {
    for hold in ["{ max = 0 }", "{ for = \"0s\" }"] {
        let site = Site::new();
        let seawall = Seawall::at(&site, &format!("hold = {hold}"));
        for _ in 0..3 {
            assert_unreachable(&ask(&seawall, "/").answer(), 502, "connection_refused");
        }
        let _backend = site.open(echo);
        assert_eq!(ask(&seawall, "/").answer().text(), "/", "{hold}");
        assert!(!seawall.diagnostics().iter().any(|line| line["message"] == AWAY));
    }
}

#[test]
fn a_name_that_nobody_knows_yet_is_waited_for_too() {
    let toml = "listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"http://no-such-host.invalid:80\"";
    let seawall = Seawall::start(&format!("{toml}\nhold = {{ for = \"500ms\" }}"));
    let began = Instant::now();
    assert_unreachable(&ask(&seawall, "/").answer(), 502, "dns_error");
    assert!(began.elapsed() >= Duration::from_millis(500));
}

#[test]
fn where_connecting_takes_too_long_the_bound_is_a_504() {
    let (_queue, address) = Site::that_hangs();
    let toml = format!("listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"http://{address}\"");
    let settings = "connect_timeout = \"100ms\"\nhold = { for = \"500ms\" }";
    let seawall = Seawall::start(&format!("{toml}\n{settings}"));
    assert_unreachable(&ask(&seawall, "/").answer(), 504, "connection_timeout");
    let line = seawall.line_of("/");
    assert!(line["held_ms"].as_f64().unwrap() >= 300.0, "{line}");
}

#[test]
fn a_person_before_a_browser_sees_after_two_seconds_what_is_going_on() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "");
    let html = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let ask = |(target, fields): (&str, String)| {
        let mut client = seawall.client();
        client.get_with(target, &fields);
        client
    };
    let mut pages = [
        ("/old", html.to_owned()),
        ("/older", "Accept: text/html,*/*\r\n".to_owned()),
        ("/navigates", format!("{html}Sec-Fetch-Mode: navigate\r\n")),
    ]
    .map(ask);
    let mut others = [
        ("/fetched", format!("{html}Sec-Fetch-Mode: cors\r\n")),
        ("/plain", String::new()),
        // What it would be told is no page, and does not ask again by itself.
        ("/program", "Accept: application/json, text/html;q=0.5\r\n".to_owned()),
    ]
    .map(ask);
    let mut order = seawall.client();
    order.send(format!("POST /order HTTP/1.1\r\nHost: a\r\n{html}Content-Length: 1\r\n\r\nx"));
    let began = Instant::now();
    for page in &mut pages {
        let answer = page.answer();
        let waited = began.elapsed();
        assert!((1900..4000).contains(&waited.as_millis()), "{waited:?}");
        assert_unreachable(&answer, 503, "destination_unavailable");
        assert_eq!(answer.head.field("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(answer.head.field("retry-after"), Some("1"));
        let text = answer.text();
        assert!(text.contains("<meta http-equiv=\"refresh\" content=\"1\">"), "{text}");
        // The address may be wrong.
        assert!(
            text.contains("has not been reached yet") && text.contains("backend.url"),
            "{text}"
        );
    }
    for path in ["/old", "/older", "/navigates"] {
        assert_eq!(seawall.line_of(path)["ended"], "refused");
    }
    seawall.settle();
    assert!(others.iter().all(crate::harness::Client::hears_nothing) && order.hears_nothing());

    // Whoever reloads waits anew, and is there when it is back.
    let [reloads, ..] = &mut pages;
    reloads.get_with("/old", html);
    seawall.settle();
    let backend = site.open(echo);
    assert_eq!(reloads.answer().text(), "/old");
    for (client, target) in others.iter_mut().zip(["/fetched", "/plain", "/program"]) {
        assert_eq!(client.answer().text(), target);
    }
    assert_eq!(order.answer().text(), "/order");
    assert_eq!(backend.exchanges().len(), 5);

    // It was there before.
    backend.close();
    backend.wait_left_alone();
    let text = reloads.get_with("/old", html).answer().text();
    assert!(text.contains("restarting") && !text.contains("backend.url"), "{text}");
}

#[test]
fn the_bound_of_the_queue_holds_for_who_was_held_too() {
    let site = Site::new();
    let settings = "max_concurrency = 1\nqueue = { timeout = \"300ms\" }";
    let seawall = Seawall::at(&site, settings);
    let mut first = ask(&seawall, "/first");
    seawall.settle();
    let mut second = ask(&seawall, "/second");
    seawall.wait_for_diagnostic(AWAY);
    seawall.settle();
    let backend: Backend = site.open(|talk| {
        talk.hold("view")?;
        talk.answer(talk.target())
    });
    assert_unreachable(&second.answer(), 503, "connection_limit_reached");
    let line = seawall.line_of("/second");
    assert!(line["queue_ms"].as_f64().unwrap() >= 290.0, "{line}");
    assert!(line["held_ms"].as_f64().unwrap() > 0.0, "{line}");
    backend.release("view");
    assert_eq!(first.answer().text(), "/first");
    assert_eq!(backend.targets(), ["/first"]);
}

#[test]
fn a_client_that_is_let_go_by_client_wait_still_has_its_order_run() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "[client]\nwait = \"100ms\"");
    let mut client = seawall.client();
    let answer = client.post("/order", b"one of each").answer();
    assert_eq!(answer.status(), 504, "{answer:?}");
    drop(client);
    seawall.settle();
    let backend = site.open(echo);
    backend.wait_answered("/order");
    let line = seawall.line_of("/order");
    assert_eq!((&line["status"], &line["backend_status"]), (&504.into(), &200.into()), "{line}");
    assert_eq!(backend.targets(), ["/order"]);
    backend.assert_unharmed();
}

#[test]
fn the_drain_waits_for_who_is_held() {
    let site = Site::new();
    let mut seawall = Seawall::at(&site, "");
    let mut client = ask(&seawall, "/page");
    seawall.wait_for_diagnostic(AWAY);
    seawall.signal("TERM");
    seawall.wait_not_listening();
    assert!(seawall.is_running() && client.hears_nothing());
    let _backend = site.open(echo);
    assert_eq!(client.answer().text(), "/page");
    assert_eq!(seawall.wait_exit(), Some(0));
}

#[test]
fn who_is_still_held_at_the_bound_of_the_drain_is_told_of_in_the_log() {
    let site = Site::new();
    let mut seawall = Seawall::at(&site, "[drain]\ntimeout = \"200ms\"");
    let _client = ask(&seawall, "/page");
    seawall.wait_for_diagnostic(AWAY);
    seawall.signal("TERM");
    assert_eq!(seawall.wait_exit(), Some(3));
    let line = seawall.line_of("/page");
    assert_eq!(
        (&line["ended"], &line["reason"]),
        (&"abandoned".into(), &"drain.timeout reached".into())
    );
}

#[track_caller]
fn assert_unreachable(answer: &Answer, status: u16, error: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    let said = answer.head.field("proxy-status").unwrap();
    assert!(said.starts_with(&format!("seawall; error={error};")), "{said}");
}
