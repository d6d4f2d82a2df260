//! Hold: the shapes of a restart, and what becomes of the requests that it cut.

use std::thread;
use std::time::Duration;

use crate::harness::{Backend, Leave, Seawall, Site, Talk, pattern};
use crate::hold::{AWAY, ask, echo};

#[test]
fn a_get_that_the_restart_cut_goes_once_more_when_it_is_over() {
    for end in Leave::BOTH {
        let site = Site::new();
        let old = site.open(cut_by(end));
        let seawall = Seawall::at(&site, "");
        let mut client = ask(&seawall, "/page");
        old.wait_held("cut", 1);
        old.close();
        old.release("cut");
        seawall.wait_for_diagnostic(AWAY);
        let new = site.open(echo);
        assert_eq!(client.answer().text(), "/page");
        assert_eq!((old.targets(), new.targets()), (vec!["/page".into()], vec!["/page".into()]));
        let line = seawall.line_of("/page");
        assert!(line["held_ms"].as_f64().unwrap() > 0.0, "{line}");
        new.assert_unharmed();
    }
}

#[test]
fn an_upload_that_may_be_repeated_goes_once_more_whole() {
    let site = Site::new();
    let old = site.open(cut_by(Leave::Reset));
    let seawall = Seawall::at(&site, "");
    let body = pattern(2_000_000);
    let mut client = seawall.client();
    client.send("PUT /file HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n").send(&body);
    old.wait_held("cut", 1);
    old.close();
    old.release("cut");
    seawall.wait_for_diagnostic(AWAY);
    let _new = site.open(|talk| {
        let body = talk.request().body;
        talk.answer(body)
    });
    assert_eq!(client.answer().body, body);
}

#[test]
fn a_post_that_the_restart_cut_is_a_502_and_never_run_twice() {
    for end in Leave::BOTH {
        let site = Site::new();
        let old = site.open(cut_by(end));
        let seawall = Seawall::at(&site, "");
        let mut client = seawall.client();
        client.post("/order", b"one of each");
        old.wait_held("cut", 1);
        old.close();
        old.release("cut");
        let answer = client.answer();
        assert_eq!(answer.status(), 502, "{answer:?}");
        let status = answer.head.field("proxy-status").unwrap();
        assert!(status.contains("connection_terminated"), "{status}");
        assert_eq!(seawall.line_of("/order")["ended"], "failed");
        let new = site.open(echo);
        assert_eq!(ask(&seawall, "/page").answer().text(), "/page");
        assert_eq!((old.targets(), new.targets()), (vec!["/order".into()], vec!["/page".into()]));
    }
}

#[test]
fn a_get_that_is_cut_twice_is_not_sent_a_third_time() {
    let site = Site::new();
    let old = site.open(cut_by(Leave::Reset));
    let seawall = Seawall::at(&site, "");
    let mut client = ask(&seawall, "/page");
    old.wait_held("cut", 1);
    old.close();
    old.release("cut");
    seawall.wait_for_diagnostic(AWAY);
    let next = site.open(cut_by(Leave::Reset));
    next.wait_held("cut", 1);
    next.close();
    next.release("cut");
    assert_eq!(client.answer().status(), 502);
    let last = site.open(echo);
    assert_eq!(ask(&seawall, "/other").answer().text(), "/other");
    assert_eq!((next.targets(), last.targets()), (vec!["/page".into()], vec!["/other".into()]));
}

#[test]
fn an_orphan_that_the_restart_cut_is_not_sent_again_for_nobody() {
    for leave in Leave::BOTH {
        let site = Site::new();
        let old = site.open(cut_by(Leave::Reset));
        let seawall = Seawall::at(&site, "");
        let orphan = ask(&seawall, "/orphan");
        old.wait_held("cut", 1);
        seawall.leave(orphan, leave);
        old.close();
        old.release("cut");
        assert_eq!(seawall.line_of("/orphan")["ended"], "failed");
        let new = site.open(echo);
        assert_eq!(ask(&seawall, "/page").answer().text(), "/page");
        assert_eq!(new.targets(), ["/page"]);
    }
}

#[test]
fn one_that_was_cut_and_leaves_while_it_is_held_is_not_sent_again() {
    let site = Site::new();
    let old = site.open(cut_by(Leave::Reset));
    let seawall = Seawall::at(&site, "");
    let client = ask(&seawall, "/page");
    old.wait_held("cut", 1);
    old.close();
    old.release("cut");
    seawall.wait_for_diagnostic(AWAY);
    seawall.leave(client, Leave::Fin);
    // The backend knows of it: nothing was abandoned.
    let line = seawall.line_of("/page");
    assert_eq!((&line["ended"], &line["left"]), (&"failed".into(), &"waiting".into()), "{line}");
    let new = site.open(echo);
    assert_eq!(ask(&seawall, "/other").answer().text(), "/other");
    assert_eq!((new.targets(), new.connections()), (vec!["/other".into()], 1));
}

#[test]
fn who_connected_while_nobody_accepted_is_served_by_who_does() {
    let site = Site::new();
    let listener = site.listen();
    let seawall = Seawall::at(&site, "");
    let mut page = ask(&seawall, "/page");
    let mut order = seawall.client();
    order.post("/order", b"one of each");
    seawall.settle();
    assert!(page.hears_nothing() && order.hears_nothing());
    let backend = Backend::over(listener, echo);
    assert_eq!((page.answer().text(), order.answer().text()), ("/page".into(), "/order".into()));
    assert_eq!((backend.exchanges().len(), backend.connections()), (2, 2));
    backend.assert_unharmed();
}

