//! `backend.probe`: the path that is answered for the backend, so that no prober breaks a pipe.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Backend, Client, Leave, Seawall, Site, until};

const SETTINGS: &str = "max_concurrency = 1\nprobe = \"/healthz\"";

/// A kubelet asks so, and gives up after a second.
fn probe(seawall: &Seawall) -> (u16, String) {
    let started = Instant::now();
    let answer = seawall.client().get("/healthz").answer();
    assert!(started.elapsed() < Duration::from_secs(1), "a kubelet would have given up");
    (answer.status(), answer.text())
}

fn held() -> Backend {
    Backend::one_thread(|talk| {
        let target = talk.target();
        talk.hold(&target)?;
        talk.answer_with("200 OK", "Content-Type: application/json\r\n", &target)
    })
}

fn open() -> Backend {
    let backend = held();
    backend.release("/healthz");
    backend
}

fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}

#[test]
fn the_backend_is_asked_once_a_second_for_everybody() {
    let backend = open();
    let seawall = Seawall::with(&backend, SETTINGS);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(probe(&seawall), (200, "/healthz".into())));
        }
    });
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!((1..=1 + seconds).contains(&backend.targets().len()), "{:?}", backend.targets());
    // Later it is asked again.
    until("it is asked again", || {
        probe(&seawall);
        (backend.targets().len() > 1 + seconds).then_some(())
    });
    backend.assert_unharmed();
}

#[test]
fn what_the_backend_says_is_passed_on() {
    let backend = Backend::start(|talk| {
        talk.answer_with("503 Service Unavailable", "Content-Type: application/json\r\n", "{}")
    });
    let seawall = Seawall::with(&backend, SETTINGS);
    let answer = seawall.client().get("/healthz").answer();
    assert_eq!((answer.status(), answer.text().as_str()), (503, "{}"));
    assert_eq!(answer.head.field("content-type"), Some("application/json"));
    let seen = &backend.exchanges()[0].head;
    assert_eq!(seen.field("user-agent"), Some("seawall (probe)"));
    let head = seawall.client().send("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n").answer_to_head();
    assert_eq!((head.status(), head.text().as_str()), (503, ""));
}

#[test]
fn a_busy_one_thread_backend_is_well_and_left_alone() {
    let backend = open();
    let seawall = Seawall::with(&backend, SETTINGS);
    let mut slow = ask(&seawall, "/slow");
    backend.wait_held("/slow", 1);
    for _ in 0..3 {
        assert_eq!(probe(&seawall).0, 200);
    }
    assert_eq!(backend.targets(), ["/slow"]);
    backend.release("/slow");
    assert_eq!(slow.answer().text(), "/slow");
    // The one probe that had queued meanwhile is all that comes.
    backend.wait_answered("/healthz");
    assert_eq!(probe(&seawall), (200, "/healthz".into()));
    assert_eq!(backend.targets()[..2], ["/slow", "/healthz"]);
    backend.assert_unharmed();
}

#[test]
fn a_backend_with_a_full_queue_is_as_well_as_it_was() {
    for known in [false, true] {
        let backend = open();
        let seawall = Seawall::with(
            &backend,
            &format!("{SETTINGS}\nqueue = {{ max = 1, timeout = \"60s\" }}"),
        );
        let as_it_was = if known { "/healthz" } else { "busy\n" };
        if known {
            assert_eq!(probe(&seawall).1, as_it_was);
        }
        let mut slow = ask(&seawall, "/slow");
        backend.wait_held("/slow", 1);
        let mut queued = ask(&seawall, "/queued");
        seawall.settle();
        assert_eq!(seawall.client().get("/refused").answer().status(), 503);
        // The backend is to be asked once more; there is no place for that.
        until("it was to be asked once more", || {
            assert_eq!(probe(&seawall), (200, as_it_was.into()));
            let asked = seawall.log().into_iter().rev();
            let mut asked = asked.filter(|line| line["reason"] == "Queue full");
            asked.any(|line| line["path"] == "/healthz").then_some(())
        });
        assert_eq!(probe(&seawall), (200, as_it_was.into()));
        backend.release("/slow");
        backend.release("/queued");
        assert_eq!(slow.answer().text(), "/slow");
        assert_eq!(queued.answer().text(), "/queued");
        backend.assert_unharmed();
    }
}

