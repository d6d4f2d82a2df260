//! Hold: while nobody listens at the backend, requests wait for it, in the order in which they
//! came, and none of them is seen there before its turn.

use std::thread;
use std::time::Duration;

use crate::harness::{Client, Leave, Seawall, Site, Talk, pattern};

pub(crate) const AWAY: &str = "the backend is away: holding requests";
pub(crate) const BACK: &str = "the backend is back";

#[test]
fn requests_wait_while_nobody_listens_and_are_served_once_somebody_does() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "");
    let mut page = ask(&seawall, "/page");
    let mut order = seawall.client();
    order.post("/order", b"one of each");
    seawall.wait_for_diagnostic(AWAY);
    seawall.settle();
    assert!(page.hears_nothing() && order.hears_nothing());

    let backend = site.open(echo);
    assert_eq!((page.answer().text(), order.answer().text()), ("/page".into(), "/order".into()));
    let mut targets = backend.targets();
    targets.sort();
    assert_eq!(targets, ["/order", "/page"]);
    assert_eq!(backend.connections(), 2);
    backend.assert_unharmed();
    for path in ["/page", "/order"] {
        let line = seawall.line_of(path);
        assert_eq!((&line["ended"], &line["backend_status"]), (&"delivered".into(), &200.into()));
        let (held, all) = (line["held_ms"].as_f64().unwrap(), line["client_ms"].as_f64().unwrap());
        assert!(held > 0.0 && held <= all, "{line}");
    }
    // Said once, however often it was tried.
    seawall.wait_for_diagnostic(BACK);
    let said = seawall.diagnostics();
    let warnings: Vec<_> = said.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

#[test]
fn the_first_to_come_is_the_first_served() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "max_concurrency = 1");
    let (mut clients, targets) = ask_in_order(&seawall, 40);
    let backend = site.open(echo);
    for (client, target) in clients.iter_mut().zip(&targets) {
        assert_eq!(&client.answer().text(), target);
    }
    assert_eq!(backend.targets(), targets);
}

#[test]
fn one_who_comes_while_others_are_let_in_does_not_overtake_them() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "max_concurrency = 1");
    let (mut clients, mut targets) = ask_in_order(&seawall, 40);
    let backend = site.open(echo);
    let mut first = clients.remove(0);
    first.answer();
    assert_eq!(first.get("/again").answer().text(), "/again");
    targets.push("/again".into());
    for client in &mut clients {
        client.answer();
    }
    assert_eq!(backend.targets(), targets);
}

#[test]
fn of_two_hundred_none_fails_and_there_are_never_more_connections_than_slots() {
    for kind in ["per-core", "work-stealing"] {
        let site = Site::new();
        let settings = format!("max_concurrency = 4\n[runtime]\nworkers = 2\nkind = \"{kind}\"");
        let seawall = Seawall::at(&site, &settings);
        for round in 0..5 {
            let mut clients: Vec<Client> =
                (0..200).map(|number| ask(&seawall, &format!("/{round}/{number}"))).collect();
            let backend = site.open(|talk| {
                talk.close();
                talk.answer_with("200 OK", "Connection: close\r\n", talk.target())
            });
            for (number, client) in clients.iter_mut().enumerate() {
                assert_eq!(client.answer().text(), format!("/{round}/{number}"));
            }
            let mut targets = backend.targets();
            targets.sort();
            targets.dedup();
            assert_eq!((targets.len(), backend.exchanges().len()), (200, 200));
            assert!(backend.most_open_at_once() <= 4, "{} at once", backend.most_open_at_once());
        }
    }
}

#[test]
fn whoever_was_held_is_not_refused_by_a_short_queue() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "max_concurrency = 1\nqueue = { max = 0 }");
    let (mut clients, targets) = ask_in_order(&seawall, 6);
    let backend = site.open(|talk| {
        talk.hold("view")?;
        talk.answer(talk.target())
    });
    backend.wait_held("view", 1);
    // Who was not has the queue's word.
    assert_eq!(ask(&seawall, "/other").answer().status(), 503);
    backend.release("view");
    for (client, target) in clients.iter_mut().zip(&targets) {
        assert_eq!(&client.answer().text(), target);
    }
    assert_eq!(backend.targets(), targets);
}