#[test]
fn a_get_that_nobody_accepted_goes_once_more_when_the_listener_was_closed() {
    let site = Site::new();
    let listener = site.listen();
    let seawall = Seawall::at(&site, "");
    let mut client = ask(&seawall, "/page");
    seawall.settle();
    drop(listener);
    seawall.wait_for_diagnostic(AWAY);
    let backend = site.open(echo);
    assert_eq!(client.answer().text(), "/page");
    assert_eq!(backend.targets(), ["/page"]);
}

#[test]
fn a_get_is_not_cut_twice_by_a_server_that_takes_its_time_to_end() {
    let site = Site::new();
    let listener = site.listen();
    let seawall = Seawall::at(&site, "");
    let mut client = ask(&seawall, "/page");
    let (cut, _) = listener.accept().unwrap();
    drop(cut);
    // The next one is in the queue of a listener that nobody serves any more.
    let (again, _) = listener.accept().unwrap();
    thread::sleep(Duration::from_millis(20));
    drop((again, listener));
    seawall.wait_for_diagnostic(AWAY);
    let backend = site.open(echo);
    assert_eq!(client.answer().text(), "/page");
    assert_eq!(backend.targets(), ["/page"]);
}

#[test]
fn a_page_that_always_breaks_holds_up_nobody_else() {
    let site = Site::new();
    let backend = site.open(|talk| match &*talk.target() {
        "/breaks" => {
            talk.reset();
            Ok(())
        }
        _ => talk.answer(talk.target()),
    });
    for slots in [1, 8] {
        let seawall =
            Seawall::at(&site, &format!("max_concurrency = {slots}\n[runtime]\nworkers = 2"));
        backend.forget();
        thread::scope(|scope| {
            for visitor in 0..4 {
                let seawall = &seawall;
                scope.spawn(move || {
                    for round in 0..20 {
                        if visitor == 0 {
                            assert_eq!(ask(seawall, "/breaks").answer().status(), 502);
                        }
                        let target = format!("/{visitor}/{round}");
                        assert_eq!(ask(seawall, &target).answer().text(), target);
                    }
                });
            }
        });
        let broken = backend.targets().iter().filter(|target| *target == "/breaks").count();
        assert_eq!(broken, 2 * 20);
        assert!(!seawall.diagnostics().iter().any(|line| line["message"] == AWAY));
    }
}

#[test]
fn a_slow_page_of_the_old_server_keeps_its_slot_while_the_new_one_starts() {
    let site = Site::new();
    let old = site.open(|talk| {
        talk.hold("view")?;
        talk.close();
        talk.answer_with("200 OK", "Connection: close\r\n", talk.target())
    });
    let seawall = Seawall::at(&site, "max_concurrency = 1");
    let mut slow = ask(&seawall, "/slow");
    old.wait_held("view", 1);
    // In order: it finishes what it has, and accepts no more.
    old.close();
    let mut next = ask(&seawall, "/next");
    let mut after = ask(&seawall, "/after");
    seawall.settle();
    old.release("view");
    assert_eq!(slow.answer().text(), "/slow");
    seawall.wait_for_diagnostic(AWAY);
    let new = site.open(echo);
    assert_eq!((next.answer().text(), after.answer().text()), ("/next".into(), "/after".into()));
    assert_eq!(new.targets(), ["/next", "/after"]);
    assert_eq!(new.most_open_at_once(), 1);
    old.assert_unharmed();
    new.assert_unharmed();
}

#[test]
fn a_restart_puts_nobody_in_the_queue_behind_another() {
    let site = Site::new();
    let old = site.open(cut_by(Leave::Reset));
    let seawall = Seawall::at(&site, "max_concurrency = 1\n[admin]\nlisten = \"127.0.0.1:0\"");
    let targets: Vec<String> = (0..30).map(|number| format!("/{number}")).collect();
    let ask_and_settle = |target: &String| {
        let client = ask(&seawall, target);
        seawall.settle();
        client
    };
    // The first one is cut, the next ones wait for its slot, and the last ones come while nobody listens.
    let mut clients = vec![ask(&seawall, &targets[0])];
    old.wait_held("cut", 1);
    clients.extend(targets[1..20].iter().map(ask_and_settle));
    old.close();
    old.release("cut");
    seawall.wait_for_diagnostic(AWAY);
    seawall.settle();
    clients.extend(targets[20..].iter().map(ask_and_settle));
    let new = site.open(echo);
    for (client, target) in clients.iter_mut().zip(&targets) {
        assert_eq!(&client.answer().text(), target);
    }
    assert_eq!(new.targets(), targets);
    assert_eq!(new.most_open_at_once(), 1);
    new.assert_unharmed();
}

/// Holds a request until the scene says that the server dies, then ends its connection in this way.
fn cut_by(end: Leave) -> impl Fn(&mut Talk) -> std::io::Result<()> + Send + Sync + 'static {
    move |talk| {
        talk.hold("cut")?;
        match end {
            Leave::Fin => talk.close(),
            Leave::Reset => talk.reset(),
        }
        Ok(())
    }
}
