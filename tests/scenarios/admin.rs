//! The admin listener: who may see it, what it shows of what runs, and what an operator may do.

use std::time::Duration;

use serde_json::Value;

use crate::harness::command::run_to_end;
use crate::harness::{
    Answer, Backend, Client, Leave, Seawall, Site, assert_same_bytes, pattern, until,
};

const ON: &str = "max_concurrency = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn what_runs_is_shown_from_the_queue_to_the_orphan() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let mut queued = ask(&seawall, "/queued");
    let stages = |state: &Value| {
        let shown = state["running"].as_array().unwrap();
        shown.iter().map(|one| (text(&one["path"]), text(&one["stage"]))).collect::<Vec<_>>()
    };
    let expected = [("/running", "waiting"), ("/queued", "queued")];
    let state = until("both are shown", || {
        let state = state(&seawall);
        (stages(&state) == expected.map(|(path, stage)| (path.into(), stage.into())))
            .then_some(state)
    });
    let shown = &state["backends"][0];
    assert_eq!(
        (&shown["slots"], &shown["slots_in_use"], &shown["queued"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(shown["condition"], "up");
    assert_eq!(state["running"][0]["orphan"], false);

    seawall.leave(running, Leave::Reset);
    until("the orphan is shown", || {
        (self::state(&seawall)["running"][0]["orphan"] == true).then_some(())
    });
    backend.release("/running");
    backend.release("/queued");
    assert_eq!(queued.answer().text(), "/queued");
    let totals = until("both are counted", || {
        let state = self::state(&seawall);
        state["running"].as_array().unwrap().is_empty().then(|| state["totals"][1].clone())
    });
    assert_eq!(totals["backend"], "default");
    assert_eq!(totals["ended"]["discarded"], 1);
    assert_eq!(totals["ended"]["delivered"], 1);
    assert_eq!(totals["left"]["waiting"], 1);
    assert_eq!(totals["orphans"], 1);
    assert!(totals["orphan_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(totals["discarded_bytes"], 8);
}

#[test]
fn an_operator_ends_what_waits_what_runs_and_what_has_no_client() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let mut running = ask(&seawall, "/running");
    backend.wait_held("/running", 1);
    let mut queued = ask(&seawall, "/queued");
    end(&seawall, "/queued");
    assert_eq!(queued.answer().status(), 504);
    end(&seawall, "/running");
    assert_eq!(running.answer().status(), 504);

    let orphan = ask(&seawall, "/orphan");
    backend.wait_held("/orphan", 1);
    seawall.leave(orphan, Leave::Fin);
    end(&seawall, "/orphan");
    for path in ["/queued", "/running", "/orphan"] {
        let line = seawall.line_of(path);
        assert_eq!(
            (&line["ended"], &line["reason"]),
            (&"cut".into(), &"ended by an operator".into())
        );
    }
    // All slots are free again.
    let mut next = ask(&seawall, "/next");
    backend.release("/next");
    assert_eq!(next.answer().text(), "/next");
    assert_eq!(backend.targets(), ["/running", "/orphan", "/next"]);
}

#[test]
fn what_an_operator_ends_while_it_connects_never_reaches_the_backend() {
    let ((listener, _first), address) = Site::that_hangs();
    let seawall = Seawall::start(&format!(
        "listen = \"127.0.0.1:0\"\n[[backend]]\nurl = \"http://{address}\"\nconnect_timeout = \"60s\"\n{ON}"
    ));
    let mut client = ask(&seawall, "/connecting");
    until("it has the slot", || {
        (state(&seawall)["backends"][0]["slots_in_use"] == 1).then_some(())
    });
    end(&seawall, "/connecting");
    assert_eq!(client.answer().status(), 504);
    let line = seawall.line_of("/connecting");
    assert_eq!((&line["ended"], &line["reason"]), (&"cut".into(), &"ended by an operator".into()));
    // Whoever filled the backlog, and nobody else: who waits for room in it is there after 200 ms at most.
    drop(listener.accept().unwrap());
    listener.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(listener.accept().is_err(), "nobody comes");
}

#[test]
fn what_is_over_cannot_be_ended() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let answer = post(&seawall, "/api/exchanges/4711/end");
    assert_eq!((answer.status(), answer.text().as_str()), (404, "no such exchange runs\n"));
}

#[test]
fn what_only_a_slow_client_is_not_through_with_cannot_be_ended_either() {
    const SIZE: usize = 20_000_000;
    let backend = Backend::start(|talk| talk.answer(pattern(SIZE)));
    let seawall = Seawall::with(&backend, ON);
    let mut slow = Client::with_small_window(seawall.address);
    slow.get("/big");
    let answer = post(&seawall, &end_of(&seawall, |one| one["stage"] == "delivering"));
    assert_eq!(answer.status(), 409);
    assert!(answer.text().ends_with("or is over\n"), "{}", answer.text());
    assert_same_bytes(&slow.answer().body, &pattern(SIZE));
    assert_eq!(seawall.line_of("/big")["ended"], "delivered");
}

#[test]
fn other_names_and_other_sites_are_kept_out() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let status = |fields: &str| {
        let mut client = Client::connect(seawall.admin());
        client.send(format!("GET /api/state HTTP/1.1\r\n{fields}\r\n\r\n"));
        client.answer().status()
    };
    assert_eq!(status("Host: localhost:9"), 200);
    assert_eq!(status("Host: evil.example"), 403);
    assert_eq!(status("Host: localhost:9\r\nOrigin: http://evil.example"), 403);
    assert_eq!(status("Host: localhost:9\r\nSec-Fetch-Site: cross-site"), 403);
    // A link is followed.
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document";
    assert_eq!(status(&format!("Host: localhost:9\r\n{link}")), 200);
    assert_eq!(status(&format!("Host: evil.example\r\n{link}")), 403);
    let health = fetch(&seawall, "/healthz");
    assert_eq!((health.status(), health.text().as_str()), (200, "ok\n"));
    assert!(health.head.field("content-security-policy").unwrap().contains("default-src 'none'"));
    assert_eq!(health.head.field("access-control-allow-origin"), None);
}

#[test]
fn where_others_can_connect_a_token_is_needed() {
    let exposed = "backend = \"http://127.0.0.1:9\"\n[admin]\nlisten = \"0.0.0.0:0\"\n";
    let said = run_to_end(Some(exposed), |command| {
        command.env_remove("SEAWALL_ADMIN__LISTEN").arg("check")
    });
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("proxy.toml:3: admin.listen: others can connect there"), "{said:?}");
    assert!(said.err.contains("admin.token"), "{said:?}");

    let backend = Backend::held();
    let seawall = Seawall::with(&backend, "[admin]\nlisten = \"0.0.0.0:0\"\ntoken = \"s3cret\"\n");
    let ask = |path: &str, fields: &str| {
        let port = seawall.admin().port();
        let mut client = Client::connect(([127, 0, 0, 1], port).into());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: seawall\r\n{fields}\r\n"));
        client.answer().status()
    };
    assert_eq!(ask("/healthz", ""), 200);
    assert_eq!(ask("/api/state", ""), 401);
    assert_eq!(ask("/api/state", "Authorization: Bearer wrong\r\n"), 401);
    assert_eq!(ask("/api/state", "Authorization: Bearer s3cret\r\n"), 200);
    assert_eq!(ask("/api/state", "Cookie: seawall_admin=s3cret\r\n"), 401);
}

