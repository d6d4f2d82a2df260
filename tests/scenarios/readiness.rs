//! `/readyz`: whether there is any point in sending requests here, and how it is found out.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Backend, Client, Seawall, Site, until};

const ON: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn ready_is_who_reaches_his_backend_and_again_when_it_is_back() {
    let site = Site::new();
    let seawall = Seawall::at(&site, ON);
    let unready = "not ready: backend default: Backend refused the connection\n";
    assert_eq!(ask(&seawall), (503, unready.into()));
    // Nobody sends a request meanwhile: it is found out all the same.
    let backend = site.open(|talk| talk.answer("well"));
    wait_until_ready(&seawall);
    // And whatever waited for the backend would go on.
    assert_eq!(condition(&seawall), "up");
    assert_eq!(backend.exchanges().len(), 0);
    backend.close();
    until("it is away again", || (ask(&seawall).0 == 503).then_some(()));
    backend.assert_unharmed();
}

#[test]
fn a_look_is_for_everybody_who_asks_within_a_second() {
    let backend = held();
    let seawall = Seawall::with(&backend, ON);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..20 {
            // Again and again: while a look lasts, and behind it.
            scope.spawn(|| (0..3).for_each(|_| wait_until_ready(&seawall)));
        }
    });
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    let looks = backend.connections();
    assert!((1..=1 + seconds).contains(&looks), "{looks} in {seconds} s");
    until("it is looked once more", || {
        wait_until_ready(&seawall);
        (backend.connections() > looks).then_some(())
    });
    backend.wait_left_alone();
    assert_eq!(backend.most_open_at_once(), 1);
}

#[test]
fn a_busy_one_thread_backend_is_ready_and_left_alone() {
    let backend = held();
    let seawall = Seawall::with(&backend, &format!("max_concurrency = 1\n{ON}"));
    let mut slow = seawall.client();
    slow.get("/slow");
    backend.wait_held("/slow", 1);
    for _ in 0..3 {
        assert_eq!(ask(&seawall), (200, "ready\n".into()));
    }
    backend.release("/slow");
    assert_eq!(slow.answer().text(), "/slow");
    assert_eq!(backend.connections(), 1);
    backend.assert_unharmed();
}

#[test]
fn a_backend_where_connecting_hangs_is_not_waited_for() {
    let (_listener, address) = Site::that_hangs();
    let seawall =
        Seawall::start(&format!("listen = \"127.0.0.1:0\"\nbackend = \"http://{address}\"\n{ON}"));
    let started = Instant::now();
    assert_eq!(ask(&seawall).0, 503);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(400), "it was not looked for: {took:?}");
    assert!(took < Duration::from_secs(1), "a kubelet would have given up: {took:?}");
}