#[test]
fn an_answer_that_breaks_off_is_not_taken_for_health() {
    let backend = Backend::start(|talk| {
        talk.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"database\": \"w")?;
        talk.close();
        Ok(())
    });
    let seawall = Seawall::with(&backend, SETTINGS);
    assert_eq!(probe(&seawall).0, 502);
}

#[test]
fn a_long_answer_is_passed_on_without_its_body() {
    let backend = Backend::start(|talk| talk.answer("x".repeat(100_000)));
    let seawall = Seawall::with(&backend, SETTINGS);
    assert_eq!(probe(&seawall), (200, String::new()));
}

#[test]
fn a_prober_that_gives_up_breaks_no_pipe() {
    for leave in Leave::BOTH {
        let backend = held();
        let seawall = Seawall::with(&backend, SETTINGS);
        let prober = ask(&seawall, "/healthz");
        backend.wait_held("/healthz", 1);
        seawall.leave(prober, leave);
        // Whoever asks next neither waits for it nor asks once more.
        assert_eq!(probe(&seawall), (200, "busy\n".into()));
        assert_eq!(backend.targets(), ["/healthz"]);
        backend.release("/healthz");
        backend.wait_answered("/healthz");
        until("the answer is known", || (probe(&seawall).1 == "/healthz").then_some(()));
        backend.assert_unharmed();
    }
}

#[test]
fn a_probe_that_is_never_answered_gives_its_slot_back() {
    let backend = Backend::start(|talk| {
        talk.hold("probe")?;
        talk.answer("well")
    });
    let orphan = "orphan = { max_duration = \"200ms\", max_bytes = \"1MiB\" }";
    let seawall = Seawall::with(&backend, &format!("{SETTINGS}\n{orphan}"));
    probe(&seawall);
    let asked = seawall.wait_for_log(|line| line["reason"] == "orphan.max_duration reached");
    assert_eq!(asked["ended"], "cut", "{asked}");
    until("it is asked again", || {
        probe(&seawall);
        (backend.targets().len() > 1).then_some(())
    });
    backend.release("probe");
    until("it is well again", || (probe(&seawall).1 == "well").then_some(()));
}

#[test]
fn a_backend_that_is_away_is_not_well() {
    let site = Site::new();
    let seawall = Seawall::at(&site, SETTINGS);
    let answer = seawall.client().get("/healthz").answer();
    assert_eq!(answer.status(), 503);
    let status = answer.head.field("proxy-status").unwrap();
    assert!(status.contains("error=destination_unavailable"), "{status}");
}

#[test]
fn only_that_very_path_is_answered_and_only_where_it_is_read() {
    let backend = Backend::start(|talk| {
        let head = talk.request().head;
        talk.answer(format!("{} {}", head.method(), head.target()))
    });
    let seawall = Seawall::with(&backend, SETTINGS);
    assert_eq!(seawall.client().get("/healthz/deep").answer().text(), "GET /healthz/deep");
    assert_eq!(seawall.client().post("/healthz", b"x").answer().text(), "POST /healthz");
    let without = Seawall::before(&backend);
    for _ in 0..2 {
        assert_eq!(without.client().get("/healthz").answer().text(), "GET /healthz");
    }
    assert_eq!(backend.exchanges().len(), 4);
}

#[test]
fn the_log_tells_probes_from_visits() {
    let backend = open();
    let seawall = Seawall::with(&backend, SETTINGS);
    probe(&seawall);
    let visit = seawall.wait_for_log(|line| line["reason"] == "probe: answered for the backend");
    assert_eq!((&visit["ended"], &visit["status"]), (&"refused".into(), &200.into()), "{visit}");
    let asked = seawall.wait_for_log(|line| line["reason"] == "asked for all who probe");
    assert_eq!((&asked["client"], &asked["backend_status"]), (&None::<u8>.into(), &200.into()));
}

#[test]
fn a_drain_does_not_wait_for_a_probe_of_a_backend_that_is_away() {
    let site = Site::new();
    let mut seawall = Seawall::at(&site, SETTINGS);
    assert_eq!(probe(&seawall).0, 503);
    seawall.signal("TERM");
    // backend.hold.for is 30 s, and a scene is stuck after 10.
    assert_eq!(seawall.wait_exit(), Some(0));
}