#[test]
fn a_browser_logs_in_with_any_token_and_keeps_another_secret() {
    let backend = Backend::held();
    // The first three would end a cookie's value.
    for (token, sent) in [("a;b,c\"d", "a%3Bb%2Cc%22d"), ("s3cret", "s3cret")] {
        let toml = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken = '{token}'\n");
        let seawall = Seawall::with(&backend, &toml);
        assert_eq!(log_in(&seawall, "wrong").status(), 401);
        let answer = log_in(&seawall, sent);
        assert_eq!(answer.status(), 303);
        let cookie = answer.head.field("set-cookie").unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
        // The application behind us is sent it, too, where it is on the same host.
        assert!(!cookie.contains(token) && !cookie.contains(sent), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        let mut browser = Client::connect(seawall.admin());
        browser.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {pair}\r\n\r\n"));
        assert_eq!(browser.answer().status(), 200);
    }
}

#[test]
fn what_is_sent_to_the_pages_has_a_bound() {
    let backend = Backend::held();
    let seawall =
        Seawall::with(&backend, "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"s3cret\"\n");
    assert_eq!(log_in(&seawall, &"x".repeat(4000)).status(), 401);
    assert_eq!(log_in(&seawall, &"x".repeat(4100)).status(), 413);
    let replay = |length: usize| {
        let mut client = Client::connect(seawall.admin());
        client.send(format!(
            "POST /api/exchanges/1/replay HTTP/1.1\r\nHost: localhost\r\nX-Seawall: 1\r\n\
             Authorization: Bearer s3cret\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        ));
        client.answer_to_head().status()
    };
    assert_eq!(replay(64 << 10), 400);
    assert_eq!(replay((64 << 10) + 1), 413);
}

#[test]
fn health_is_told_while_others_hold_every_place() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let hold = || {
        let mut client = Client::connect(seawall.admin());
        client.send(
            "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n",
        );
        client
    };
    let _held: Vec<_> = (0..256).map(|_| hold()).collect();
    assert_eq!(fetch(&seawall, "/healthz").status(), 200);
    assert_eq!(fetch(&seawall, "/readyz").status(), 200);
    let answer = fetch(&seawall, "/api/state");
    assert_eq!(answer.status(), 503);
    assert!(answer.text().starts_with("too many look"), "{}", answer.text());
}

#[test]
fn who_asks_for_nothing_keeps_nobody_out() {
    let backend = Backend::held();
    let seawall = Seawall::with(&backend, ON);
    let mut watches = Client::connect(seawall.admin());
    watches.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(watches.answer_to_head().status(), 200);
    let mut idle: Vec<_> = (0..400).map(|_| Client::connect(seawall.admin())).collect();
    for path in ["/healthz", "/readyz", "/api/state"] {
        assert_eq!(fetch(&seawall, path).status(), 200);
    }
    // Who came first of them was sent away, and who watches was not.
    idle[0].wait_closed();
    assert!(!watches.chunk().is_empty());
}

#[test]
fn the_token_is_told_to_nobody() {
    let toml = "backend = \"http://127.0.0.1:9\"\n[admin]\nlisten = \"0.0.0.0:0\"\n";
    for token in ["s3cret-of-ours", "20260102030405"] {
        let file = format!("{toml}token = \"{token}\"\n");
        let by_file = run_to_end(Some(&file), |command| {
            command.env_remove("SEAWALL_ADMIN__LISTEN").arg("check")
        });
        let by_variable = run_to_end(Some(toml), |command| {
            let command = command.env_remove("SEAWALL_ADMIN__LISTEN").arg("check");
            command.env("SEAWALL_ADMIN__TOKEN", token)
        });
        for said in [by_file, by_variable] {
            assert_eq!(said.code, Some(0), "{said:?}");
            assert!(said.out.contains("admin.token = \"***\""), "{said:?}");
            assert!(!said.all().contains(token), "{said:?}");
        }
    }
    // Nor where it is a mistake.
    for token in ["20260102030405", "[\"20260102030405\"]", "\"2026 0102030405\""] {
        let said = run_to_end(Some(&format!("{toml}token = {token}\n")), |command| {
            command.env_remove("SEAWALL_ADMIN__LISTEN").arg("check")
        });
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(!said.all().contains("0102030405"), "{said:?}");
    }
    let without =
        run_to_end(Some("backend = \"http://127.0.0.1:9\"\n"), |command| command.arg("check"));
    assert!(without.out.contains("admin.token = \"\""), "{without:?}");
}

#[test]
fn a_taken_usual_port_is_no_reason_not_to_start() {
    let backend = Backend::held();
    let auto = "[admin]\nlisten = \"auto\"\n";
    let both = [Seawall::with(&backend, auto), Seawall::with(&backend, auto)];
    let [one, other] = both.each_ref().map(Seawall::admin);
    assert_ne!(one, other);
    assert!(one.ip().is_loopback() && other.ip().is_loopback());
    // Who has another one says that it is not the one that is found without being told.
    let said: Vec<_> = both.iter().flat_map(Seawall::diagnostics).collect();
    let says = |line: &Value| line["message"].as_str().unwrap_or_default().contains("is another's");
    assert!(said.iter().any(says), "{said:?}");
    assert_eq!(fetch(&both[0], "/healthz").status(), 200);
    assert_eq!(fetch(&both[1], "/healthz").status(), 200);
}

fn ask(seawall: &Seawall, path: &str) -> Client {
    let mut client = seawall.client();
    client.get(path);
    client
}

fn fetch(seawall: &Seawall, path: &str) -> Answer {
    let mut client = Client::connect(seawall.admin());
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    client.answer()
}

/// With a token, as a form sends it.
fn log_in(seawall: &Seawall, token: &str) -> Answer {
    let mut browser = Client::connect(seawall.admin());
    let length = "token=".len() + token.len();
    browser.send(format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken={token}"
    ));
    browser.answer()
}

fn post(seawall: &Seawall, path: &str) -> Answer {
    let mut client = Client::connect(seawall.admin());
    client.send(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
    client.answer()
}

fn state(seawall: &Seawall) -> Value {
    serde_json::from_str(&fetch(seawall, "/api/state").text()).unwrap()
}

/// Ends the one with this path, once it is shown.
fn end(seawall: &Seawall, path: &str) {
    let end = end_of(seawall, |one| one["path"] == path && one["stage"] != "receiving");
    assert_eq!(post(seawall, &end).status(), 202);
}

/// Where the one that is meant is ended, once it is shown.
fn end_of(seawall: &Seawall, is_meant: impl Fn(&Value) -> bool) -> String {
    let one = until("it is shown", || {
        let state = state(seawall);
        let shown = state["running"].as_array().unwrap();
        shown.iter().find(|one| is_meant(one)).cloned()
    });
    format!("/api/exchanges/{}/end", one["serial"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