#[test]
fn a_look_takes_a_slot_while_it_lasts() {
    let (_listener, address) = Site::that_hangs();
    let seawall =
        Seawall::start(&format!("listen = \"127.0.0.1:0\"\nbackend = \"http://{address}\"\n{ON}"));
    let in_use = || {
        let state = seawall.admin_page("/api/state", "").text();
        serde_json::from_str::<Value>(&state).unwrap()["backends"][0]["slots_in_use"] == 1
    };
    until("it has one", || {
        let mut prober = Client::connect(seawall.admin());
        prober.send("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let seen = (0..50).any(|_| in_use());
        assert_eq!(prober.answer().status(), 503);
        seen.then_some(())
    });
    until("and gives it back", || (!in_use()).then_some(()));
}

#[test]
fn who_is_to_end_is_not_ready_from_the_signal_on() {
    let backend = held();
    let seawall = Seawall::with(&backend, &format!("{ON}[drain]\ndelay = \"60s\"\n"));
    wait_until_ready(&seawall);
    seawall.signal("TERM");
    seawall.wait_for_diagnostic("draining");
    until("it is not ready", || {
        (ask(&seawall) == (503, "not ready: draining\n".into())).then_some(())
    });
    // It serves on until the load balancer has noticed.
    backend.release("/late");
    assert_eq!(seawall.client().get("/late").answer().text(), "/late");
    let health = seawall.admin_page("/healthz", "");
    assert_eq!((health.status(), health.text().as_str()), (200, "ok\n"));
}

#[test]
fn where_there_is_a_probe_it_is_asked() {
    for (status, expected) in [("200 OK", 200), ("500 Internal Server Error", 503)] {
        let backend = Backend::one_thread(move |talk| talk.answer_with(status, "", "no database"));
        let probe = "max_concurrency = 1\nprobe = \"/healthz\"\n";
        let seawall = Seawall::with(&backend, &format!("{probe}{ON}"));
        until("it has answered", || (ask(&seawall).0 == expected).then_some(()));
        if expected == 503 {
            let told = "not ready: backend default: it answers its probe with 500\n";
            assert_eq!(ask(&seawall).1, told);
        }
        assert!(backend.targets().iter().all(|target| target == "/healthz"));
        backend.assert_unharmed();
    }
}

#[test]
fn the_connection_that_it_leaves_behind_is_watched_by_those_who_serve_and_not_by_the_admin() {
    let backend = Backend::start(|talk| talk.answer("well"));
    let probe = "max_concurrency = 1\nidle = \"1h\"\nprobe = \"/healthz\"\n";
    let seawall = Seawall::with(&backend, &format!("{probe}{ON}"));
    ask(&seawall);
    backend.wait_answered("/healthz");
    wait_until_ready(&seawall);
    let queues = seawall.event_queues(backend.port().parse().unwrap());
    let of_admin = seawall.event_queues(seawall.admin().port());
    assert!(!queues.is_empty() && !of_admin.is_empty(), "{queues:?} {of_admin:?}");
    assert!(queues.is_disjoint(&of_admin), "{queues:?} {of_admin:?}");
    // The only one that there may be, and the next request has it.
    assert_eq!(seawall.client().get("/").answer().text(), "well");
    assert_eq!(backend.connections(), 1);
}

#[test]
fn every_backend_has_to_be_there_and_programs_are_told_which_is_not() {
    let (there, away) = (held(), Site::new());
    let seawall = Seawall::start(&format!(
        "listen = \"127.0.0.1:0\"\n[[backend]]\nname = \"app\"\nurl = \"{}\"\n\
         [[backend]]\nname = \"search\"\nurl = \"{}\"\n{ON}",
        there.url(),
        away.url()
    ));
    let report = until("the other one is found", || {
        let answer = seawall.admin_page("/readyz", "Accept: application/json\r\n");
        assert_eq!(answer.status(), 503);
        let report: Value = serde_json::from_str(&answer.text()).unwrap();
        (report["backends"][0]["ready"] == true).then_some(report)
    });
    assert_eq!(
        report,
        serde_json::json!({
            "ready": false,
            "draining": false,
            "backends": [
                { "name": "app", "ready": true, "reason": null },
                { "name": "search", "ready": false, "reason": "Backend refused the connection" },
            ],
        })
    );
}

#[test]
fn everybody_may_ask_by_any_name() {
    let backend = held();
    let seawall = Seawall::with(&backend, &format!("{ON}token = \"s3cret\"\n"));
    wait_until_ready(&seawall);
    let mut client = Client::connect(seawall.admin());
    client.send("GET /readyz HTTP/1.1\r\nHost: seawall.default.svc\r\n\r\n");
    assert_eq!(client.answer().text(), "ready\n");
}

fn held() -> Backend {
    Backend::one_thread(|talk| {
        let target = talk.target();
        talk.hold(&target)?;
        talk.answer(target)
    })
}

fn ask(seawall: &Seawall) -> (u16, String) {
    let answer = seawall.admin_page("/readyz", "");
    (answer.status(), answer.text())
}

/// Where the machine is loaded, half a second may be too short for a look.
fn wait_until_ready(seawall: &Seawall) {
    until("it is ready", || (ask(seawall) == (200, "ready\n".into())).then_some(()));
}

fn condition(seawall: &Seawall) -> String {
    let state = seawall.admin_page("/api/state", "").text();
    let state: Value = serde_json::from_str(&state).unwrap();
    state["backends"][0]["condition"].as_str().unwrap().to_owned()
}