#[test]
fn a_client_that_leaves_while_it_is_held_never_reaches_the_backend() {
    for leave in Leave::BOTH {
        let site = Site::new();
        let settings = "[[route]]\npath = \"/cancelled\"\non_disconnect = \"cancel\"";
        let seawall = Seawall::at(&site, settings);
        let (mut clients, _) = ask_in_order(&seawall, 4);
        let mut upload = seawall.client();
        upload.post("/upload", b"some of it");
        let cancelled = ask(&seawall, "/cancelled");
        seawall.settle();
        let stays = clients.remove(2);
        // The first of them is the one who tries: it hands that on.
        for client in clients.into_iter().chain([upload, cancelled]) {
            seawall.leave(client, leave);
        }
        let lines = seawall.wait_for_lines(5, |line| line["ended"] == "abandoned");
        for line in lines {
            assert_eq!(
                (&line["left"], &line["backend_status"]),
                (&"queued".into(), &None::<u16>.into())
            );
            assert!(line["held_ms"].as_f64().unwrap() > 0.0, "{line}");
        }
        let backend = site.open(echo);
        let mut stays = stays;
        assert_eq!(stays.answer().text(), "/2");
        assert_eq!((backend.targets(), backend.connections()), (vec!["/2".to_owned()], 1));
        backend.assert_unharmed();
    }
}

#[test]
fn an_upload_is_held_whole() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "");
    let body = pattern(2_000_000);
    let mut client = seawall.client();
    client.post("/upload", &body);
    seawall.wait_for_diagnostic(AWAY);
    let backend = site.open(|talk| {
        let body = talk.request().body;
        talk.answer(body)
    });
    assert_eq!(client.answer().body, body);
    assert_eq!(backend.exchanges().len(), 1);
    backend.assert_unharmed();
}

#[test]
fn it_goes_away_and_comes_back_again_and_again() {
    let site = Site::new();
    let seawall = Seawall::at(&site, "max_concurrency = 2\n[runtime]\nworkers = 2");
    thread::scope(|scope| {
        let visitors: Vec<_> = (0..4)
            .map(|visitor| {
                let seawall = &seawall;
                scope.spawn(move || {
                    let cut_twice = (0..100).filter(|round| {
                        let target = format!("/{visitor}/{round}");
                        let answer = ask(seawall, &target).answer();
                        if answer.status() == 200 {
                            assert_eq!(answer.text(), target);
                        } else {
                            assert_eq!(answer.status(), 502);
                        }
                        answer.status() == 502
                    });
                    cut_twice.count()
                })
            })
            .collect();
        while !visitors.iter().all(thread::ScopedJoinHandle::is_finished) {
            let backend = site.open(|talk| {
                talk.close();
                talk.answer_with("200 OK", "Connection: close\r\n", talk.target())
            });
            thread::sleep(Duration::from_millis(20));
            backend.close();
            assert!(backend.most_open_at_once() <= 2);
            thread::sleep(Duration::from_millis(5));
        }
        // It is there for so short that a busy machine may have a request sent, and cut, twice.
        let cut_twice: usize = visitors.into_iter().map(|visitor| visitor.join().unwrap()).sum();
        assert!(cut_twice <= 20, "{cut_twice} of 400");
    });
}

pub(crate) fn echo(talk: &mut Talk) -> std::io::Result<()> {
    talk.answer(talk.target())
}

pub(crate) fn ask(seawall: &Seawall, target: &str) -> Client {
    let mut client = seawall.client();
    client.get(target);
    client
}

/// So many, one after the other, while the backend is away.
fn ask_in_order(seawall: &Seawall, count: usize) -> (Vec<Client>, Vec<String>) {
    let targets: Vec<String> = (0..count).map(|number| format!("/{number}")).collect();
    let ask_and_settle = |target: &String| {
        let client = ask(seawall, target);
        seawall.settle();
        client
    };
    let clients = targets.iter().map(ask_and_settle).collect();
    seawall.wait_for_diagnostic(AWAY);
    (clients, targets)
}
